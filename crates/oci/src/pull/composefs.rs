//! What an image says about its composefs digests, checked before anything has a name.

use std::io::{self, Write};

use sealpack_format::erofs::{self, FormatVersion};
use sealpack_format::tree::Tree;
use sealpack_format::verity::FsVerityHasher;
use sealpack_format::{DiffId, ObjectId};
use sealpack_store::Store;

use super::error::PullError;
use super::merged::merge;
use crate::budget::Limits;
use crate::composefs::{Checked, Computed, check, wants_user_xattrs};
use crate::image::ResolvedImage;
use crate::merge::XattrRule;

/// The digest that the metadata image of `layers`, which `store` has, has by the store's algorithm under that rule.
/// Making it takes no more than `limits` says.
///
/// # Errors
/// If a layer's record is missing or damaged, or the layers do not make an image.
pub fn image_id(
    store: &Store,
    layers: &[DiffId],
    xattrs: XattrRule,
    limits: Limits,
) -> Result<ObjectId, PullError> {
    id_of(store, &merge(store, layers, xattrs, limits)?.0)
}

/// Checks what can be before a layer is fetched, where what is wrong is refused.
pub(super) fn check_documents(image: &ResolvedImage, refuse: bool) -> Result<(), PullError> {
    refuse_wrong(check(&image.composefs, &facts(image, None)), refuse).map(drop)
}

/// Checks all of it, against the image that is `tree`, and against the one that has attributes `user.*` besides where
/// something is only true of that. For that one there is as much as `limits` says.
pub(super) fn check_image(
    store: &Store,
    image: &ResolvedImage,
    layers: &[DiffId],
    tree: &Tree,
    (limits, refuse): (Limits, bool),
) -> Result<Vec<Checked>, PullError> {
    if image.composefs.is_empty() {
        return Ok(Vec::new());
    }
    let id = id_of(store, tree)?;
    let with_user = match wants_user_xattrs(&image.composefs, id) {
        true => Some(image_id(store, layers, XattrRule::CapabilitiesAndUser, limits)?),
        false => None,
    };
    let computed = Computed { image_with_user: with_user, ..facts(image, Some(id)) };
    refuse_wrong(check(&image.composefs, &computed), refuse)
}

fn facts(image: &ResolvedImage, id: Option<ObjectId>) -> Computed<'_> {
    let (manifest, config) = (&image.manifest_bytes, &image.config_bytes);
    Computed { manifest, config, image: id, image_with_user: None }
}

fn refuse_wrong(checked: Vec<Checked>, refuse: bool) -> Result<Vec<Checked>, PullError> {
    match checked.iter().find(|checked| refuse && checked.outcome.is_refusal()) {
        Some(wrong) => Err(PullError::Composefs(Box::new(wrong.clone()))),
        None => Ok(checked),
    }
}

fn id_of(store: &Store, tree: &Tree) -> Result<ObjectId, PullError> {
    let mut hashing = Hashing(sealpack_kernel::fsverity::hasher(store.algorithm()));
    erofs::write_metadata_image(tree, FormatVersion::V1, &mut hashing)?;
    Ok(hashing.0.finish())
}

/// Keeps nothing but the digest.
struct Hashing(FsVerityHasher);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
