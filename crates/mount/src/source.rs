//! What our mounts are recognised by: their source, which anybody can give, and their layers, as far as the kernel tells.

use std::ffi::OsString;
use std::path::Path;

use sealpack_format::digest::ObjectId;
use sealpack_kernel::mountinfo::Mount;

/// What the source of our mounts begins with; the metadata image's fs-verity digest follows.
/// Whoever changes it no longer recognises what an older version mounted.
const SOURCE_PREFIX: &str = "sealpack:";

/// The source of a mount of `image`.
pub(crate) fn source_of(image: &ObjectId) -> String {
    format!("{SOURCE_PREFIX}{image}")
}

/// The image that `mount` says it is of: a claim, until [its layers](has_our_layers) are seen.
pub(crate) fn image_of(mount: &Mount) -> Option<ObjectId> {
    let digest = mount.source.to_str()?.strip_prefix(SOURCE_PREFIX)?;
    digest.parse().ok().filter(|_| mount.fs_type == "overlay")
}

/// Whether the layers of `mount` are as ours: one for names, of a filesystem that no directory leads to, and at least one
/// for contents. An overlay of directories is none of ours, whatever its source says; nor is one that has more layers of
/// names, which could show other files.
pub(crate) fn has_our_layers(mount: &Mount) -> bool {
    let is_hidden = |path: OsString| !is_told(Path::new(&path));
    let mut names = mount.options("lowerdir+");
    mount.option("lowerdir").is_none()
        && names.next().is_some_and(is_hidden)
        && names.next().is_none()
        && mount.option("datadir+").is_some()
}

/// Whether a layer's path is that of a directory. What is attached nowhere has `/`, and what was
/// given as a descriptor can have the descriptor's path.
pub(crate) fn is_told(path: &Path) -> bool {
    path != Path::new("/") && !path.starts_with("/proc")
}
