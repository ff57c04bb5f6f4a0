//! The overlay of the metadata image and the objects or packs.

use std::fs::File;
use std::os::fd::AsFd;

use sealpack_kernel::mount::{DetachedMount, fd_path};
use sealpack_kernel::{Errno, Kernel};

use crate::error::Error;
use crate::lowers::explained;
use crate::plan::{Filesystem, Layer, Setting};
use crate::target::{Directory, purpose};

const DOING: &str = "mounting the overlay";

/// How layers are named to overlayfs.
#[derive(Clone, Copy)]
enum Naming {
    /// As descriptors: Linux 6.13, detached mounts among them 6.15.
    Descriptor,
    /// As the paths of descriptors, or where they are attached in a place of this process's own.
    Path,
}

/// Makes the overlay and mounts it, attached nowhere. `lowers` are the metadata image and the
/// packs, `directories` the plan's layers that are directories, in its order.
///
/// Where the kernel does not take descriptors, or no layers that are attached nowhere, the
/// lowers are attached in a mount namespace that lasts just long enough to make the overlay
/// there.
pub(crate) fn mount(
    kernel: &Kernel,
    filesystem: &Filesystem,
    lowers: &[&DetachedMount],
    directories: &[Directory],
) -> Result<DetachedMount, Error> {
    let first = match make(kernel, filesystem, lowers, directories, Naming::Descriptor) {
        Ok(mount) => return Ok(mount),
        Err(error) if refuses_descriptors(&error) => error,
        Err(error) => return Err(explained(DOING, filesystem.fs_type, error)),
    };
    let result = kernel.with_private_mounts(|| in_private(kernel, filesystem, lowers, directories));
    let second = match result {
        Ok(Ok(mount)) => return Ok(mount),
        Ok(Err(error)) => error,
        Err(error) => explained(DOING, filesystem.fs_type, error),
    };
    let other_way = "in a mount namespace of its own";
    Err(Error::BothWays { doing: DOING, first, other_way, second: Box::new(second) })
}

/// Whether an error of making the overlay may mean that it takes no layers by descriptor
/// (`EINVAL`), none by `O_PATH` descriptor, as mounts have (`EBADF`), or none attached nowhere
/// (`EINVAL`). A bad option is `EINVAL` too, and fails again then.
fn refuses_descriptors(error: &sealpack_kernel::Error) -> bool {
    error.call().name == "fsconfig" && matches!(error.errno(), Errno::INVAL | Errno::BADF)
}

/// Makes the overlay in a mount namespace that nobody else uses, where the layers can be
/// attached: before Linux 6.15, overlayfs wants them in the namespace of whoever mounts.
///
/// All are attached to the root directory, one over the other. Nothing is looked up through
/// them: a process's root stays the mount that it was. In a place of one's own, each has a directory, for there are no
/// paths of descriptors.
fn in_private(
    kernel: &Kernel,
    filesystem: &Filesystem,
    lowers: &[&DetachedMount],
    directories: &[Directory],
) -> Result<DetachedMount, Error> {
    // What was opened before is in the namespace that this one is a copy of.
    let keys = filesystem.settings.iter().filter_map(|setting| match setting {
        Setting::Layer(key, Layer::Directory(_)) => Some(*key),
        _ => None,
    });
    let reopened: Vec<Directory> = keys
        .zip(directories)
        .map(|(key, directory)| directory.reopen(purpose(key)))
        .collect::<Result<_, _>>()?;
    let failed = |error| explained(DOING, filesystem.fs_type, error);
    for (number, lower) in lowers.iter().enumerate() {
        let path = kernel.lower_place(number).unwrap_or_else(|| "/".into());
        let place = match File::open(&path) {
            Ok(place) => place,
            Err(error) => return Err(Error::Io { what: "the directory for a layer", path, error }),
        };
        kernel.attach(lower, &place).map_err(failed)?;
    }
    make(kernel, filesystem, lowers, &reopened, Naming::Path).map_err(failed)
}

fn make(
    kernel: &Kernel,
    filesystem: &Filesystem,
    lowers: &[&DetachedMount],
    directories: &[Directory],
    naming: Naming,
) -> Result<DetachedMount, sealpack_kernel::Error> {
    let context = kernel.fsopen(filesystem.fs_type)?;
    let mut directories = directories.iter();
    let lower = |index: usize| lowers.get(index).map(|lower| lower.as_fd());
    for setting in &filesystem.settings {
        let (key, fd, number) = match setting {
            Setting::Flag(key) => {
                context.set_flag(key)?;
                continue;
            }
            Setting::Text(key, value) => {
                context.set_string(key, value)?;
                continue;
            }
            // What overlayfs shows as its source is text.
            Setting::Source => continue,
            Setting::Layer(key, layer) => {
                let (fd, number) = match layer {
                    Layer::Metadata => (lower(0), Some(0)),
                    Layer::Pack(index) => (lower(index + 1), Some(index + 1)),
                    Layer::Directory(_) => (directories.next().map(|directory| directory.file.as_fd()), None),
                };
                (*key, fd.expect("one was opened or mounted for each in the plan"), number)
            }
        };
        match naming {
            Naming::Descriptor => context.set_fd(key, fd)?,
            Naming::Path => {
                let place = number.and_then(|number| kernel.lower_place(number));
                context.set_string(key, place.unwrap_or_else(|| fd_path(fd)))?;
            }
        }
    }
    context.create()?;
    context.mount(filesystem.attributes)
}
