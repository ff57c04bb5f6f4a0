//! The source of our mounts, by which they are recognised.

use sealpack_format::digest::ObjectId;
use sealpack_kernel::mountinfo::Mount;

/// What the source of our mounts begins with; the metadata image's fs-verity digest follows.
/// Whoever changes it no longer recognises what an older version mounted.
const SOURCE_PREFIX: &str = "sealpack:";

/// The source of a mount of `image`.
pub(crate) fn source_of(image: &ObjectId) -> String {
    format!("{SOURCE_PREFIX}{image}")
}

/// The image that `mount` is of, `None` when it is none of ours.
pub(crate) fn image_of(mount: &Mount) -> Option<ObjectId> {
    let digest = mount.source.to_str()?.strip_prefix(SOURCE_PREFIX)?;
    digest.parse().ok().filter(|_| mount.fs_type == "overlay")
}
