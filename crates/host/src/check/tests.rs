//! The requirements, on images that exist as lists of files.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::files::Files;
use super::*;

/// What is at a path.
#[derive(Debug, Clone)]
enum Item {
    Directory,
    File(Vec<u8>),
    Program(Vec<u8>),
    Link(&'static str),
}

/// An image.
#[derive(Debug, Clone)]
struct Image(BTreeMap<String, Item>);

impl Files for Image {
    type Error = Infallible;

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(match self.0.get(path) {
            Some(Item::File(bytes) | Item::Program(bytes)) => Some(bytes.clone()),
            _ => None,
        })
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    fn has_directory(&self, path: &str) -> bool {
        let below = format!("{path}/");
        matches!(self.0.get(path), Some(Item::Directory)) || self.0.keys().any(|key| key.starts_with(&below))
    }

    fn has_roots_program(&self, path: &str) -> bool {
        matches!(self.0.get(path), Some(Item::Program(_)))
    }

    fn link(&self, path: &str) -> Option<String> {
        match self.0.get(path) {
            Some(Item::Link(target)) => Some((*target).to_owned()),
            _ => None,
        }
    }

    fn names(&self, path: &str) -> Vec<String> {
        let below = format!("{path}/");
        let names = self.0.keys().filter_map(|key| key.strip_prefix(&below)?.split('/').next());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.dedup();
        names
    }
}

/// A program for firmware that says this of itself: as few bytes as its parser takes.
fn firmware_program(says: &str) -> Vec<u8> {
    const HEADERS: u32 = 0x200;
    let mut pe = vec![0; HEADERS as usize];
    let mut put = |at: usize, bytes: &[u8]| pe[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3C, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    // x86-64, one section, an optional header of 240 bytes, executable.
    put(0x44, &0x8664_u16.to_le_bytes());
    put(0x46, &1_u16.to_le_bytes());
    put(0x54, &240_u16.to_le_bytes());
    put(0x56, &0x22_u16.to_le_bytes());
    // PE32+, alignments of 4096 and 512, sizes, an EFI application, 16 directories.
    put(0x58, &0x20B_u16.to_le_bytes());
    put(0x58 + 32, &4096_u32.to_le_bytes());
    put(0x58 + 36, &512_u32.to_le_bytes());
    put(0x58 + 56, &0x2000_u32.to_le_bytes());
    put(0x58 + 60, &HEADERS.to_le_bytes());
    put(0x58 + 68, &10_u16.to_le_bytes());
    put(0x58 + 108, &16_u32.to_le_bytes());
    // The one section: its name, size, address, size and place in the file.
    let section = 0x58 + 240;
    put(section, b".sdmagic");
    put(section + 8, &(says.len() as u32).to_le_bytes());
    put(section + 12, &0x1000_u32.to_le_bytes());
    put(section + 16, &512_u32.to_le_bytes());
    put(section + 20, &HEADERS.to_le_bytes());
    put(section + 36, &0x4000_0040_u32.to_le_bytes());
    pe.extend(says.as_bytes());
    pe.resize(HEADERS as usize + 512, 0);
    pe
}

/// An ELF program with one entry in its table, of that kind.
fn elf_program(kind: u32) -> Vec<u8> {
    let mut elf = vec![0; 64 + 56];
    elf[..6].copy_from_slice(b"\x7FELF\x02\x01");
    elf[32..40].copy_from_slice(&64_u64.to_le_bytes());
    elf[54..56].copy_from_slice(&56_u16.to_le_bytes());
    elf[56..58].copy_from_slice(&1_u16.to_le_bytes());
    elf[64..68].copy_from_slice(&kind.to_le_bytes());
    elf
}

const RELEASE: &str = "6.12.118+deb13-cloud-amd64";

/// One that has all that is asked for.
fn good() -> Image {
    let file = |text: &str| Item::File(text.into());
    let config: String = ["SECURITY_IPE", "IPE_PROP_DM_VERITY_SIGNATURE", "DM_VERITY_VERIFY_ROOTHASH_SIG"]
        .iter()
        .chain(&["SECURITY_LOCKDOWN_LSM", "SECURITY_YAMA", "SECCOMP_FILTER", "EFI_STUB", "DEVTMPFS"])
        .chain(&["SECURITYFS", "RD_ZSTD", "SYSTEM_TRUSTED_KEYRING", "EXT4_FS", "MAGIC_SYSRQ"])
        .map(|name| format!("CONFIG_{name}=y\n"))
        .collect();
    let modules = "kernel/drivers/md/dm-mod.ko.xz:\nkernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-mod.ko.xz\n\
                   kernel/fs/erofs/erofs.ko.xz:\nkernel/fs/overlayfs/overlay.ko.xz:\nkernel/drivers/block/loop.ko.xz:\n";
    let stub = firmware_program("#### LoaderInfo: systemd-stub 257.13-1~deb13u1 ####");
    let loader = firmware_program("#### LoaderInfo: systemd-boot 257.13-1~deb13u1 ####");
    let mut items = vec![
        (format!("/boot/vmlinuz-{RELEASE}"), file("a kernel")),
        (format!("/boot/config-{RELEASE}"), file(&format!("{config}CONFIG_LSM=\"lockdown,yama,ipe\"\n"))),
        (format!("/usr/lib/modules/{RELEASE}/modules.dep"), file(modules)),
    ];
    for (path, item) in [
        ("/usr/lib/systemd/boot/efi/linuxx64.efi.stub", Item::File(stub)),
        ("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", Item::File(loader)),
        ("/usr/lib/systemd/system/systemd-boot-update.service", file("[Unit]\n")),
        ("/etc/systemd/system/systemd-boot-update.service", Item::Link("/dev/null")),
        ("/usr/lib/systemd/system/systemd-sysext.service", file("[Unit]\n")),
        ("/etc/systemd/system/systemd-sysext.service", Item::Link("/dev/null")),
        ("/usr/lib/systemd/system/systemd-confext.service", file("[Unit]\n")),
        ("/etc/systemd/system/systemd-confext.service", Item::Link("/dev/null")),
        ("/usr/lib/systemd/systemd-bless-boot", Item::Program(elf_program(3))),
        (
            "/etc/systemd/system/systemd-bless-boot.service.d/efi.conf",
            file("[Unit]\nRequiresMountsFor=/efi\n"),
        ),
        ("/usr/lib/sealpack/init", Item::Program(elf_program(1))),
        ("/usr/bin/sealpack", Item::Program(elf_program(1))),
        ("/usr/lib/systemd/systemd", Item::Program(elf_program(3))),
        ("/etc/machine-id", file("uninitialized\n")),
        ("/etc/ssh/sshd_config", file("")),
        (
            "/etc/fstab",
            file(
                "# comment\nLABEL=ESP /efi vfat umask=0077,nofail 0 0\n/data/var /var none bind 0 0\n\
                 /data/home /home none bind\n",
            ),
        ),
        ("/etc/systemd/system/sockets.target.wants/systemd-journald-audit.socket", Item::Link("/usr/lib/x")),
        ("/etc/systemd/system/multi-user.target.wants/sealpack-keep.service", Item::Link("/usr/lib/x")),
        ("/etc/sealpack/trust.d/statements/site.crt", file("a certificate")),
        ("/usr/bin/crun", Item::Program(elf_program(3))),
        (
            "/var/lib/dpkg/status",
            file("Package: other\nVersion: 1\n\nPackage: crun\nStatus: ok\nVersion: 1.21-1\n"),
        ),
    ] {
        items.push((path.to_owned(), item));
    }
    let mounts = ["/data", "/dev", "/efi", "/home", "/proc", "/run", "/sys", "/var"];
    items.extend(mounts.map(|path| (path.to_owned(), Item::Directory)));
    Image(items.into_iter().collect())
}

fn findings(image: &Image) -> Vec<Finding> {
    let Ok(findings) = judge(image);
    findings
}

/// The faults of an image that is good but for one change, which is put back.
fn faults(change: impl FnOnce(&mut BTreeMap<String, Item>)) -> Vec<(Requirement, bool, String)> {
    let mut image = good();
    change(&mut image.0);
    let faults = findings(&image).into_iter().filter_map(|finding| {
        let fault = finding.fault?;
        Some((finding.requirement, fault.breaks, format!("{} {}", finding.path, fault.problem)))
    });
    faults.collect()
}

#[track_caller]
fn breaks(requirement: Requirement, change: impl FnOnce(&mut BTreeMap<String, Item>)) {
    let faults = faults(change);
    assert!(
        matches!(faults.as_slice(), [(found, true, _)] if *found == requirement),
        "{requirement:?}: {faults:#?}"
    );
}

#[track_caller]
fn lacks(requirement: Requirement, change: impl FnOnce(&mut BTreeMap<String, Item>)) {
    let faults = faults(change);
    assert!(
        matches!(faults.as_slice(), [(found, false, _)] if *found == requirement),
        "{requirement:?}: {faults:#?}"
    );
}

#[test]
fn an_image_that_has_everything_has_no_fault() {
    assert_eq!(faults(|_| {}), []);
    let requirements: Vec<_> = findings(&good()).into_iter().map(|finding| finding.requirement).collect();
    assert!(requirements.is_sorted(), "{requirements:?}");
}

#[test]
fn a_kernel_that_is_missing_old_or_without_ipe_breaks_it() {
    let kernel = format!("/boot/vmlinuz-{RELEASE}");
    breaks(Requirement::Kernel, |image| drop(image.remove(&kernel)));
    breaks(Requirement::Kernel, |image| {
        image.insert("/usr/lib/modules/6.1.0/modules.dep".into(), Item::File(Vec::new()));
    });
    breaks(Requirement::Kernel, |image| image.retain(|path, _| !path.starts_with("/usr/lib/modules")));
    let config = format!("/boot/config-{RELEASE}");
    let change = |from: &'static str, to: &'static str| {
        let config = config.clone();
        move |image: &mut BTreeMap<String, Item>| {
            let Some(Item::File(text)) = image.get_mut(&config) else { panic!("there is a configuration") };
            *text = String::from_utf8_lossy(text).replace(from, to).into_bytes();
        }
    };
    breaks(Requirement::Kernel, change("CONFIG_SECURITY_IPE=y", "# CONFIG_SECURITY_IPE is not set"));
    breaks(Requirement::Kernel, change("yama,ipe", "yama"));
    lacks(Requirement::Kernel, change("CONFIG_MAGIC_SYSRQ=y", "# CONFIG_MAGIC_SYSRQ is not set"));
    lacks(Requirement::Kernel, |image| {
        image.remove(&config);
        let modules = format!("/usr/lib/modules/{RELEASE}/modules.builtin");
        image.insert(modules, Item::File(b"kernel/fs/ext4/ext4.ko\n".to_vec()));
    });
}

#[test]
fn an_older_kernel_breaks_it() {
    breaks(Requirement::Kernel, |image| {
        let old: BTreeMap<_, _> = image
            .iter()
            .map(|(path, item)| (path.replace(RELEASE, "6.1.0-43-amd64"), item.clone()))
            .collect();
        *image = old;
    });
}

#[test]
fn modules_that_are_missing_break_it() {
    let list = format!("/usr/lib/modules/{RELEASE}/modules.dep");
    breaks(Requirement::Modules, |image| {
        image.remove(&list);
        image.insert(format!("/usr/lib/modules/{RELEASE}/modules.order"), Item::File(Vec::new()));
    });
    breaks(Requirement::Modules, |image| {
        image.insert(list.clone(), Item::File(b"kernel/fs/erofs/erofs.ko.xz:\n".to_vec()));
    });
}

#[test]
fn what_is_started_before_the_kernel_must_be_there_and_new_enough() {
    let stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
    let loader = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
    breaks(Requirement::Stub, |image| drop(image.remove(stub)));
    breaks(Requirement::Stub, |image| drop(image.insert(stub.into(), Item::File(b"text".to_vec()))));
    let old = firmware_program("#### LoaderInfo: systemd-boot 252.38-1~deb12u1 ####");
    breaks(Requirement::BootLoader, |image| drop(image.insert(loader.into(), Item::File(old))));
    let other = firmware_program("#### LoaderInfo: systemd-stub 257 ####");
    breaks(Requirement::BootLoader, |image| drop(image.insert(loader.into(), Item::File(other))));
}

#[test]
fn a_service_that_replaces_the_signed_loader_must_be_masked_or_absent() {
    let mask = "/etc/systemd/system/systemd-boot-update.service";
    breaks(Requirement::BootLoaderUpdates, |image| drop(image.remove(mask)));
    assert_eq!(faults(|image| image.retain(|path, _| !path.contains("systemd-boot-update"))), []);
}

#[test]
fn services_that_put_unsigned_files_over_the_images_must_be_masked_or_absent() {
    for unit in ["systemd-sysext.service", "systemd-confext.service"] {
        let mask = format!("/etc/systemd/system/{unit}");
        breaks(Requirement::Extensions, |image| drop(image.remove(&mask)));
        breaks(Requirement::Extensions, |image| {
            image.insert(mask.clone(), Item::Link("/usr/lib/systemd/system/other.service"));
        });
        assert_eq!(faults(|image| image.retain(|path, _| !path.ends_with(unit))), []);
    }
}

#[test]
fn blessing_needs_its_program_and_the_mount() {
    let conf = "/etc/systemd/system/systemd-bless-boot.service.d/efi.conf";
    breaks(Requirement::Blessing, |image| drop(image.remove("/usr/lib/systemd/systemd-bless-boot")));
    breaks(Requirement::Blessing, |image| drop(image.remove(conf)));
    breaks(Requirement::Blessing, |image| {
        image.insert(conf.into(), Item::File(b"[Unit]\nRequiresMountsFor=/boot\n".to_vec()));
    });
}

#[test]
fn the_first_process_must_be_static_and_roots() {
    let init = "/usr/lib/sealpack/init";
    breaks(Requirement::Init, |image| drop(image.remove(init)));
    breaks(Requirement::Init, |image| drop(image.insert(init.into(), Item::Program(elf_program(3)))));
    breaks(Requirement::Init, |image| drop(image.insert(init.into(), Item::File(elf_program(1)))));
    breaks(Requirement::Init, |image| drop(image.insert(init.into(), Item::Program(b"#!/bin/sh".to_vec()))));
    lacks(Requirement::Program, |image| drop(image.remove("/usr/bin/sealpack")));
    breaks(Requirement::System, |image| drop(image.remove("/usr/lib/systemd/systemd")));
}

#[test]
fn an_identity_that_hosts_would_share_breaks_it() {
    let file = |text: &str| Item::File(text.into());
    for text in ["", "0123456789abcdef0123456789abcdef\n", "uninitialised\n"] {
        breaks(Requirement::MachineId, |image| drop(image.insert("/etc/machine-id".into(), file(text))));
    }
    breaks(Requirement::MachineId, |image| drop(image.remove("/etc/machine-id")));
    breaks(Requirement::HostKeys, |image| {
        image.insert("/etc/ssh/ssh_host_ed25519_key".into(), file("secret"));
    });
}

#[test]
fn mounts_and_their_places_must_be_there() {
    breaks(Requirement::MountPoints, |image| drop(image.remove("/efi")));
    let with = |line: &str| {
        let text = "LABEL=ESP /efi vfat umask=0077,nofail 0 0\n/data/var /var none bind 0 0\n\
                    /data/home /home none bind\n";
        let kept: Vec<&str> =
            text.lines().filter(|other| other.split(' ').nth(1) != line.split(' ').nth(1)).collect();
        Item::File(format!("{}\n{line}\n", kept.join("\n")).into_bytes())
    };
    for line in
        ["LABEL=ESP /efi vfat umask=0077 0 0", "LABEL=ESP /efi ext4 nofail 0 0", "tmpfs /var tmpfs x 0 0"]
    {
        breaks(Requirement::Fstab, |image| drop(image.insert("/etc/fstab".into(), with(line))));
    }
    lacks(Requirement::Fstab, |image| {
        image.insert("/etc/fstab".into(), with("/srv/home /home none bind"));
    });
}

#[test]
fn a_list_of_what_is_kept_must_be_one() {
    let list = "/usr/lib/sealpack/etc.keep";
    assert_eq!(faults(|image| drop(image.insert(list.into(), Item::File(b"/etc/hostname\n".to_vec())))), []);
    breaks(Requirement::KeepList, |image| {
        image.insert(list.into(), Item::File(b"/etc/systemd/system/\n".to_vec()));
    });
}

#[test]
fn what_one_can_do_without_is_named_and_breaks_nothing() {
    lacks(Requirement::AuditSocket, |image| {
        image.remove("/etc/systemd/system/sockets.target.wants/systemd-journald-audit.socket");
    });
    lacks(Requirement::Keeping, |image| {
        image.remove("/etc/systemd/system/multi-user.target.wants/sealpack-keep.service");
    });
    lacks(Requirement::TrustStore, |image| {
        let statements = "/etc/sealpack/trust.d/statements";
        image.remove(&format!("{statements}/site.crt"));
        image.insert(format!("{statements}/README"), Item::File(Vec::new()));
    });
    lacks(Requirement::ExitInitrd, |image| {
        image.insert("/usr/lib/systemd/system/dracut-shutdown.service".into(), Item::File(Vec::new()));
    });
}

#[test]
fn a_container_runtime_must_be_one_that_runs() {
    let packages = |text: &str| Item::File(text.into());
    let runc = |version: &str| {
        let list = packages(&format!("Package: runc\nVersion: {version}\n"));
        move |image: &mut BTreeMap<String, Item>| {
            image.remove("/usr/bin/crun");
            image.insert("/usr/sbin/runc".into(), Item::Program(elf_program(3)));
            image.insert("/var/lib/dpkg/status".into(), list);
        }
    };
    breaks(Requirement::ContainerRuntime, runc("1.1.15+ds1-2"));
    lacks(Requirement::ContainerRuntime, runc("1.2.4"));
    assert_eq!(faults(runc("1.3.6-1")), []);
    lacks(Requirement::ContainerRuntime, |image| {
        let list = packages("Package: crun\nVersion: 1.8.1-1+deb12u1\n");
        image.insert("/var/lib/dpkg/status".into(), list);
    });
    lacks(Requirement::ContainerRuntime, |image| drop(image.remove("/var/lib/dpkg/status")));
    assert_eq!(faults(|image| drop(image.remove("/usr/bin/crun"))), []);
}
