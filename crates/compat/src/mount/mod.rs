//! Mounting an image as `mount.composefs` does: the image as EROFS, an overlay of it with the
//! objects as data-only layers, attached to a directory.
//!
//! The mount means what the C tool's means: nothing is set on it that was not asked for.
//! Nothing is seen before it is complete, and nothing stays when it fails.

mod options;
mod overlay;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sealpack_format::erofs::header::{Header, UnsupportedHeader};
use sealpack_kernel::fsverity::Measurement;
use sealpack_kernel::mount::{DetachedMount, MountAttributes, fd_path};
use sealpack_kernel::{Errno, Kernel};

pub use options::{MountOptions, OptionError, Verity, Writable};

/// Why an image cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A digest is asked for, and the image file has none.
    #[error("Image has no fs-verity")]
    NoVerity,
    /// The image file has another digest than asked for.
    #[error("Image has wrong fs-verity")]
    WrongVerity,
    /// Not an image that can be mounted.
    #[error("this is not a metadata image that can be mounted: {0}")]
    Image(#[from] UnsupportedHeader),
    /// A file or directory that cannot be opened or read.
    #[error("{path:?}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The failure.
        error: io::Error,
    },
    /// A directory was replaced by another one meanwhile.
    #[error("{0:?} was replaced while it was being mounted; try again")]
    Replaced(PathBuf),
    /// A system call failed.
    #[error(transparent)]
    Call(#[from] sealpack_kernel::Error),
    /// A system call failed in one way, and then in another.
    #[error("{second} (and before, without {other_way}: {first})")]
    BothWays {
        /// The first failure.
        first: sealpack_kernel::Error,
        /// What was different the second time.
        other_way: &'static str,
        /// The second failure.
        second: Box<Self>,
    },
}

/// Mounts the image at `image` on the directory `target`.
///
/// # Errors
/// See [`MountError`].
pub fn mount(kernel: &Kernel, image: &Path, target: &Path, options: &MountOptions) -> Result<(), MountError> {
    let user_namespace = options.idmap.as_deref().map(open_file).transpose()?;
    let file = open_file(image)?;
    check_digest(kernel, &file, options)?;
    let header = header(&file, image)?;
    let target = overlay::Layer::open(target)?;
    let layers = overlay::Layers::open(options)?;
    let metadata = mount_image(kernel, &file, &header)?;
    if let Some(user_namespace) = &user_namespace {
        kernel.set_idmap(&metadata, user_namespace)?;
    }
    let overlay = overlay::mount(kernel, &metadata, &layers, options)?;
    Ok(kernel.attach(&overlay, &target.directory)?)
}

/// Opens a file for reading; not waiting for a writer of a fifo.
fn open_file(path: &Path) -> Result<File, MountError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| MountError::Io { path: path.to_owned(), error })
}

fn check_digest(kernel: &Kernel, file: &File, options: &MountOptions) -> Result<(), MountError> {
    let Some(expected) = &options.digest else { return Ok(()) };
    match kernel.measure_verity(file)? {
        Measurement::Digest(actual) if actual == *expected => Ok(()),
        Measurement::Digest(_) | Measurement::ForeignAlgorithm(_) => Err(MountError::WrongVerity),
        Measurement::NotEnabled | Measurement::Unsupported => Err(MountError::NoVerity),
    }
}

fn header(file: &File, path: &Path) -> Result<Header, MountError> {
    let mut start = [0; 32];
    match file.read_exact_at(&mut start, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(UnsupportedHeader::Magic.into());
        }
        Err(error) => return Err(MountError::Io { path: path.to_owned(), error }),
    }
    Ok(Header::of(&start)?)
}

/// Mounts the image as EROFS, attached nowhere: the file or, where the kernel refuses that, a
/// loop device of it.
fn mount_image(kernel: &Kernel, file: &File, header: &Header) -> Result<DetachedMount, MountError> {
    let mount_from = |source: &Path| {
        let context = kernel.fsopen("erofs")?;
        context.set_string("source", source)?;
        context.set_flag("ro")?;
        if !header.has_acl {
            context.set_flag("noacl")?;
        }
        context.create()?;
        context.mount(MountAttributes { read_only: true, ..MountAttributes::default() })
    };
    let refuses_files = |errno| matches!(errno, Errno::NOTBLK | Errno::INVAL | Errno::OPNOTSUPP);
    let first = match mount_from(&fd_path(file)) {
        Err(error) if refuses_files(error.errno()) => error,
        result => return Ok(result?),
    };
    let from_loop = kernel.attach_loop(file.as_fd()).and_then(|device| mount_from(&fd_path(&device)));
    from_loop.map_err(|error| {
        let second = Box::new(error.into());
        MountError::BothWays { first, other_way: "a loop device", second }
    })
}

#[cfg(test)]
mod tests;
