//! Filesystems and devices that mounts are made of, tried for real.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::system::{Driver, System};
use super::{Finding, available, missing, unknown};
use crate::fsverity::Measurement;
use crate::mount::{DetachedMount, MountAttributes, fd_path};
use crate::{Error, Kernel, mountinfo};

/// Asks for a filesystem, and without the privilege to ask, looks for it.
pub(super) fn filesystem(kernel: &Kernel, system: &System, fs_type: &str) -> Finding {
    let error = match kernel.fsopen(fs_type) {
        Ok(_) => return available("present"),
        Err(error) => error,
    };
    match error.errno() {
        Errno::NODEV => missing("the kernel does not know it"),
        Errno::PERM if system.has_filesystem(fs_type) => available("present"),
        Errno::PERM => match system.driver(fs_type) {
            Driver::Present => available("present"),
            Driver::Module => available("a module, loaded when needed"),
            Driver::Absent => missing("the kernel does not know it, and there is no module"),
            Driver::Unknown => unknown("not loaded; root could tell"),
        },
        Errno::NOSYS => missing(format!("no mount API: {error}")),
        _ => unknown(error.to_string()),
    }
}

/// Mounts a file that is not an EROFS image: where the kernel takes files, it says just that
/// (`EINVAL`), elsewhere it wants a block device (`ENOTBLK`).
pub(super) fn erofs_from_file(kernel: &Kernel, place: &Path) -> Finding {
    let file = match nameless_file(place) {
        Ok(file) => file,
        Err(finding) => return finding,
    };
    let attempt = || -> Result<(), Error> {
        let context = kernel.fsopen("erofs")?;
        context.set_flag("ro")?;
        context.set_string("source", fd_path(&file))?;
        context.create()
    };
    match attempt().map_err(|error| (error.errno(), error)) {
        Ok(()) => unknown("the kernel took a file of zeros for an image"),
        Err((Errno::INVAL, _)) => available(format!("on the filesystem of {}", place.display())),
        Err((Errno::NOTBLK, _)) => missing(format!("not on the filesystem of {}", place.display())),
        Err((Errno::NODEV, _)) => missing("there is no EROFS"),
        Err((_, error)) => cannot_try(&error),
    }
}

/// Does not attach a device, which would be seen by others.
pub(super) fn loop_devices(kernel: &Kernel, system: &System) -> Finding {
    let error = match kernel.open_device(Path::new("/dev/loop-control")) {
        Ok(_) => return available("/dev/loop-control"),
        Err(error) => error,
    };
    match (error.errno(), system.driver("loop")) {
        (Errno::ACCESS | Errno::PERM, Driver::Present) => available("present"),
        (Errno::ACCESS | Errno::PERM, _) => unknown("root could tell"),
        (_, Driver::Present | Driver::Module) => {
            missing(format!("the kernel has them, but {error}: is /dev complete?"))
        }
        _ => missing(error.to_string()),
    }
}

/// Sets options of an overlay that is never made.
pub(super) fn overlay_options(kernel: &Kernel, options: &[(&str, &str)]) -> Finding {
    let attempt = || -> Result<(), Error> {
        let context = kernel.fsopen("overlay")?;
        options.iter().try_for_each(|(key, value)| context.set_string(key, value))
    };
    match attempt() {
        Ok(()) => available("the options are accepted"),
        Err(error) if error.errno() == Errno::INVAL => missing(error.to_string()),
        Err(error) if error.errno() == Errno::NODEV => missing("there is no overlayfs"),
        Err(error) => cannot_try(&error),
    }
}

/// Makes an overlay of two filesystems in memory that are mounted nowhere, itself mounted
/// nowhere.
pub(super) fn detached_layers(kernel: &Kernel) -> Finding {
    let attempt = || -> Result<(), Error> {
        let layers = [tmpfs(kernel)?, tmpfs(kernel)?];
        let context = kernel.fsopen("overlay")?;
        for (key, value) in [("metacopy", "on"), ("redirect_dir", "on")] {
            context.set_string(key, value)?;
        }
        context.set_fd("lowerdir+", &layers[0])?;
        context.set_fd("datadir+", &layers[1])?;
        context.create()
    };
    match attempt() {
        Ok(()) => available("an overlay was made of them"),
        Err(error) if matches!(error.errno(), Errno::INVAL | Errno::BADF | Errno::NODEV) => {
            missing(error.to_string())
        }
        Err(error) => cannot_try(&error),
    }
}

/// Measures a file that has no fs-verity: where it could have, the kernel says just that
/// (`ENODATA`).
pub(super) fn fs_verity(kernel: &Kernel, system: &System, place: &Path) -> Finding {
    let file = match nameless_file(place) {
        Ok(file) => file,
        Err(finding) => return finding,
    };
    let filesystem = filesystem_name(kernel, &file).unwrap_or_else(|| "the filesystem".to_owned());
    let at = format!("{filesystem} at {}", place.display());
    match kernel.measure_verity(&file) {
        Ok(Measurement::NotEnabled | Measurement::Digest(_) | Measurement::ForeignAlgorithm(_)) => {
            available(at)
        }
        Ok(Measurement::Unsupported) if is_built_without_verity(system) => {
            missing("the kernel was built without it")
        }
        Ok(Measurement::Unsupported) => missing(format!("not on {at}")),
        Err(error) => unknown(error.to_string()),
    }
}

/// ext4 lists its features as built, so where it does not list this one, the kernel lacks it.
fn is_built_without_verity(system: &System) -> bool {
    system.exists("sys/fs/ext4/features") && !system.exists("sys/fs/ext4/features/verity")
}

fn filesystem_name(kernel: &Kernel, file: &File) -> Option<String> {
    let location = kernel.location(file).ok()?;
    let mounts = mountinfo::read_own().ok()?;
    let mount = mounts.into_iter().find(|mount| mount.id == location.mount_id)?;
    Some(mount.fs_type.to_string_lossy().into_owned())
}

fn tmpfs(kernel: &Kernel) -> Result<DetachedMount, Error> {
    let context = kernel.fsopen("tmpfs")?;
    context.create()?;
    context.mount(MountAttributes { nosuid: true, nodev: true, noexec: true, read_only: false })
}

/// A file of one block of zeros in the filesystem of `place`, with no name in it.
fn nameless_file(place: &Path) -> Result<File, Finding> {
    let failed = |error: std::io::Error| {
        unknown(format!("no file for a trial can be made in {}: {error}", place.display()))
    };
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(place, flags, Mode::RUSR | Mode::WUSR);
    let mut file = File::from(file.map_err(|errno| failed(errno.into()))?);
    file.write_all(&[0; 4096]).map_err(failed)?;
    Ok(file)
}

fn cannot_try(error: &Error) -> Finding {
    match error.errno() {
        Errno::PERM => unknown("only root can try"),
        _ => unknown(error.to_string()),
    }
}
