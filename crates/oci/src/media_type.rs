//! The media types of images, OCI's and Docker's (image-spec media-types.md; Docker's
//! distribution spec, manifest-v2-2.md).

use std::fmt;

/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The config of an artifact that needs none: `{}` (image-spec, "Guidance for an Empty Descriptor").
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Docker manifest list, schema 2.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer, uncompressed.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker layer, zstd.
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// OCI layer, uncompressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// What a client of this crate accepts as a manifest, for the `Accept` header.
pub const MANIFEST_TYPES: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// How a layer's tar stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// A bare tar stream.
    Plain,
    /// One or more gzip members.
    Gzip,
    /// One or more zstd frames, skippable ones included.
    Zstd,
}

impl Compression {
    /// The compression that a blob's first bytes (four suffice) announce: registries are full of blobs whose media
    /// type is wrong. Zstd has frames and skippable ones (RFC 8878, sections 3.1.1 and 3.1.2).
    ///
    /// A tar stream begins with a member's name, which is neither magic.
    #[must_use]
    pub fn of_magic(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// The name of a compression that image layers may not have, by a blob's first bytes: ten suffice, and fewer give fewer
/// names. A tar whose first member has such a name begins with the same bytes.
#[must_use]
pub fn unsupported_compression(start: &[u8]) -> Option<&'static str> {
    Some(match start {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => "bzip2",
        [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => "lz4",
        [b'L', b'Z', b'I', b'P', 1, ..] => "lzip",
        [0x89, b'L', b'Z', b'O', 0, ..] => "lzop",
        // The usual properties, then the dictionary's size, 64 KiB at least: a tar's file may have the name of the first.
        [0x5d, 0, 0, low, high, ..] if *low > 0 || *high > 0 => "lzma",
        [0x1f, 0x9d, ..] => "compress (.Z)",
        [0x1f, 0x1e, ..] => "pack (.z)",
        [b'P', b'K', 3, 4, ..] => "zip",
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => "7z",
        [0xff, 0x06, 0, 0, b's', b'N', b'a', b'P', b'p', b'Y', ..] => "snappy",
        _ => return None,
    })
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Whether a media type does not say what something is for: there is none, or it is outside of the vendors' tree (RFC 6838,
/// section 3.2), where it names a format at most. Registries and proxies put such types in the place of what was pushed.
#[must_use]
pub fn says_no_use(media_type: &str) -> bool {
    let subtype = media_type.split_once('/').map_or("", |(_, subtype)| subtype);
    !subtype.trim_start().to_ascii_lowercase().starts_with("vnd.")
}

/// Whether a media type is of a layer in whatever packing, unless that is encrypted.
#[must_use]
pub fn is_some_layer(media_type: &str) -> bool {
    let prefixes = [
        "application/vnd.oci.image.layer.",
        "application/vnd.docker.image.rootfs.",
        "application/vnd.docker.container.image.rootfs.",
    ];
    prefixes.iter().any(|prefix| media_type.starts_with(prefix)) && !media_type.ends_with("+encrypted")
}

/// What a media type is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// An index or manifest list.
    Index,
    /// An image manifest.
    Manifest,
    /// A manifest of Docker's schema 1.
    Schema1,
    /// An image config.
    Config,
    /// A layer.
    Layer(Compression),
    /// A layer that may not be distributed, or lies elsewhere.
    ForeignLayer(Compression),
    /// Anything else.
    Other,
}

impl MediaKind {
    /// The kind of `media_type`; parameters behind a semicolon do not count.
    #[must_use]
    pub fn of(media_type: &str) -> Self {
        match media_type.split(';').next().unwrap_or_default().trim() {
            OCI_INDEX | DOCKER_LIST => Self::Index,
            OCI_MANIFEST | DOCKER_MANIFEST => Self::Manifest,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::Schema1,
            OCI_CONFIG | DOCKER_CONFIG => Self::Config,
            OCI_LAYER | DOCKER_LAYER => Self::Layer(Compression::Plain),
            OCI_LAYER_GZIP | DOCKER_LAYER_GZIP => Self::Layer(Compression::Gzip),
            OCI_LAYER_ZSTD | DOCKER_LAYER_ZSTD => Self::Layer(Compression::Zstd),
            "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar" => {
                Self::ForeignLayer(Compression::Plain)
            }
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
                Self::ForeignLayer(Compression::Gzip)
            }
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd" => {
                Self::ForeignLayer(Compression::Zstd)
            }
            _ => Self::Other,
        }
    }

    /// Whether the type is one of a document that `manifests/` serves.
    #[must_use]
    pub const fn is_manifest(self) -> bool {
        matches!(self, Self::Index | Self::Manifest | Self::Schema1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_tells_the_compression() {
        assert_eq!(Compression::of_magic(&[0x1f, 0x8b, 8, 0]), Compression::Gzip);
        assert_eq!(Compression::of_magic(&[0x28, 0xb5, 0x2f, 0xfd]), Compression::Zstd);
        assert_eq!(Compression::of_magic(&[0x5a, 0x2a, 0x4d, 0x18]), Compression::Zstd);
        assert_eq!(Compression::of_magic(b"etc/"), Compression::Plain);
        assert_eq!(Compression::of_magic(b""), Compression::Plain);
    }

    #[test]
    fn compressions_that_layers_may_not_have_are_known() {
        for (start, name) in [
            (&b"\xfd7zXZ\0\0"[..], Some("xz")),
            (b"BZh91AY&SYxx", Some("bzip2")),
            (b"\x04\x22\x4d\x18\x64", Some("lz4")),
            (b"\x5d\0\0\x80\0\xff\xff\xff\xff", Some("lzma")),
            (b"\x1f\x9d\x90", Some("compress (.Z)")),
            (b"BZh9.txt\0\0\0\0", None),
            (b"]\0\0\0\0\0\0\0\0", None),
            (b"\x1f\x8b\x08", None),
            (b"etc/", None),
            (b"", None),
        ] {
            assert_eq!(unsupported_compression(start), name, "{start:?}");
        }
    }

    #[test]
    fn parameters_of_a_media_type_do_not_count() {
        assert_eq!(MediaKind::of("application/vnd.oci.image.index.v1+json; charset=utf-8"), MediaKind::Index);
        assert_eq!(MediaKind::of("application/json"), MediaKind::Other);
    }
}
