//! How a UKI travels beside its image (docs/formats/uki.md).

/// The type of the artifact that a UKI travels as, which has the image's manifest as its subject.
pub const UKI_ARTIFACT_TYPE: &str = "application/vnd.sealpack.uki.v1";

/// The media type of its one layer: the PE file.
pub const UKI_MEDIA_TYPE: &str = "application/vnd.sealpack.uki.v1.pe";

/// The annotation of that layer with the name that the file should have.
pub const UKI_TITLE: &str = "org.opencontainers.image.title";

/// The largest UKI that travels, in bytes: what fetches it has it in memory.
pub const UKI_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The most UKIs of one image that are fetched.
pub const UKIS_MAX: usize = 8;
