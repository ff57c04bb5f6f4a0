//! The kernel's own filesystems, and `/run`.

use std::fs;
use std::path::Path;

use rustix::fs::statfs;
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;
use sealpack_kernel::mount::MountAttributes;

use super::failure::Failure;

/// `RAMFS_MAGIC`, `TMPFS_MAGIC` (include/uapi/linux/magic.h): what an initramfs is unpacked to.
const INITRAMFS: [rustix::fs::FsWord; 2] = [0x8584_58f6, 0x0102_1994];

/// A filesystem that every system has.
struct Filesystem {
    fs_type: &'static str,
    target: &'static str,
    noexec: bool,
    nodev: bool,
    settings: &'static [(&'static str, &'static str)],
}

const ALL: [Filesystem; 5] = [
    Filesystem { fs_type: "proc", target: "/proc", noexec: true, nodev: true, settings: &[] },
    Filesystem { fs_type: "sysfs", target: "/sys", noexec: true, nodev: true, settings: &[] },
    Filesystem { fs_type: "devtmpfs", target: "/dev", noexec: false, nodev: false, settings: &[] },
    Filesystem {
        fs_type: "securityfs",
        target: "/sys/kernel/security",
        noexec: true,
        nodev: true,
        settings: &[],
    },
    // As systemd makes it, which leaves the one that it finds.
    Filesystem {
        fs_type: "tmpfs",
        target: "/run",
        noexec: false,
        nodev: true,
        settings: &[("mode", "0755"), ("size", "20%"), ("nr_inodes", "800k")],
    },
];

/// Mounts them. What is the root directory now has to be an initramfs: in the end it is emptied.
///
/// # Errors
/// The root is something else; the kernel lacks one of them.
pub(super) fn mount(kernel: &Kernel) -> Result<(), Failure> {
    require_initramfs()?;
    ALL.iter().try_for_each(|filesystem| mount_one(kernel, filesystem))
}

/// Mounts a filesystem in memory that only root can look into.
pub(super) fn mount_tmpfs(kernel: &Kernel, target: &'static str) -> Result<(), Failure> {
    let settings = &[("mode", "0700")];
    mount_one(kernel, &Filesystem { fs_type: "tmpfs", target, noexec: true, nodev: true, settings })
}

fn mount_one(kernel: &Kernel, filesystem: &Filesystem) -> Result<(), Failure> {
    let target = Path::new(filesystem.target);
    make_mount_point(target)?;
    let attributes = MountAttributes {
        nosuid: true,
        nodev: filesystem.nodev,
        noexec: filesystem.noexec,
        ..MountAttributes::default()
    };
    let context = kernel.fsopen(filesystem.fs_type)?;
    context.set_string("source", filesystem.fs_type)?;
    for (key, value) in filesystem.settings {
        context.set_string(key, value)?;
    }
    context.create()?;
    let mount = context.mount(attributes)?;
    Ok(kernel.attach(&mount, open(target)?)?)
}

/// Whether the root directory is one that was made for this process alone.
pub(super) fn require_initramfs() -> Result<(), Failure> {
    require_in_memory(Path::new("/"))
}

fn require_in_memory(root: &Path) -> Result<(), Failure> {
    let filesystem = statfs(root).map_err(|errno| Failure::at(root, &errno.into()))?;
    if INITRAMFS.contains(&filesystem.f_type) {
        return Ok(());
    }
    let why = format!("the root directory {} is not an initramfs", root.display());
    Err(Failure::new(why).advised("start this program from a UKI only"))
}

/// Makes a directory of the initramfs, unless it is there.
pub(super) fn make_mount_point(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::at(path, &error))
}

/// Opens a directory to mount something on it.
pub(super) fn open(path: &Path) -> Result<Directory, Failure> {
    Directory::open(path).map_err(|error| Failure::at(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_root_than_an_initramfs_is_taken() {
        let failure = require_in_memory(Path::new("/proc")).unwrap_err();
        assert_eq!(failure.why, "the root directory /proc is not an initramfs");
        assert!(require_in_memory(Path::new("/nowhere")).unwrap_err().why.starts_with("/nowhere: "));
        let memory = Path::new("/dev/shm");
        match statfs(memory) {
            Ok(filesystem) if INITRAMFS.contains(&filesystem.f_type) => require_in_memory(memory).unwrap(),
            _ => println!("skipped: /dev/shm is no tmpfs here"),
        }
    }
}
