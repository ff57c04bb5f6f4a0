//! The keys of the annotations: `composefs.PART[.erofs.vN].fsverity-ALGORITHM-BITS`.

use std::fmt;

use sealpack_format::Algorithm;

/// A part of an image that a digest can be of. In the order that an artifact has them in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The bytes of the manifest.
    Manifest,
    /// The bytes of the config.
    Config,
    /// The metadata image of one layer.
    Layer,
    /// The metadata image of all layers.
    Merged,
    /// The metadata image of all layers as composefs-boot changes it.
    Bootable,
}

/// What a digest is of, and how it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The part of the image.
    pub part: Part,
    /// For metadata images: the version of their format.
    pub erofs_version: Option<u32>,
    /// The hash.
    pub algorithm: Algorithm,
    /// The size of fs-verity's blocks, as a power of two.
    pub block_bits: u8,
}

impl Part {
    const ALL: [Self; 5] = [Self::Manifest, Self::Config, Self::Layer, Self::Merged, Self::Bootable];

    /// As in the keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Config => "config",
            Self::Layer => "layer",
            Self::Merged => "merged",
            Self::Bootable => "merged.bootable",
        }
    }

    /// Whether it is a metadata image, not a document.
    #[must_use]
    pub const fn is_image(self) -> bool {
        matches!(self, Self::Layer | Self::Merged | Self::Bootable)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Key {
    /// The key of a digest as this crate computes them: of format 1, with blocks of 4 KiB.
    #[must_use]
    pub fn of(part: Part, algorithm: Algorithm) -> Self {
        Self { part, erofs_version: part.is_image().then_some(1), algorithm, block_bits: 12 }
    }

    /// Reads a key; `None` when it is another annotation. Whether it ends with `.sig` is the second answer.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, bool)> {
        let (text, is_signature) = match text.strip_suffix(".sig") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (before, how) = text.strip_prefix("composefs.")?.split_once(".fsverity-")?;
        let (part, erofs_version) = match before.split_once(".erofs.v") {
            Some((part, version)) => (part, Some(number(version)?)),
            None => (before, None),
        };
        let part = Part::ALL.into_iter().find(|known| known.name() == part)?;
        let (algorithm, block_bits) = how.split_once('-')?;
        let block_bits = u8::try_from(number(block_bits)?).ok()?;
        let key = Self { part, erofs_version, algorithm: algorithm.parse().ok()?, block_bits };
        (part.is_image() == erofs_version.is_some()).then_some((key, is_signature))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "composefs.{}", self.part)?;
        if let Some(version) = self.erofs_version {
            write!(f, ".erofs.v{version}")?;
        }
        write!(f, ".fsverity-{}-{}", self.algorithm, self.block_bits)
    }
}

/// A decimal number as it is written, without a sign or zeros in front.
fn number(text: &str) -> Option<u32> {
    let number = text.parse::<u32>().ok()?;
    (number.to_string() == text).then_some(number)
}
