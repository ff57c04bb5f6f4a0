//! What the composefs project has images say about themselves: fs-verity digests of the manifest, the config and the
//! image as one filesystem, with or without PKCS#7 signatures (composefs-rs, `sealing_spec.rs`).
//!
//! They are in annotations of the image, in its label [`LABEL`], or in an artifact that refers to it. Everything that
//! is found is a [`Claim`]; [`check`] holds claims against what the image is, [`ComposefsArtifact`] reads an artifact, and
//! [`Draft`] makes one. Nothing here reads files or asks a registry.

mod artifact;
mod check;
mod claim;
mod draft;
mod key;
mod names;
#[cfg(test)]
mod tests;

pub use artifact::{ArtifactError, ComposefsArtifact, Entry};
pub use check::{Checked, Computed, Outcome, Unchecked, check, wants_user_xattrs};
pub use claim::{Claim, ClaimedIn, Stated};
pub use draft::{Built, Draft, DraftError};
pub use key::{Key, Part};
pub use names::{ARTIFACT_TYPE, ENTRIES_MAX, LABEL, SIGNATURE_MAX_BYTES, SIGNATURE_TYPE};
