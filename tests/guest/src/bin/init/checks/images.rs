//! Mounts of the images, signed and not.

use crate::system::BUSYBOX;
use anyhow::{Context, Result};
use sealpack_tests::command::run;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something mounted, until this is dropped.
pub(crate) struct Mounted {
    target: PathBuf,
}

impl Mounted {
    /// A file in it, by its path without a leading slash.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.target.join(inside)
    }

    /// Its root directory.
    pub(crate) fn root(&self) -> &Path {
        &self.target
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = busybox(["umount".as_ref(), self.target.as_os_str()]);
        if let Err(error) = unmounted {
            println!("{error:#}");
        }
    }
}

/// Runs a command of busybox.
pub(crate) fn busybox<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> Result<()> {
    run(Command::new(BUSYBOX).args(words)).map(drop)
}

/// Binds a directory or a file over another one.
pub(crate) fn bind(source: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<Mounted> {
    let (source, target) = (source.as_ref(), target.as_ref());
    let bound = busybox(["mount".as_ref(), "--bind".as_ref(), source.as_os_str(), target.as_os_str()]);
    bound.with_context(|| format!("cannot bind {} over {}", source.display(), target.display()))?;
    Ok(Mounted { target: target.to_owned() })
}

/// A new directory to mount on.
pub(crate) fn target(name: &str) -> Result<PathBuf> {
    let target = Path::new("/disk/mnt").join(name);
    fs::create_dir_all(&target)?;
    Ok(target)
}

/// An image from signed devices.
pub(crate) fn signed(image: &str) -> Result<Mounted> {
    bind(Path::new("/tools/images").join(image), target(image)?)
}

/// The same image from devices, or files, that nobody signed.
pub(crate) fn unsigned(image: &str, target: &Path) -> Result<Mounted> {
    bind(Path::new("/disk/layouts").join(image), target)
}

/// An image from signed devices, with a writable layer on ext4.
pub(crate) fn writable(image: &str) -> Result<Mounted> {
    let target = target(&format!("{image}-writable"))?;
    let layers = Path::new("/disk/upper").join(image);
    for part in ["upper", "work"] {
        fs::create_dir_all(layers.join(part))?;
    }
    let options =
        format!("lowerdir=/tools/images/{image},upperdir={0}/upper,workdir={0}/work", layers.display());
    busybox(
        ["mount", "-t", "overlay", "overlay", "-o", &options]
            .map(OsStr::new)
            .into_iter()
            .chain([target.as_os_str()]),
    )?;
    Ok(Mounted { target })
}
