//! The metadata image: checked, then mounted, through one descriptor.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sealpack_format::digest::ObjectId;
use sealpack_format::verity::FsVerityHasher;
use sealpack_kernel::fsverity::Measurement;
use sealpack_kernel::mount::{DetachedMount, fd_path};
use sealpack_kernel::{Errno, Kernel};

use crate::error::Error;
use crate::plan::{Filesystem, Plan, Setting};

/// What the kernel reads a mounted metadata image from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// The file itself.
    File,
    /// A loop device, which goes away with the mount.
    Loop(PathBuf),
}

/// A metadata image whose bytes were the right ones.
#[derive(Debug)]
pub(crate) struct CheckedImage {
    file: File,
    /// Whether fs-verity is enabled, so that they stay the right ones.
    pub(crate) has_verity: bool,
}

/// The metadata image, mounted and attached nowhere.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) mount: DetachedMount,
    pub(crate) backing: Backing,
}

impl CheckedImage {
    /// Opens the plan's metadata image and checks that it is the one meant: by its fs-verity
    /// digest where the kernel has it, otherwise by reading all of it.
    ///
    /// What is mounted later is the file that is open now, whatever its name leads to then.
    pub(crate) fn open(kernel: &Kernel, plan: &Plan) -> Result<Self, Error> {
        let path = &plan.image;
        let failed = |error| Error::Io { what: "the metadata image", path: path.clone(), error };
        // Opening a fifo would wait for a writer.
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Error::ImageNotAFile(path.clone()));
        }
        let doing = "measuring the metadata image";
        let measurement = kernel.measure_verity(&file).map_err(|error| Error::Call { doing, error })?;
        if measurement != Measurement::Digest(plan.image_id) {
            // It has no fs-verity, or with parameters of somebody else's choice.
            let actual = digest_of(&file, &plan.image_id).map_err(failed)?;
            if actual != plan.image_id {
                let (expected, actual) = (Box::new(plan.image_id), Box::new(actual));
                return Err(Error::WrongImage { path: path.clone(), expected, actual });
            }
        }
        let has_verity = matches!(measurement, Measurement::Digest(_) | Measurement::ForeignAlgorithm(_));
        Ok(Self { file, has_verity })
    }

    /// Mounts the image as `filesystem`: the file, or where the kernel refuses that, a loop
    /// device of it.
    pub(crate) fn mount(&self, kernel: &Kernel, filesystem: &Filesystem) -> Result<Metadata, Error> {
        let doing = "mounting the metadata image";
        let first = match mount_from(kernel, filesystem, &fd_path(&self.file)) {
            Ok(mount) => return Ok(Metadata { mount, backing: Backing::File }),
            Err(error) if refuses_files(error.errno()) => error,
            Err(error) => return Err(explained(doing, filesystem.fs_type, error)),
        };
        match self.mount_loop(kernel, filesystem) {
            Ok(metadata) => Ok(metadata),
            Err(error) => {
                let second = Box::new(explained(doing, filesystem.fs_type, error));
                Err(Error::BothWays { doing, first, other_way: "a loop device", second })
            }
        }
    }

    fn mount_loop(
        &self,
        kernel: &Kernel,
        filesystem: &Filesystem,
    ) -> Result<Metadata, sealpack_kernel::Error> {
        let device = kernel.attach_loop(self.file.as_fd())?;
        let mount = mount_from(kernel, filesystem, &fd_path(&device))?;
        Ok(Metadata { mount, backing: Backing::Loop(device.path().to_owned()) })
    }
}

/// The error for a call with the filesystem `fs_type`, with what to do where that is known.
pub(crate) fn explained(doing: &'static str, fs_type: &'static str, error: sealpack_kernel::Error) -> Error {
    match (error.call().name, error.errno()) {
        (_, Errno::PERM) => Error::Privilege(error),
        ("fsopen", Errno::NODEV) => Error::NoFilesystem { filesystem: fs_type, error },
        _ => Error::Call { doing, error },
    }
}

fn mount_from(
    kernel: &Kernel,
    filesystem: &Filesystem,
    source: &Path,
) -> Result<DetachedMount, sealpack_kernel::Error> {
    let context = kernel.fsopen(filesystem.fs_type)?;
    for setting in &filesystem.settings {
        match setting {
            Setting::Flag(key) => context.set_flag(key)?,
            Setting::Text(key, value) => context.set_string(key, value)?,
            Setting::File(key, _) | Setting::Layer(key, _) => context.set_string(key, source)?,
        }
    }
    context.create()?;
    context.mount(filesystem.attributes)
}

/// Whether an error of mounting a file may mean that it has to be a block device: `ENOTBLK`
/// before Linux 6.12, and later where the file's filesystem cannot serve (tmpfs); `EINVAL` and
/// `EOPNOTSUPP` where it can not either, for other reasons. A broken image is `EINVAL` too, and
/// fails again then.
fn refuses_files(errno: Errno) -> bool {
    matches!(errno, Errno::NOTBLK | Errno::INVAL | Errno::OPNOTSUPP)
}

/// Reads all of `file` and computes its fs-verity digest, with the algorithm of `expected`.
fn digest_of(mut file: &File, expected: &ObjectId) -> std::io::Result<ObjectId> {
    let mut hasher =
        FsVerityHasher::with_leaf_hash(expected.algorithm(), sealpack_kernel::sha256::leaf_hash());
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
