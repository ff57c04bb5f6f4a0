//! Removing from a store what neither its images nor the machine's mounts need.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use sealpack_format::ObjectId;
use sealpack_kernel::Kernel;
use sealpack_store::{GcOptions, GcReport, LockKind, Store, objects_of_image};

use crate::Error;
use crate::remark::{Remark, Remarks};

/// What is collected.
#[derive(Debug, Clone)]
pub struct Collection {
    /// Only find out what would be removed.
    pub dry_run: bool,
    /// How many of the images that each name had before are kept, the newest ones, with what they need.
    pub keep_previous: usize,
    /// Besides, those of them that are not older than that.
    pub keep_younger_than: Option<Duration>,
    /// How long to wait for others that use the store.
    pub wait: Duration,
    /// Metadata images that stay, named or not, with what they need.
    pub keep: Vec<ObjectId>,
}

/// Removes what no image needs; devices that nobody uses any more go first. What is mounted stays, named or not.
///
/// # Errors
/// Of the store, above all [`RootUnreadable`](sealpack_store::Error::RootUnreadable) and
/// [`Locked`](sealpack_store::Error::Locked); of mounting, where it is not known what is mounted.
pub fn collect(
    store: &Store,
    kernel: &Kernel,
    collection: Collection,
    remarks: Remarks<'_>,
) -> Result<GcReport, Error> {
    let Collection { dry_run, keep_previous, keep_younger_than, wait, keep } = collection;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let keep_pulled_since = keep_younger_than.map(|age| now.saturating_sub(age).as_secs());
    // What names need takes long to find out, and nobody has to wait for that.
    let mut options = GcOptions { dry_run, keep_previous, keep_pulled_since, wait, ..GcOptions::default() };
    let marked = store.mark(&options, &objects_of_image, &())?;
    // From here on nobody mounts anything; what is mounted was mounted before.
    let lock = store.lock(LockKind::Exclusive, wait)?;
    if !dry_run && let Err(error) = sealpack_mount::remove_leftovers(kernel) {
        remarks(Remark::LeftoversStay { why: error.to_string() });
    }
    let in_use = sealpack_mount::images_in_use()?;
    if in_use.unreadable_processes > 0 {
        remarks(Remark::HiddenMounts { processes: in_use.unreadable_processes });
    }
    let is_here = |id: &_| store.metadata_image_path(id).exists();
    let kept: BTreeSet<ObjectId> = in_use.images.into_iter().chain(keep).filter(is_here).collect();
    options.keep_images = kept.into_iter().collect();
    options.keep_packs = sealpack_mount::root_hashes_in_use(kernel)?;
    Ok(store.gc_locked(&lock, &options, marked, &objects_of_image, &())?)
}
