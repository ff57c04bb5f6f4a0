//! Limits that several crates must agree on.

/// The most packs of an image: overlayfs takes 500 layers, and a few are for others. Seals with more are refused, so
/// that a higher number makes seals that earlier versions do not take.
pub const PACKS_MAX: usize = 400;

/// The largest seal as a store keeps it, in bytes of JSON: more than a statement and a bundle of signatures together.
/// 400 packs with several signatures each take less than 4 MiB.
pub const SEAL_MAX_BYTES: usize = 20 * 1024 * 1024;

/// Files of up to so many bytes are kept whole in the layer's record and in the metadata image
/// (`LCFS_RECOMMENDED_INLINE_CONTENT_MAX`). Digests of images depend on it: composefs tools that are to compute the same
/// ones must use the same number.
pub const INLINE_MAX_BYTES: usize = 64;
