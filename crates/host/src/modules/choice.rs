//! What is loaded.

use std::collections::{BTreeSet, HashSet};

use sealpack_format::boot::{Module, ModuleOrder};

use super::ModulesError;
use super::index::{Entry, Index};

/// What no sealed host starts without: packs are files (`loop`) with EROFS on dm-verity devices, below an overlay; data is
/// on ext4.
const NEEDED: [&str; 6] = ["loop", "dm_mod", "dm_verity", "erofs", "overlay", "ext4"];

/// What computes the hashes of dm-verity and ext4, where that is modules; faster ones among them. A device takes the best
/// that is there when it is activated, so that they are loaded first.
const HASHES: [&str; 2] = ["crypto-sha256", "crypto-crc32c"];

/// What the disk of a virtual machine may be behind (KVM, Xen, Hyper-V, VMware), which answers at once, and what makes
/// disks of SCSI devices.
const HARDWARE: [&str; 8] = [
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "xen_blkfront",
    "hv_storvsc",
    "vmw_pvscsi",
    "sd_mod",
];

/// What the disk of another machine may be behind, or of an emulated one: NVMe, SATA, SCSI's RAID controllers, USB, SD, MMC
/// and UFS. For others there is `--module`.
const SLOW_HARDWARE: [&str; 18] = [
    "nvme",
    "vmd",
    "ahci",
    "ata_piix",
    "mpt3sas",
    "megaraid_sas",
    "smartpqi",
    "hpsa",
    "aacraid",
    "mptspi",
    "xhci_pci",
    "ehci_pci",
    "usb_storage",
    "uas",
    "mmc_block",
    "sdhci_pci",
    "sdhci_acpi",
    "ufshcd_pci",
];

/// The kernel's parameter of every module by which loading it does not wait until its hardware answered
/// (`unknown_module_param_cb`, kernel/module/main.c). The disk is waited for afterwards, whatever it is behind.
const WITHOUT_WAITING: &str = "async_probe=1";

/// dm-verity's parameter by which `.dm-verity` takes certificates until it is sealed (Linux 7.0). Other kernels pass it
/// over.
const UNSEALED: &str = "keyring_unsealed=1";

/// How many modules may need each other one behind the other.
const DEPTH_MAX: usize = 64;

/// What a host loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The modules, the first to be loaded first.
    pub modules: Vec<Chosen>,
    /// Words for the command line: parameters of what is no module.
    pub words: Vec<String>,
}

/// A module that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its file, below the kernel's directory of modules.
    pub path: String,
    /// What the initramfs says of it.
    pub module: Module,
}

impl Choice {
    /// What a host with this kernel loads, with `more` besides, by their names.
    ///
    /// # Errors
    /// The kernel does not have something that every host needs, or one of `more`.
    pub fn of(index: &Index, more: &[String]) -> Result<Self, ModulesError> {
        let needed = needed(index)?;
        let mut walk = Walk::default();
        for name in HASHES.into_iter().chain(NEEDED).chain(HARDWARE).chain(SLOW_HARDWARE) {
            index.meant(name).into_iter().try_for_each(|name| walk.add(index, name, 0))?;
        }
        for name in more {
            match index.meant(name)[..] {
                [] if index.is_built_in(name) => {}
                [] => return Err(ModulesError::Unknown { name: name.clone() }),
                ref modules => modules.iter().try_for_each(|name| walk.add(index, name, 0))?,
            }
        }
        let modules: Result<_, _> =
            walk.order.iter().map(|name| chosen(index, name, needed.contains(name))).collect();
        let words = match index.is_built_in("dm_verity") {
            true => vec![format!("dm_verity.{UNSEALED}")],
            false => Vec::new(),
        };
        Ok(Self { modules: modules?, words })
    }

    /// The list for the initramfs.
    ///
    /// # Errors
    /// Two modules whose files have one name; more than there may be.
    pub fn order(&self) -> Result<ModuleOrder, ModulesError> {
        Ok(ModuleOrder::new(self.modules.iter().map(|chosen| chosen.module.clone()).collect())?)
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

fn chosen(index: &Index, name: &str, is_needed: bool) -> Result<Chosen, ModulesError> {
    let Entry { path, .. } = &index.modules[name];
    let file = path.rsplit('/').next().unwrap_or(path);
    let parameters = match name {
        "dm_verity" => UNSEALED,
        name if SLOW_HARDWARE.contains(&name) => WITHOUT_WAITING,
        _ => "",
    };
    let module = Module::new(file, parameters)?;
    let module = if is_needed { module } else { module.optional() };
    Ok(Chosen { path: path.clone(), module })
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
