//! What is loaded.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sealpack_format::boot::{DevicePattern, Module, ModuleGroup, ModuleOrder, OrderError};

use super::ModulesError;
use super::index::Index;

/// What no sealed host starts without: packs are files (`loop`) with EROFS on dm-verity devices, below an overlay; data is
/// on ext4.
const NEEDED: [&str; 6] = ["loop", "dm_mod", "dm_verity", "erofs", "overlay", "ext4"];

/// What computes the hashes of dm-verity and ext4, where that is modules; faster ones among them. A device takes the best
/// that is there when it is activated.
const HASHES: [&str; 2] = ["crypto-sha256", "crypto-crc32c"];

/// Drivers of what a disk may be behind, and what makes disks of what they find. For other hardware there is `--module`.
struct Hardware {
    drivers: &'static [&'static str],
    disks: &'static [&'static str],
    /// Whether they answer in their own time, and find nothing that another one here drives.
    is_slow: bool,
}

/// Virtual machines (KVM, Xen, Hyper-V, VMware), Intel's VMD, NVMe, SATA, SCSI's RAID controllers, USB, SD, MMC and UFS.
const HARDWARE: [Hardware; 6] = [
    Hardware {
        drivers: &["virtio_pci", "virtio_mmio", "virtio_blk", "xen_blkfront", "hv_vmbus", "vmd"],
        disks: &[],
        is_slow: false,
    },
    Hardware { drivers: &["nvme"], disks: &[], is_slow: true },
    Hardware { drivers: &["virtio_scsi", "hv_storvsc", "vmw_pvscsi"], disks: &["sd_mod"], is_slow: false },
    Hardware {
        drivers: &[
            "ahci",
            "ata_piix",
            "mpt3sas",
            "megaraid_sas",
            "smartpqi",
            "hpsa",
            "aacraid",
            "mptspi",
            "ufshcd_pci",
        ],
        disks: &["sd_mod"],
        is_slow: true,
    },
    Hardware { drivers: &["xhci_pci", "ehci_pci"], disks: &["usb_storage", "uas", "sd_mod"], is_slow: true },
    Hardware { drivers: &["sdhci_pci", "sdhci_acpi"], disks: &["mmc_block"], is_slow: true },
];

/// The kernel's parameter of every module by which loading it waits neither until its own hardware answered nor until that
/// of earlier ones did (`do_init_module`, kernel/module/main.c). The disk is waited for afterwards, whatever it is behind.
const WITHOUT_WAITING: &str = "async_probe=1";

/// dm-verity's parameter by which `.dm-verity` takes certificates until it is sealed (Linux 7.0). Other kernels pass it
/// over.
const UNSEALED: &str = "keyring_unsealed=1";

/// How many modules may need each other one behind the other.
const DEPTH_MAX: usize = 64;

/// What a host loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is loaded together, and for which devices.
    pub order: ModuleOrder,
    /// The modules' files, below the kernel's directory, each once, by their names.
    pub paths: BTreeMap<String, String>,
    /// Words for the command line: parameters of what is no module.
    pub words: Vec<String>,
}

impl Choice {
    /// What a host with this kernel loads, with `more` besides, by their names.
    ///
    /// # Errors
    /// The kernel does not have something that every host needs, or one of `more`.
    pub fn of(index: &Index, more: &[String]) -> Result<Self, ModulesError> {
        let needed = needed(index)?;
        let mut groups = base(index, &needed)?;
        for hardware in HARDWARE {
            groups.extend(hardware.groups(index)?);
        }
        for name in more {
            match index.meant(name)[..] {
                [] if index.is_built_in(name) => {}
                [] => return Err(ModulesError::Unknown { name: name.clone() }),
                ref modules => groups.push((Vec::new(), with_needs(index, modules.iter().copied())?)),
            }
        }
        groups.retain(|(_, names)| !names.is_empty());
        let words = match index.is_built_in("dm_verity") {
            true => vec![format!("dm_verity.{UNSEALED}")],
            false => Vec::new(),
        };
        let mut choice = Self { order: ModuleOrder::default(), paths: BTreeMap::new(), words };
        let groups = groups.into_iter().map(|(devices, names)| choice.group(index, &needed, devices, &names));
        choice.order = ModuleOrder::new(groups.collect::<Result<_, _>>()?)?;
        Ok(choice)
    }

    fn group(
        &mut self,
        index: &Index,
        needed: &HashSet<&str>,
        devices: Vec<DevicePattern>,
        names: &[&str],
    ) -> Result<ModuleGroup, ModulesError> {
        let mut modules = Vec::new();
        for name in names {
            let path = &index.modules[*name].path;
            let file = path.rsplit('/').next().unwrap_or(path);
            let module = Module::new(file, parameters(name))?;
            modules.push(if needed.contains(name) { module } else { module.optional() });
            if self.paths.insert(file.to_owned(), path.clone()).is_some_and(|other| other != *path) {
                return Err(OrderError::Twice(file.to_owned()).into());
            }
        }
        Ok(ModuleGroup { devices, modules })
    }
}

/// The names of modules that are loaded together, and for which devices.
type Group<'i> = (Vec<DevicePattern>, Vec<&'i str>);

/// What every host loads, and before it what its processor may be able to.
fn base<'i>(index: &'i Index, needed: &HashSet<&str>) -> Result<Vec<Group<'i>>, ModulesError> {
    let base = with_needs(index, NEEDED.iter().flat_map(|name| index.meant(name)))?;
    // What is only to be loaded before the others is for some processors only, and they do without.
    let is_for_some = |name: &&str| !needed.contains(*name) && !index.devices(name).is_empty();
    let (some, base): (Vec<&str>, Vec<&str>) = base.into_iter().partition(is_for_some);
    let hashes = HASHES.iter().flat_map(|name| index.meant(name));
    let mut groups: Vec<Group<'i>> = Vec::new();
    for name in hashes.chain(some) {
        groups.push((index.devices(name), with_needs(index, [name])?));
    }
    groups.push((Vec::new(), base));
    Ok(groups)
}

impl Hardware {
    /// A group for each driver, with what makes disks of what it finds.
    fn groups<'i>(&self, index: &'i Index) -> Result<Vec<Group<'i>>, ModulesError> {
        let disks = || self.disks.iter().flat_map(|name| index.meant(name));
        let mut groups = Vec::new();
        for driver in self.drivers.iter().flat_map(|name| index.meant(name)) {
            groups.push((index.devices(driver), with_needs(index, std::iter::once(driver).chain(disks()))?));
        }
        // What is built in finds its devices anyway.
        if self.drivers.iter().any(|name| index.is_built_in(name)) {
            groups.push((Vec::new(), with_needs(index, disks())?));
        }
        Ok(groups)
    }
}

/// What a module is loaded with.
fn parameters(name: &str) -> &'static str {
    let is_slow = |hardware: &Hardware| hardware.is_slow && hardware.drivers.contains(&name);
    let makes_disks = |hardware: &Hardware| hardware.disks.contains(&name);
    match name {
        "dm_verity" => UNSEALED,
        _ if HARDWARE.iter().any(|hardware| is_slow(hardware) || makes_disks(hardware)) => WITHOUT_WAITING,
        _ => "",
    }
}

/// The modules of [`NEEDED`] and what they depend on. What is only to be loaded before one of them, as faster hash functions
/// are, may need a processor that this is not.
fn needed(index: &Index) -> Result<HashSet<&str>, ModulesError> {
    let mut needed = HashSet::new();
    for name in NEEDED {
        let meant = index.meant(name);
        if meant.is_empty() && !index.is_built_in(name) {
            return Err(ModulesError::Missing { name });
        }
        for name in meant {
            needed.insert(name);
            // depmod lists those that these depend on too.
            needed.extend(index.modules[name].depends.iter().flat_map(|name| index.meant(name)));
        }
    }
    Ok(needed)
}

/// These modules, each behind all that it needs.
fn with_needs<'i>(
    index: &'i Index,
    names: impl IntoIterator<Item = &'i str>,
) -> Result<Vec<&'i str>, ModulesError> {
    let mut walk = Walk::default();
    names.into_iter().try_for_each(|name| walk.add(index, name, 0))?;
    Ok(walk.order)
}

/// Modules in the order in which they can be loaded.
#[derive(Default)]
struct Walk<'i> {
    order: Vec<&'i str>,
    seen: BTreeSet<&'i str>,
}

impl<'i> Walk<'i> {
    /// Adds a module behind all that it needs.
    fn add(&mut self, index: &'i Index, name: &'i str, depth: usize) -> Result<(), ModulesError> {
        if depth > DEPTH_MAX {
            return Err(ModulesError::TooDeep { name: name.to_owned() });
        }
        if !self.seen.insert(name) {
            return Ok(());
        }
        let before = index.soft_of(name).iter();
        let depends = index.modules[name].depends.iter().rev();
        for needed in before.chain(depends) {
            // What the kernel has without a module, or nobody has, modprobe passes over too.
            index.meant(needed).into_iter().try_for_each(|name| self.add(index, name, depth + 1))?;
        }
        self.order.push(name);
        Ok(())
    }
}
