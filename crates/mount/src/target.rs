//! Directories that a mount needs, opened once and checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sealpack_kernel::Kernel;
use sealpack_kernel::mount::fd_path;
use sealpack_kernel::mountinfo::{self, Mount};

use crate::error::Error;
use crate::plan::{Layer, Plan, Setting};
use crate::source::{has_our_layers, image_of};

/// A directory that stays the same, whatever becomes of its name.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) file: File,
    /// The path without symbolic links.
    pub(crate) path: PathBuf,
}

impl Directory {
    pub(crate) fn open(what: &'static str, path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::Io { what, path: path.to_owned(), error };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file: File = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?.into();
        let path = std::fs::read_link(fd_path(&file)).map_err(failed)?;
        Ok(Self { file, path })
    }

    /// Opens the directory again by its path, for another mount namespace.
    ///
    /// # Errors
    /// When it is another directory by now.
    pub(crate) fn reopen(&self, what: &'static str) -> Result<Self, Error> {
        let again = Self::open(what, &self.path)?;
        let identity =
            |directory: &Self| directory.file.metadata().map(|status| (status.dev(), status.ino()));
        match (identity(self), identity(&again)) {
            (Ok(before), Ok(now)) if before == now => Ok(again),
            _ => Err(Error::Replaced(self.path.clone())),
        }
    }
}

/// Opens the target, which must not have an image mounted.
pub(crate) fn open_target(kernel: &Kernel, path: &Path) -> Result<Directory, Error> {
    let target = Directory::open("the target", path)?;
    let doing = "looking at the target";
    let location = kernel.location(&target.file).map_err(|error| Error::Call { doing, error })?;
    if !location.is_mount_root {
        return Ok(target);
    }
    let mounts = mountinfo::read_own().map_err(Error::Mountinfo)?;
    match mounts
        .iter()
        .find(|mount| mount.id == location.mount_id)
        .filter(|mount| has_our_layers(mount))
        .and_then(image_of)
    {
        Some(image) => Err(Error::AlreadyMounted { target: target.path, image }),
        None => Ok(target),
    }
}

/// Opens the directories that the plan has as layers of the overlay, in its order.
pub(crate) fn open_layers(kernel: &Kernel, plan: &Plan) -> Result<Vec<Directory>, Error> {
    let mut directories = Vec::new();
    let (mut upper, mut work) = (None, None);
    for setting in &plan.overlay.settings {
        let Setting::Layer(key, Layer::Directory(path)) = setting else { continue };
        match *key {
            "upperdir" => upper = Some(directories.len()),
            "workdir" => work = Some(directories.len()),
            _ => {}
        }
        directories.push(Directory::open(purpose(key), path)?);
    }
    if let (Some(upper), Some(work)) = (upper, work) {
        check_writable(kernel, &directories[upper], &directories[work], !plan.overlay.attributes.read_only)?;
    }
    Ok(directories)
}

/// What the directory of an overlay's option is, for messages.
pub(crate) fn purpose(key: &str) -> &'static str {
    match key {
        "upperdir" => "upper directory",
        "workdir" => "work directory",
        _ => "the directory with objects",
    }
}

fn check_writable(kernel: &Kernel, upper: &Directory, work: &Directory, writes: bool) -> Result<(), Error> {
    let doing = "looking at the upper and work directories";
    let locate = |directory: &Directory| {
        kernel.location(&directory.file).map_err(|error| Error::Call { doing, error })
    };
    let paths = || (upper.path.clone(), work.path.clone());
    let mount_id = locate(upper)?.mount_id;
    if mount_id != locate(work)?.mount_id {
        let (upper, work) = paths();
        return Err(Error::WritableApart { upper, work });
    }
    if upper.path.starts_with(&work.path) || work.path.starts_with(&upper.path) {
        let (upper, work) = paths();
        return Err(Error::WritableNested { upper, work });
    }
    let mounts = mountinfo::read_own().map_err(Error::Mountinfo)?;
    let on = mounts.iter().find(|mount| mount.id == mount_id);
    if writes && on.is_some_and(|mount| mount.has_attribute("ro") || mount.option("ro").is_some()) {
        return Err(Error::WritableReadOnly(upper.path.clone()));
    }
    let uses = |mount: &&Mount| {
        mount.fs_type == "overlay" && mount.option("upperdir").as_deref() == Some(upper.path.as_os_str())
    };
    match mounts.iter().find(uses) {
        Some(other) => {
            Err(Error::UpperInUse { upper: upper.path.clone(), target: other.mount_point.clone() })
        }
        None => Ok(()),
    }
}
