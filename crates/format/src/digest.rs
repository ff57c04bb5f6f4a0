//! Digests, one type for each meaning, so that they never meet as strings.

use std::fmt;
use std::str::FromStr;

/// The hash function of a store, an image or a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the default everywhere; the only one that packs know.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Length of a digest in bytes.
    #[must_use]
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The kernel's number of the algorithm (`FS_VERITY_HASH_ALG_*`, include/uapi/linux/fsverity.h).
    #[must_use]
    pub const fn fsverity_number(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The algorithm with the kernel's number `number`, if there is one.
    #[must_use]
    pub const fn from_fsverity_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The name, as OCI digests and fs-verity tools spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestParseError::new(text, Problem::Algorithm)),
        }
    }
}

/// A text that is not the digest it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest: {problem}")]
pub struct DigestParseError {
    text: String,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("the algorithm is not sha256 or sha512")]
    Algorithm,
    #[error("sha256 has 64 hexadecimal digits, sha512 has 128")]
    Length,
    #[error("it must be lowercase hex")]
    Hex,
    #[error("it must read ALGORITHM:HEX")]
    Colon,
}

impl DigestParseError {
    /// Quotes at most 160 characters of `text`, which may come from a registry.
    fn new(text: &str, problem: Problem) -> Self {
        Self { text: text.chars().take(160).collect(), problem }
    }
}

/// The bytes of a digest: 32 or 64 of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Bytes {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl Bytes {
    const fn as_slice(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }

    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    fn from_slice(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Sha256 => bytes.try_into().ok().map(Self::Sha256),
            Algorithm::Sha512 => bytes.try_into().ok().map(Self::Sha512),
        }
    }

    fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, DigestParseError> {
        let (mut buffer, length) = ([0; 64], algorithm.digest_bytes());
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        if Some(hex.len()) != length.checked_mul(2) {
            return Err(DigestParseError::new(hex, Problem::Length));
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = match pair {
                [high, low] => nibble(*high)
                    .zip(nibble(*low))
                    .map(|(high, low)| high << 4 | low)
                    .ok_or_else(|| DigestParseError::new(hex, Problem::Hex))?,
                _ => 0,
            };
        }
        Self::from_slice(algorithm, bytes).ok_or_else(|| DigestParseError::new(hex, Problem::Length))
    }
}

/// `bytes` as lowercase hex. By table: images of a million files are full of digests, and
/// formatting each byte takes most of the time that writing them does.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut hex = String::with_capacity(bytes.len().saturating_mul(2).saturating_add(1));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            hex.push(DIGITS.get(usize::from(nibble)).copied().unwrap_or_default());
        }
    }
    hex
}

/// The value of one lowercase hex digit.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a')?.checked_add(10),
        _ => None,
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.as_slice()))
    }
}

/// The fs-verity digest of an object or metadata image: the hash of the fs-verity
/// descriptor (Documentation/filesystems/fsverity.rst, "File digest computation"),
/// with 4 KiB blocks and no salt. It is the object's name.
///
/// Written as plain lowercase hex; the length tells the algorithm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(Bytes);

impl ObjectId {
    /// A SHA-256 fs-verity digest.
    #[must_use]
    pub const fn sha256(bytes: [u8; 32]) -> Self {
        Self(Bytes::Sha256(bytes))
    }

    /// A SHA-512 fs-verity digest.
    #[must_use]
    pub const fn sha512(bytes: [u8; 64]) -> Self {
        Self(Bytes::Sha512(bytes))
    }

    /// The digest in `bytes`, or `None` when their number is not that of `algorithm`.
    #[must_use]
    pub fn from_slice(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        Bytes::from_slice(algorithm, bytes).map(Self)
    }

    /// The algorithm of the digest.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    /// The digest's 32 or 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The object's path below `objects/` and in a pack: `ab/cdef…`.
    #[must_use]
    pub fn object_path(&self) -> String {
        let mut path = hex(self.as_bytes());
        path.insert(2, '/');
        path
    }

    /// Whether `path` is its [`object_path`](Self::object_path).
    #[must_use]
    pub fn has_object_path(&self, path: &[u8]) -> bool {
        let Some((b"/", digits)) = path.get(2..).and_then(|rest| rest.split_at_checked(1)) else {
            return false;
        };
        let digits = path.iter().take(2).chain(digits);
        let pairs = self.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| nibble(*digit)).eq(pairs.map(Some))
    }

    /// The digest whose [`object_path`](Self::object_path) is `path`, a leading slash allowed.
    #[must_use]
    pub fn from_object_path(path: &[u8]) -> Option<Self> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let (directory, file) = path.split_at_checked(2)?;
        let file = file.strip_prefix(b"/")?;
        let mut hex = String::from(str::from_utf8(directory).ok()?);
        hex.push_str(str::from_utf8(file).ok()?);
        hex.parse().ok()
    }
}

impl FromStr for ObjectId {
    type Err = DigestParseError;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        let algorithm = if hex.len() > 64 { Algorithm::Sha512 } else { Algorithm::Sha256 };
        Bytes::from_hex(algorithm, hex).map(Self)
    }
}

/// The root hash of a dm-verity tree (SHA-256 only), written as plain lowercase hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootHash(Bytes);

impl RootHash {
    /// The root hash in `bytes`.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Bytes::Sha256(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl FromStr for RootHash {
    type Err = DigestParseError;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        Bytes::from_hex(Algorithm::Sha256, hex).map(Self)
    }
}

/// The digest of a blob as OCI descriptors have it: `sha256:HEX` or `sha512:HEX`
/// (image-spec, descriptor.md, "Digests").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobDigest(Bytes);

/// The digest of a layer's uncompressed tar stream (image-spec, config.md, `rootfs.diff_ids`).
/// A different thing from the digest of the blob that it travels in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiffId(Bytes);

macro_rules! oci_digest {
    ($name:ident) => {
        impl $name {
            /// The digest in `bytes`, or `None` when their number is not that of `algorithm`.
            #[must_use]
            pub fn from_slice(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
                Bytes::from_slice(algorithm, bytes).map(Self)
            }

            /// The algorithm before the colon.
            #[must_use]
            pub const fn algorithm(&self) -> Algorithm {
                self.0.algorithm()
            }

            /// The digest's 32 or 64 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8] {
                self.0.as_slice()
            }

            /// The hex after the colon.
            #[must_use]
            pub fn hex(&self) -> String {
                self.0.to_string()
            }
        }

        impl FromStr for $name {
            type Err = DigestParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let (algorithm, hex) =
                    text.split_once(':').ok_or_else(|| DigestParseError::new(text, Problem::Colon))?;
                Bytes::from_hex(algorithm.parse()?, hex).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", self.algorithm(), self.0)
            }
        }
    };
}
oci_digest!(BlobDigest);
oci_digest!(DiffId);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text_forms {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
text_forms!(ObjectId, RootHash, BlobDigest, DiffId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_survive_their_text_forms() {
        let hex = "0123456789abcdef".repeat(4);
        let id: ObjectId = hex.parse().unwrap();
        assert_eq!(id.to_string(), hex);
        assert_eq!(id.algorithm(), Algorithm::Sha256);
        assert_eq!(ObjectId::from_object_path(id.object_path().as_bytes()), Some(id));
        assert!(id.has_object_path(id.object_path().as_bytes()));
        for other in
            ["", "01", "01/", "01/23", &hex, &id.object_path()[1..], &format!("{}0", id.object_path())]
        {
            assert!(!id.has_object_path(other.as_bytes()), "{other}");
        }
        let long: ObjectId = hex.repeat(2).parse().unwrap();
        assert_eq!(long.algorithm(), Algorithm::Sha512);
        let blob: BlobDigest = format!("sha256:{hex}").parse().unwrap();
        assert_eq!(blob.to_string(), format!("sha256:{hex}"));
        assert_eq!(blob.hex(), hex);
    }

    #[test]
    fn what_is_not_a_digest_says_why() {
        let hex = "0123456789abcdef".repeat(4);
        let message = |text: &str| text.parse::<BlobDigest>().unwrap_err().to_string();
        assert!(message(&hex).ends_with("it must read ALGORITHM:HEX"));
        assert!(message("md5:00").ends_with("the algorithm is not sha256 or sha512"));
        assert!(message("sha256:00").ends_with("sha256 has 64 hexadecimal digits, sha512 has 128"));
        assert!(message(&format!("sha256:{}", hex.to_uppercase())).ends_with("it must be lowercase hex"));
        assert!(message(&format!("sha512:{hex}")).ends_with("sha512 has 128"));
        assert!("é".repeat(32).parse::<ObjectId>().is_err());
    }
}
