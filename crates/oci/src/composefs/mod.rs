//! What the composefs project has images say about themselves: fs-verity digests of the manifest, the config and the
//! image as one filesystem, with or without PKCS#7 signatures (composefs-rs, `sealing_spec.rs`).
//!
//! They are in annotations of the image, in its label [`LABEL`], or in an artifact that refers to it. Everything that
//! is found is a [`Claim`]; [`check`] holds claims against what the image is, [`Artifact`] reads an artifact, and
//! [`Draft`] makes one. Nothing here reads files or asks a registry.

mod artifact;
mod check;
mod claim;
mod draft;
mod key;
#[cfg(test)]
mod tests;

pub use artifact::{Artifact, ArtifactError, Entry};
pub use check::{Checked, Facts, Outcome, Unchecked, check, wants_user_xattrs};
pub use claim::{Claim, Place, Stated};
pub use draft::{Built, Draft, DraftError};
pub use key::{Key, Part};

/// The artifact type of a manifest that carries digests and signatures of another one.
pub const ARTIFACT_TYPE: &str = "application/vnd.composefs.metadata.v1";
/// The media type of a PKCS#7 signature, DER, over a digest as fs-verity has it signed
/// ([`signed_bytes`](sealpack_format::verity::signed_bytes)).
pub const SIGNATURE_TYPE: &str = "application/vnd.composefs.signature.v1+pkcs7";
/// The label, in an image's config, that has the digest of its filesystem; older than the annotations.
pub const LABEL: &str = "containers.composefs.fsverity";
/// The largest signature in bytes: the kernel takes no larger one (`FS_VERITY_MAX_SIGNATURE_SIZE`).
pub const SIGNATURE_MAX_BYTES: u64 = 16128;
/// The most layers that an artifact may have. There are four parts of an image and two algorithms.
pub const ENTRIES_MAX: usize = 64;
