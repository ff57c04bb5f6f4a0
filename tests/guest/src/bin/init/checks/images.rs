//! Mounts of the images, signed and not, by the `sealpack` that users run.

use crate::system::{BUSYBOX, SEALPACK};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{run, stdout};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something mounted, until this is dropped.
pub(crate) struct Mounted {
    target: PathBuf,
}

impl Mounted {
    /// What somebody else mounted at `target`.
    pub(crate) fn at(target: &Path) -> Self {
        Self { target: target.to_owned() }
    }

    /// A file in it, by its path without a leading slash.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.target.join(inside)
    }

    /// A file in it, by its absolute path in the image.
    pub(crate) fn path_of(&self, absolute: &OsStr) -> OsString {
        let mut path = self.target.clone().into_os_string();
        path.push(absolute);
        path
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

/// A store on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// Images in packs, pulled from a registry with the seals that the trusted key published there.
    Sealed,
    /// What was pulled for the demo.
    Pulled,
    /// Images in packs, sealed by a key that the kernel does not know.
    Unknown,
    /// Images in packs that nobody sealed.
    Unsealed,
    /// Images in packs, `one` sealed by the retiring key, `two` by that and the succeeding one.
    Rotation,
    /// Images in files with fs-verity.
    Files,
}

impl Store {
    /// Where it is.
    pub(crate) fn path(self) -> &'static Path {
        Path::new(match self {
            Self::Sealed => "/disk/sealed/store",
            Self::Pulled => "/disk/pulled/store",
            Self::Unknown => "/disk/unknown/store",
            Self::Unsealed => "/disk/unsealed/store",
            Self::Rotation => "/disk/rotation/store",
            Self::Files => "/disk/files/store",
        })
    }

    /// `sealpack` for this store.
    pub(crate) fn sealpack<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(SEALPACK);
        command.arg("--store").arg(self.path()).args(words);
        command
    }

    /// Mounts an image of it at `target`, with at least this level.
    pub(crate) fn mount(self, image: &str, target: &Path, level: &str) -> Result<Mounted> {
        let said = stdout(self.sealpack(["mount", image, "--require", level]).arg(target))?;
        ensure!(said.contains(level), "what was achieved is not said: {said}");
        Ok(Mounted { target: target.to_owned() })
    }

    /// Mounts an image of it at `target` as one that nobody sealed.
    pub(crate) fn mount_unsigned(self, image: &str, target: &Path) -> Result<Mounted> {
        run(self.sealpack(["mount", image, "--at-most", "verified"]).arg(target))?;
        Ok(Mounted { target: target.to_owned() })
    }

    /// Pulls the images `one` and `two` if nobody has.
    pub(crate) fn fill(self) -> Result<()> {
        if !self.path().exists() {
            fs::create_dir_all(self.path())?;
            for image in ["one", "two"] {
                run(&mut self.sealpack([
                    "pull",
                    &format!("oci:/disk/layouts/{image}:latest"),
                    "--name",
                    image,
                ]))?;
            }
        }
        Ok(())
    }
}

/// An image whose devices are signed, under a policy that is enforced.
pub(crate) fn signed(image: &str) -> Result<Mounted> {
    Store::Sealed.mount(image, &target(image)?, "enforced")
}

/// The same image from files with fs-verity, as any composefs mount has it.
pub(crate) fn unsigned(image: &str, target: &Path) -> Result<Mounted> {
    Store::Files.fill()?;
    Store::Files.mount(image, target, "verified")
}

/// Puts an unsigned mount over another mount, which sealpack itself does not do.
pub(crate) fn unsigned_over(image: &str, target: &Path) -> Result<[Mounted; 2]> {
    let unsigned = unsigned(image, &self::target("unsigned-over")?)?;
    // The upper one goes first.
    Ok([bind(unsigned.root(), target)?, unsigned])
}

/// An image whose devices are signed, with an empty writable layer on ext4.
pub(crate) fn writable(image: &str) -> Result<Mounted> {
    let target = target(&format!("{image}-writable"))?;
    let layers = Path::new("/disk/upper").join(image);
    if layers.exists() {
        fs::remove_dir_all(&layers)?;
    }
    let (upper, work) = (layers.join("upper"), layers.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let mut mount = Store::Sealed.sealpack(["mount", image, "--require", "enforced"]);
    run(mount.arg(&target).arg("--upper").arg(upper).arg("--work").arg(work))?;
    Ok(Mounted { target })
}

/// Why there is no image `python`, unless there is one.
pub(crate) fn why_no_python() -> Option<String> {
    fs::read_to_string("/disk/sealed/no-python").ok()
}
