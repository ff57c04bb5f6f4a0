//! What composefs-rs calls things, and how large they may be.

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
