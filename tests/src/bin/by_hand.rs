//! The system calls of a mount and nothing else: what is mounted is neither opened before nor checked.
//!
//! `sealpack-by-hand mount TARGET METADATA-IMAGE files OBJECTS`, `… packs PACK…`, `sealpack-by-hand umount TARGET`

use anyhow::{Context, Result, bail};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};
use std::ffi::OsString;

const USAGE: &str =
    "usage: sealpack-by-hand mount TARGET METADATA-IMAGE (files OBJECTS | packs PACK...), or: umount TARGET";

fn main() -> Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [verb, target] if verb == "umount" => Ok(unmount(target.as_os_str(), UnmountFlags::empty())?),
        [verb, target, image, form, data @ ..] if verb == "mount" && !data.is_empty() => {
            let data: Result<Vec<OwnedFd>> = match form.to_str() {
                Some("files") => data.iter().map(directory).collect(),
                Some("packs") => data.iter().map(erofs).collect(),
                _ => bail!(USAGE),
            };
            mount(target, &erofs(image)?, &data?)
        }
        _ => bail!(USAGE),
    }
}

fn directory(path: &OsString) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path.as_os_str(), flags, Mode::empty()).with_context(|| format!("cannot open {}", path.display()))
}

fn attributes() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV
}

/// Mounts an EROFS image from its file, attached nowhere.
fn erofs(image: &OsString) -> Result<OwnedFd> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_flag(context.as_fd(), "ro")?;
    fsconfig_set_string(context.as_fd(), "source", image.as_os_str())?;
    fsconfig_create(context.as_fd()).with_context(|| format!("cannot mount {}", image.display()))?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes())?)
}

fn mount(target: &OsString, metadata: &OwnedFd, data: &[OwnedFd]) -> Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    fsconfig_set_flag(context, "ro")?;
    fsconfig_set_string(context, "metacopy", "on")?;
    fsconfig_set_string(context, "redirect_dir", "on")?;
    fsconfig_set_fd(context, "lowerdir+", metadata.as_fd())
        .context("this kernel takes no descriptors (Linux 6.15)")?;
    for layer in data {
        fsconfig_set_fd(context, "datadir+", layer.as_fd())?;
    }
    fsconfig_create(context)?;
    let overlay = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(overlay.as_fd(), "", CWD, target.as_os_str(), flags)?)
}
