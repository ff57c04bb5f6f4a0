//! What gc leaves, since a sealed host may start from it.

use std::collections::BTreeSet;
use std::path::Path;

use sealpack_format::ObjectId;
use sealpack_format::boot::data;
use sealpack_host::esp::{Esp, Filesystem, MOUNTED_AT};
use sealpack_host::upgrade::{UpgradeError, keep_names};
use sealpack_kernel::Kernel;
use sealpack_store::Store;

use super::super::find_out;
use super::place::images;
use crate::context::Context;
use crate::error::CommandError;

/// The images that UKIs start from this store: those on the EFI system partition that somebody named, or on that of the host,
/// where it is the host's store. They get names by which they stay, unless it is only to be said what would go; the answer
/// are those that have none.
pub(in crate::commands) fn keep_for_boot(
    context: &Context,
    store: &Store,
    esp: Option<&Path>,
    dry_run: bool,
) -> Result<Vec<ObjectId>, CommandError> {
    let started = match esp {
        // It is only read: whoever named it says that it is one.
        Some(path) => images_on(path, |looked| Filesystem { is_mounted: true, is_fat: true, ..looked })?,
        None => match booted_from(store)? {
            Some(booted) => {
                let mut images = images_on(Path::new(MOUNTED_AT), |looked| looked)?;
                images.insert(booted);
                images
            }
            None => return Ok(Vec::new()),
        },
    };
    if dry_run {
        return Ok(started.into_iter().collect());
    }
    let unknown = keep_names(store, &started)?;
    for image in &unknown {
        context.output.remark(&format!(
            "warning: a UKI starts the image {image}, which no name means: a host would not start from it"
        ));
    }
    Ok(unknown)
}

fn images_on(
    path: &Path,
    seen: impl Fn(Filesystem) -> Filesystem,
) -> Result<BTreeSet<ObjectId>, CommandError> {
    let looked = Filesystem::look(path).map_err(UpgradeError::from)?;
    let esp = Esp::open(path, Filesystem { is_read_only: true, ..seen(looked) });
    let entries = esp.and_then(|esp| esp.entries()).map_err(UpgradeError::from)?;
    Ok(images(&entries))
}

/// The image that this host runs, if it is a sealed one, and the store is the one that it was started from.
fn booted_from(store: &Store) -> Result<Option<ObjectId>, CommandError> {
    let own = Path::new(data::MOUNTED_AT).join(data::STORE);
    let same = |path: &Path| std::fs::canonicalize(path).ok();
    if same(&own).is_none() || same(&own) != same(store.path()) {
        return Ok(None);
    }
    Ok(find_out(&Kernel::new())?.ok().map(|status| status.boot.image))
}
