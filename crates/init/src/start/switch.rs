//! Handing over to the system's own first process.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::FileType;
use sealpack_format::boot::data;
use sealpack_kernel::directory::Directory;
use sealpack_kernel::{Errno, Kernel};

use super::failure::Failure;
use super::{mounts, state};

/// What the image may have as its first process, the first that is there.
const PROGRAMS: [&str; 2] = ["/usr/lib/systemd/systemd", "/sbin/init"];

/// Mounts that go along, by their names in both root directories.
const GO_ALONG: [&str; 4] = ["dev", "proc", "sys", "run"];

/// How deep the initramfs is emptied.
const DEPTH_MAX: usize = 64;

/// Makes the image at `image` the root of this process, with the kernel's filesystems and the data partition in it, and
/// empties the initramfs.
///
/// # Errors
/// The image lacks a directory.
pub(super) fn enter(kernel: &Kernel, image: &Path) -> Result<(), Failure> {
    kernel.move_mount(mounts::open(Path::new(data::MOUNTED_AT))?, state::in_image(image, "data")?)?;
    for name in GO_ALONG {
        kernel.move_mount(mounts::open(&Path::new("/").join(name))?, state::in_image(image, name)?)?;
    }
    let old = mounts::open(Path::new("/"))?;
    mounts::require_initramfs()?;
    let failed = |error: std::io::Error| Failure::at(image, &error);
    let new = mounts::open(image)?;
    rustix::process::fchdir(&new).map_err(|errno| failed(errno.into()))?;
    empty(&old, DEPTH_MAX).map_err(|error| Failure::at(Path::new("/"), &error))?;
    kernel.move_mount(&new, &old)?;
    rustix::process::chroot(".").map_err(|errno| failed(errno.into()))?;
    rustix::process::chdir("/").map_err(|errno| failed(errno.into()))
}

/// Executes the system's first process, the first of [`PROGRAMS`] that there is, and returns only if that fails.
pub(super) fn execute() -> Failure {
    for program in PROGRAMS {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", "/").env("TERM", "linux");
        let error = command.exec();
        if error.kind() != io::ErrorKind::NotFound {
            return Failure::new(format!("{program} cannot be executed: {error}"));
        }
    }
    Failure::new(format!("the image has none of {}", PROGRAMS.join(", ")))
}

/// Removes all that is on the filesystem of `directory` and below that: no copy of this program stays, and no memory is
/// taken by what was loaded. What is mounted there is left alone.
fn empty(directory: &Directory, depth: usize) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or(Errno::LOOP)?;
    let device = rustix::fs::fstat(directory)?.st_dev;
    for (name, kind) in directory.entries()? {
        let Some(status) = directory.stat(&name)? else { continue };
        if status.st_dev != device {
            continue;
        }
        if kind == FileType::Directory
            && let Some(below) = directory.sub(&name)?
        {
            empty(&below, depth)?;
        }
        directory.remove_all(&name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_is_emptied_without_following_links() {
        let place = tempfile::tempdir().unwrap();
        let (kept, emptied) = (place.path().join("kept"), place.path().join("emptied"));
        fs::create_dir_all(&kept).unwrap();
        fs::write(kept.join("file"), "1").unwrap();
        fs::create_dir_all(emptied.join("a/b")).unwrap();
        fs::write(emptied.join("a/b/file"), "1").unwrap();
        fs::write(emptied.join("init"), "1").unwrap();
        std::os::unix::fs::symlink(&kept, emptied.join("link")).unwrap();
        empty(&Directory::open(&emptied).unwrap(), DEPTH_MAX).unwrap();
        assert_eq!(fs::read_dir(&emptied).unwrap().count(), 0);
        assert!(kept.join("file").exists());
    }

    #[test]
    fn a_tree_that_is_too_deep_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("a/b/c")).unwrap();
        let error = empty(&Directory::open(place.path()).unwrap(), 2).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::LOOP));
    }
}
