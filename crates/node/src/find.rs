//! Which image of the store a text means.

use sealpack_format::reference::{Reference, ReferenceError};
use sealpack_store::{ImageRecord, Store};

use crate::Error;

/// The fewest characters of a digest that name an image.
const DIGEST_PREFIX_MIN: usize = 8;

/// The digits of a SHA-256 digest in hexadecimal.
const DIGEST_DIGITS: usize = 64;

/// Why no image, or no single one, is meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// It is neither a reference nor a digest.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The store does not have it.
    #[error("the store has no image {0}")]
    Missing(String),
    /// It is the beginning of digests of different images.
    #[error("{0} is the beginning of several images' digests")]
    SeveralImages(String),
    /// It is the digest of an image that has several names, where one is wanted.
    #[error("{text} has several names: {}", names.join(", "))]
    SeveralNames {
        /// What was asked for.
        text: String,
        /// The image's names in the store.
        names: Vec<String>,
    },
    /// It is the beginning of a digest, where a name or a whole digest is wanted.
    #[error("{0} is only the beginning of a digest, which names no image for good")]
    Beginning(String),
}

/// What digests may name an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    /// Their beginnings do too, from eight digits on: for what only looks.
    Beginnings,
    /// Whole ones only: for what signs, allows, names or removes. Anybody can make images whose digests begin in a
    /// certain way.
    Whole,
}

/// A text that names an image.
enum Asked {
    Reference(Reference),
    /// `sha256:…`, or hexadecimal digits alone, which may be a reference as well; lowercase.
    Digest {
        digits: String,
        or: Option<Reference>,
    },
}

impl Asked {
    /// A digest is `sha256:` or nothing, then digits, and nothing else: what stands behind a colon in a reference is a
    /// tag, whatever it looks like.
    fn parse(text: &str) -> Result<Self, ReferenceError> {
        let is_digits = |digits: &str| {
            (DIGEST_PREFIX_MIN..=DIGEST_DIGITS).contains(&digits.len())
                && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        match text.strip_prefix("sha256:") {
            Some(digits) if is_digits(digits) => Ok(Self::Digest { digits: digits.to_owned(), or: None }),
            None if is_digits(text) => Ok(Self::Digest { digits: text.to_owned(), or: text.parse().ok() }),
            _ => Ok(Self::Reference(text.parse()?)),
        }
    }
}

/// The image that `text` means: a reference, or a digest of its manifest, of the index that this is from, or of its metadata
/// image. A reference means images under names of its own repository and no others.
///
/// # Errors
///
/// [`FindError`], where there is not just one; of the store, where its records cannot be read.
pub fn find(store: &Store, text: &str, digests: Digests) -> Result<ImageRecord, Error> {
    if let Some(record) = try_find(store, text, digests)? {
        return Ok(record);
    }
    let meant = text.parse::<Reference>().map_err(FindError::Reference)?;
    Err(FindError::Missing(meant.to_string()).into())
}

/// As [`find`], but `None` when the store has no such image.
///
/// # Errors
///
/// As [`find`], but a text that is no reference names no image.
pub fn try_find(store: &Store, text: &str, digests: Digests) -> Result<Option<ImageRecord>, Error> {
    match Asked::parse(text) {
        Err(_) => Ok(None),
        Ok(Asked::Reference(reference)) => by_reference(store, &reference),
        Ok(Asked::Digest { digits, or }) => {
            let named =
                or.map_or(Ok(None), |reference| Ok::<_, Error>(store.image(&reference.to_string())?))?;
            match named {
                Some(record) => Ok(Some(record)),
                None => by_digest(store, text, &digits, digests),
            }
        }
    }
}

/// As [`find`], for those who do something to the name: a digest must have only one.
///
/// # Errors
///
/// As [`find`].
pub fn find_name(store: &Store, text: &str) -> Result<ImageRecord, Error> {
    let record = find(store, text, Digests::Whole)?;
    let is_name = text.parse::<Reference>().is_ok_and(|reference| reference.to_string() == record.name);
    let images = if is_name { Vec::new() } else { store.images()?.records };
    let names: Vec<String> = images
        .into_iter()
        .filter(|other| other.manifest == record.manifest)
        .map(|other| other.name)
        .collect();
    if names.len() > 1 {
        return Err(FindError::SeveralNames { text: text.to_owned(), names }.into());
    }
    Ok(record)
}

/// The image of that name; of a name with a digest also one that has another name in the same repository.
fn by_reference(store: &Store, reference: &Reference) -> Result<Option<ImageRecord>, Error> {
    if let Some(record) = store.image(&reference.to_string())? {
        return Ok(Some(record));
    }
    let Some(digest) = reference.digest() else { return Ok(None) };
    let is_meant = |record: &ImageRecord| {
        let repository = record.name.parse::<Reference>().map(|name| name.name());
        repository.is_ok_and(|name| name == reference.name())
            && (record.manifest == *digest || record.index == Some(*digest))
    };
    Ok(store.images()?.records.into_iter().find(is_meant))
}

fn by_digest(
    store: &Store,
    text: &str,
    digits: &str,
    digests: Digests,
) -> Result<Option<ImageRecord>, Error> {
    let begins = |record: &ImageRecord| {
        let index = record.index.as_ref().is_some_and(|index| index.hex().starts_with(digits));
        index
            || record.manifest.hex().starts_with(digits)
            || record.metadata_image.to_string().starts_with(digits)
    };
    let found: Vec<ImageRecord> = store.images()?.records.into_iter().filter(begins).collect();
    // Several names of one image are one image.
    if found.windows(2).any(|pair| pair[0].manifest != pair[1].manifest) {
        return Err(FindError::SeveralImages(text.to_owned()).into());
    }
    if !found.is_empty() && digests == Digests::Whole && digits.len() < DIGEST_DIGITS {
        return Err(FindError::Beginning(text.to_owned()).into());
    }
    Ok(found.into_iter().next())
}
