//! Which image of the store a text means.

use sealpack_format::digest::{Algorithm, BlobDigest};
use sealpack_format::reference::{Reference, ReferenceError};
use sealpack_store::{ImageRecord, Store};

use crate::Error;
use crate::similar::similar;

/// The fewest characters of a digest that name an image.
const DIGEST_PREFIX_MIN: usize = 8;

/// The digits of a SHA-256 digest in hexadecimal.
const SHA256_DIGITS: usize = 64;

/// Those of the longest digest, SHA-512.
const DIGITS_MAX: usize = 128;

/// Why no image, or no single one, is meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// It is neither a reference nor a digest.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// It is written as a digest is, and none that names images.
    #[error("{0:?} names no image: a digest is sha256: and 8 to 64 digits of 0-9 a-f, or such digits alone")]
    NoDigest(String),
    /// The store does not have it.
    #[error("the store has no image {name}")]
    Missing {
        /// What was asked for, in full.
        name: String,
        /// Names in the store that may be meant, the likeliest first.
        similar: Vec<String>,
    },
    /// It is the beginning of digests of different images, or the digest of an index that these are from.
    #[error("{0} is the beginning of several images' digests, or the digest of an index of them")]
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
    Digest(AskedDigest),
}

/// A digest, or the beginning of one.
struct AskedDigest {
    /// As it was given.
    text: String,
    /// Its digits in hexadecimal, lowercase.
    digits: String,
    /// The algorithm in front of it; digits alone may be of any.
    algorithm: Option<Algorithm>,
    /// What digits alone are as well.
    or: Option<Reference>,
}

impl Asked {
    /// A digest is `sha256:` or nothing, then digits, and nothing else: what stands behind a colon in a reference is a
    /// tag, whatever it looks like.
    fn parse(text: &str) -> Result<Self, FindError> {
        let is_digits = |digits: &str, max: usize| {
            (DIGEST_PREFIX_MIN..=max).contains(&digits.len())
                && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let digest = |digits: &str, algorithm, or| {
            Self::Digest(AskedDigest { text: text.to_owned(), digits: digits.to_owned(), algorithm, or })
        };
        match text.split_once(':') {
            Some(("sha256", digits)) if is_digits(digits, SHA256_DIGITS) => {
                Ok(digest(digits, Some(Algorithm::Sha256), None))
            }
            // As a reference it would be an image that is called like an algorithm.
            Some(("sha256" | "sha384" | "sha512", _)) => Err(FindError::NoDigest(text.to_owned())),
            None if is_digits(text, DIGITS_MAX) => Ok(digest(text, None, text.parse().ok())),
            _ => Ok(Self::Reference(text.parse()?)),
        }
    }
}

impl AskedDigest {
    /// Whether `hex`, of that algorithm, is the digest, or begins so.
    fn begins(&self, algorithm: Algorithm, hex: &str) -> bool {
        self.algorithm.is_none_or(|asked| asked == algorithm) && hex.starts_with(&self.digits)
    }

    /// Each digest that names the image and begins so.
    fn of(&self, record: &ImageRecord) -> impl Iterator<Item = String> {
        let metadata_image = (record.metadata_image.algorithm(), record.metadata_image.to_string());
        let of_blob = |digest: &BlobDigest| (digest.algorithm(), digest.hex());
        let digests =
            [Some(of_blob(&record.manifest)), record.index.as_ref().map(of_blob), Some(metadata_image)];
        digests
            .into_iter()
            .flatten()
            .filter(|(algorithm, hex)| self.begins(*algorithm, hex))
            .map(|(_, hex)| hex)
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
    let meant = match Asked::parse(text)? {
        Asked::Reference(reference) | Asked::Digest(AskedDigest { or: Some(reference), .. }) => {
            reference.to_string()
        }
        Asked::Digest(asked) => asked.text,
    };
    Err(missing(store, meant)?.into())
}

/// That the store has no image of that name, and which of its names may be meant.
///
/// # Errors
///
/// Of the store.
pub fn missing(store: &Store, name: String) -> Result<FindError, Error> {
    let similar = similar(&name, store.images()?.records.iter().map(|record| record.name.as_str()));
    Ok(FindError::Missing { name, similar })
}

/// As [`find`], but `None` when the store has no such image.
///
/// # Errors
///
/// As [`find`], but a text that is neither a reference nor a digest names no image.
pub fn try_find(store: &Store, text: &str, digests: Digests) -> Result<Option<ImageRecord>, Error> {
    match Asked::parse(text) {
        Err(FindError::Reference(_)) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(Asked::Reference(reference)) => by_reference(store, &reference),
        Ok(Asked::Digest(asked)) => {
            let name = asked.or.as_ref().map(ToString::to_string);
            match name.map_or(Ok(None), |name| store.image(&name))? {
                Some(record) => Ok(Some(record)),
                None => by_digest(store, &asked, digests),
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
    let found: Vec<ImageRecord> = store.images()?.records.into_iter().filter(is_meant).collect();
    only(found, &reference.to_string())
}

fn by_digest(store: &Store, asked: &AskedDigest, digests: Digests) -> Result<Option<ImageRecord>, Error> {
    let mut found = store.images()?.records;
    found.retain(|record| asked.of(record).next().is_some());
    let is_whole = found.iter().flat_map(|record| asked.of(record)).any(|hex| hex == asked.digits);
    let found = only(found, &asked.text)?;
    if found.is_some() && digests == Digests::Whole && !is_whole {
        return Err(FindError::Beginning(asked.text.clone()).into());
    }
    Ok(found)
}

/// The one image among these. Several names of one image are one image.
fn only(found: Vec<ImageRecord>, text: &str) -> Result<Option<ImageRecord>, Error> {
    if found.windows(2).any(|pair| pair[0].manifest != pair[1].manifest) {
        return Err(FindError::SeveralImages(text.to_owned()).into());
    }
    Ok(found.into_iter().next())
}
