//! `/etc`: the image's, with what is written to it kept elsewhere.

mod kept;

use std::path::Path;

use rustix::fs::Mode;
use sealpack_format::boot::keep::{KeepList, LIST_MAX_BYTES, LIST_PATH};
use sealpack_format::boot::{Etc, data};
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;
use sealpack_kernel::mount::{MountAttributes, fd_path};

use super::failure::Failure;
use super::{files, mounts, state};
use crate::kernel_log::{self, Matters};

/// What is written to `/etc`, where it is not kept: a name in the initramfs, from where it is taken away again.
const SCRATCH: &str = "/etc-changes";
/// The most messages about files that are not kept.
const PASSED_OVER_TOLD_MAX: usize = 6;
/// In [`SCRATCH`].
const UPPER: &str = "upper";
/// In [`SCRATCH`], and beside [`data::ETC_UPPER`] on the data partition.
const WORK: &str = "work";

/// Mounts it in the image, which is mounted at `image`; the data partition is at `partition`.
///
/// # Errors
/// The image has no `/etc`, or a list of what is kept that is none; the kernel does not make the overlay.
pub(super) fn mount(kernel: &Kernel, etc: Etc, partition: &Directory, image: &Path) -> Result<(), Failure> {
    match etc {
        Etc::Tmpfs => {
            let kept = kept_of(image)?;
            let scratch = Path::new(SCRATCH);
            mounts::mount_tmpfs(kernel, SCRATCH)?;
            let directory = mounts::open(scratch)?;
            overlay(kernel, image, &directory, UPPER, WORK)?;
            // The overlay holds it; nobody else shall.
            kernel.unmount(scratch, true)?;
            copy_kept(&kept, partition, image)
        }
        Etc::Persistent => {
            let work = format!("{}.{WORK}", data::ETC_UPPER);
            overlay(kernel, image, partition, data::ETC_UPPER, &work)
        }
    }
}

/// The list of the image at `image`, or the one that holds where it has none.
fn kept_of(image: &Path) -> Result<KeepList, Failure> {
    let path = image.join(LIST_PATH.trim_start_matches('/'));
    match path.try_exists() {
        Ok(false) => Ok(KeepList::built_in()),
        Ok(true) => {
            let list = KeepList::parse(&files::read(&path, LIST_MAX_BYTES)?);
            list.map_err(|error| Failure::new(format!("{LIST_PATH} of the image, {error}")))
        }
        Err(error) => Err(Failure::at(&path, &error)),
    }
}

/// Mounts an overlay over `/etc` of the image, with these two directories of `changes`, which are made if need be.
fn overlay(
    kernel: &Kernel,
    image: &Path,
    changes: &Directory,
    upper: &str,
    work: &str,
) -> Result<(), Failure> {
    let made = |name: &str| {
        changes.make_sub(name, 0o755).map_err(|error| Failure::at(&changes.path().join(name), &error))
    };
    let (upper, work) = (made(upper)?, made(work)?);
    let target = state::in_image(image, data::ETC)?;
    // What is seen of the directory itself is the upper one's.
    let like = rustix::fs::fstat(&target);
    like.and_then(|like| rustix::fs::fchmod(&upper, Mode::from_raw_mode(like.st_mode & 0o777)))
        .map_err(|errno| Failure::at(upper.path(), &errno.into()))?;
    let context = kernel.fsopen("overlay")?;
    context.set_string("source", "sealpack-etc")?;
    // By descriptors' paths, which no comma or backslash in a name changes.
    context.set_string("lowerdir+", fd_path(&target))?;
    context.set_string("upperdir", fd_path(&upper))?;
    context.set_string("workdir", fd_path(&work))?;
    context.create()?;
    let attributes = MountAttributes { nosuid: true, nodev: true, ..MountAttributes::default() };
    let mount = context.mount(attributes)?;
    Ok(kernel.attach(&mount, &target)?)
}

/// Copies the files of the list from the data partition to `/etc` of the image. A file that is not as it should be is
/// passed over and logged: whoever is root on the host can put any file there, and shall not keep it from starting.
fn copy_kept(list: &KeepList, partition: &Directory, image: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::at(&partition.path().join(data::ETC), &error);
    let Some(from) = partition.sub(data::ETC).map_err(failed)? else { return Ok(()) };
    let to = state::in_image(image, data::ETC)?;
    let copied = kept::copy(list, &from, &to);
    let mut text = format!("{} files of /etc are those that were kept", copied.files);
    for passed_over in copied.passed_over.iter().take(PASSED_OVER_TOLD_MAX) {
        kernel_log::write(Matters::Warning, passed_over);
    }
    if copied.passed_over.len() > PASSED_OVER_TOLD_MAX {
        text += &format!("; {} were passed over", copied.passed_over.len());
    }
    kernel_log::write(Matters::Notice, &text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_list_counts_and_where_it_has_none_the_one_that_is_built_in() {
        let image = tempfile::tempdir().unwrap();
        assert_eq!(kept_of(image.path()).unwrap(), KeepList::built_in());
        std::fs::create_dir_all(image.path().join("usr/lib/sealpack")).unwrap();
        let write = |text| std::fs::write(image.path().join("usr/lib/sealpack/etc.keep"), text).unwrap();
        write("/etc/motd\n");
        assert_eq!(kept_of(image.path()).unwrap().entries().len(), 1);
        write("/etc/motd\n/etc/cron.d/\n");
        let failure = kept_of(image.path()).unwrap_err();
        assert!(
            failure.why.starts_with("/usr/lib/sealpack/etc.keep of the image, line 2, "),
            "{}",
            failure.why
        );
    }
}
