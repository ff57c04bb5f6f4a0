//! The overlay of an image and directories of objects.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sealpack_kernel::mount::{DetachedMount, fd_path};
use sealpack_kernel::{Errno, Kernel};

use super::{MountError, MountOptions, Verity};

/// What the C tool calls its mounts.
const SOURCE: &str = "composefs";

/// A directory that stays the same, whatever becomes of its name.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) directory: File,
    /// The path without symbolic links.
    path: PathBuf,
}

impl Layer {
    pub(super) fn open(path: &Path) -> Result<Self, MountError> {
        let failed = |error| MountError::Io { path: path.to_owned(), error };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory: File =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?.into();
        let path = std::fs::read_link(fd_path(&directory)).map_err(failed)?;
        Ok(Self { directory, path })
    }

    /// Opens the same directory again, for another mount namespace.
    fn reopen(&self) -> Result<Self, MountError> {
        let again = Self::open(&self.path)?;
        let identity = |layer: &Self| layer.directory.metadata().map(|status| (status.dev(), status.ino()));
        match (identity(self), identity(&again)) {
            (Ok(before), Ok(now)) if before == now => Ok(again),
            _ => Err(MountError::Replaced(self.path.clone())),
        }
    }
}

/// The directories of an overlay beside the image, by the names of overlayfs's options.
#[derive(Debug)]
pub(super) struct Layers(Vec<(&'static str, Layer)>);

impl Layers {
    pub(super) fn open(options: &MountOptions) -> Result<Self, MountError> {
        let objects = options.objects.iter().map(|path| ("datadir+", path));
        let writable = options.writable.iter();
        let writable =
            writable.flat_map(|writable| [("upperdir", &writable.upper), ("workdir", &writable.work)]);
        let layers = objects.chain(writable).map(|(key, path)| Ok((key, Layer::open(path)?)));
        layers.collect::<Result<_, _>>().map(Self)
    }

    fn reopen(&self) -> Result<Self, MountError> {
        let layers = self.0.iter().map(|(key, layer)| Ok((*key, layer.reopen()?)));
        layers.collect::<Result<_, _>>().map(Self)
    }
}

/// How layers are named to overlayfs.
#[derive(Clone, Copy)]
enum Naming {
    /// As descriptors: Linux 6.13, detached mounts among them 6.15.
    Descriptor,
    /// As the paths of descriptors.
    Path,
}

/// Makes the overlay and mounts it, attached nowhere. Where the kernel does not take layers by
/// descriptor, or none that are attached nowhere, the image is attached in a mount namespace
/// that lasts just long enough to make the overlay there.
pub(super) fn mount(
    kernel: &Kernel,
    metadata: &DetachedMount,
    layers: &Layers,
    options: &MountOptions,
) -> Result<DetachedMount, MountError> {
    let first = match make(kernel, metadata.as_fd(), layers, options, Naming::Descriptor) {
        Err(error)
            if error.call().name == "fsconfig" && matches!(error.errno(), Errno::INVAL | Errno::BADF) =>
        {
            error
        }
        result => return Ok(result?),
    };
    let in_private = || {
        // What was opened before is in the namespace that this one is a copy of.
        let reopened = layers.reopen()?;
        let root = Layer::open(Path::new("/"))?;
        kernel.attach(metadata, &root.directory)?;
        Ok(make(kernel, metadata.as_fd(), &reopened, options, Naming::Path)?)
    };
    match kernel.with_private_mounts(in_private) {
        Ok(Ok(mount)) => Ok(mount),
        Ok(Err(second)) => Err(second),
        Err(error) => Err(error.into()),
    }
    .map_err(|second| {
        let other_way = "a mount namespace of its own";
        MountError::BothWays { first, other_way, second: Box::new(second) }
    })
}

fn make(
    kernel: &Kernel,
    metadata: BorrowedFd<'_>,
    layers: &Layers,
    options: &MountOptions,
    naming: Naming,
) -> Result<DetachedMount, sealpack_kernel::Error> {
    let context = kernel.fsopen("overlay")?;
    context.set_string("source", SOURCE)?;
    context.set_string("metacopy", "on")?;
    context.set_string("redirect_dir", "on")?;
    if options.verity != Verity::Off {
        match context.set_string("verity", "require") {
            Err(error) if options.verity == Verity::Require => return Err(error),
            _ => {}
        }
    }
    let set = |key, fd: BorrowedFd<'_>| match naming {
        Naming::Descriptor => context.set_fd(key, fd),
        Naming::Path => context.set_string(key, fd_path(fd)),
    };
    set("lowerdir+", metadata)?;
    for (key, layer) in &layers.0 {
        set(key, layer.directory.as_fd())?;
    }
    context.create()?;
    context.mount(options.attributes)
}
