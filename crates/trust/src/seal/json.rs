//! Seals as JSON.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealpack_format::digest::{BlobDigest, DiffId, ObjectId, RootHash};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::SignatureProblem;
use super::{
    SEAL_MAX_BYTES, SIGNATURE_MAX_BYTES, SIGNATURES_MAX, Seal, SealError, SealedMetadata, SealedPack,
    Statement, VERSION,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealJson {
    version: u64,
    manifest: BlobDigest,
    metadata: MetadataJson,
    packs: Vec<PackJson>,
    signatures: SignaturesJson,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataJson {
    algorithm: String,
    fsverity_digest: ObjectId,
    size_bytes: u64,
    root_hash: RootHash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackJson {
    layers: Vec<DiffId>,
    size_bytes: u64,
    root_hash: RootHash,
}

/// Only the version, whatever else there is.
#[derive(Deserialize)]
struct VersionJson {
    version: u64,
}

/// An object with root hashes as names, in the order in which they are written, and not one too few
/// because a name is there twice.
struct SignaturesJson(Vec<(String, Vec<String>)>);

impl Serialize for SignaturesJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(root_hash, signatures)| (root_hash, signatures)))
    }
}

impl<'de> Deserialize<'de> for SignaturesJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = SignaturesJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a list of signatures for each root hash")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(SignaturesJson(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

pub(super) fn parse(json: &[u8]) -> Result<Seal, SealError> {
    if json.len() > SEAL_MAX_BYTES {
        return Err(SealError::TooLarge(json.len()));
    }
    let bad = |error: serde_json::Error| SealError::Json(cut(&error.to_string()));
    // First of all: what another version looks like is not known.
    let VersionJson { version } = serde_json::from_slice(json).map_err(bad)?;
    if version != VERSION {
        return Err(SealError::Version(version));
    }
    let SealJson { manifest, metadata, packs, signatures, .. } = serde_json::from_slice(json).map_err(bad)?;
    let statement = Statement::new(manifest, metadata.check()?, packs.into_iter().map(Into::into).collect())?;
    let signatures = signatures.check(&statement)?;
    Ok(Seal { statement, signatures })
}

pub(super) fn write(seal: &Seal) -> Vec<u8> {
    let Seal { statement, .. } = seal;
    let texts = |root_hash: &RootHash| {
        seal.signatures(root_hash).iter().map(|signature| STANDARD.encode(signature)).collect()
    };
    let hashes = statement.root_hashes();
    let json = SealJson {
        version: VERSION,
        manifest: statement.manifest,
        metadata: MetadataJson {
            algorithm: statement.metadata.id.algorithm().to_string(),
            fsverity_digest: statement.metadata.id,
            size_bytes: statement.metadata.size_bytes,
            root_hash: statement.metadata.root_hash,
        },
        packs: statement.packs.iter().cloned().map(Into::into).collect(),
        signatures: SignaturesJson(hashes.map(|hash| (hash.to_string(), texts(hash))).collect()),
    };
    let mut bytes = serde_json::to_vec_pretty(&json).expect("texts, numbers and names that are texts");
    bytes.push(b'\n');
    bytes
}

impl MetadataJson {
    fn check(self) -> Result<SealedMetadata, SealError> {
        let Self { algorithm, fsverity_digest: id, size_bytes, root_hash } = self;
        if algorithm != id.algorithm().to_string() {
            return Err(SealError::Algorithm { algorithm: cut(&algorithm), id });
        }
        Ok(SealedMetadata { id, size_bytes, root_hash })
    }
}

impl From<PackJson> for SealedPack {
    fn from(PackJson { layers, size_bytes, root_hash }: PackJson) -> Self {
        Self { layers, size_bytes, root_hash }
    }
}

impl From<SealedPack> for PackJson {
    fn from(SealedPack { layers, size_bytes, root_hash }: SealedPack) -> Self {
        Self { layers, size_bytes, root_hash }
    }
}

impl SignaturesJson {
    /// The signatures, of every root hash of `statement` and of no others.
    fn check(self, statement: &Statement) -> Result<BTreeMap<RootHash, Vec<Vec<u8>>>, SealError> {
        let known: std::collections::BTreeSet<&RootHash> = statement.root_hashes().collect();
        let mut signatures = BTreeMap::new();
        for (name, texts) in self.0 {
            let root_hash = name.parse::<RootHash>().ok().filter(|root_hash| known.contains(root_hash));
            let root_hash = root_hash.ok_or_else(|| SealError::ForeignRootHash(shown(&name)))?;
            if texts.len() > SIGNATURES_MAX {
                return Err(SealError::TooManySignatures { root_hash, count: texts.len() });
            }
            let decode = |(index, text): (usize, &String)| {
                decode(text).map_err(|problem| SealError::Signature { root_hash, number: index + 1, problem })
            };
            let decoded = texts.iter().enumerate().map(decode).collect::<Result<Vec<_>, _>>()?;
            if signatures.insert(root_hash, decoded).is_some() {
                return Err(SealError::DuplicateSignatures(root_hash));
            }
        }
        let is_unsigned = |hash: &&RootHash| signatures.get(hash).is_none_or(Vec::is_empty);
        match statement.root_hashes().find(is_unsigned) {
            Some(root_hash) => Err(SealError::Unsigned(*root_hash)),
            None => Ok(signatures),
        }
    }
}

fn decode(text: &str) -> Result<Vec<u8>, SignatureProblem> {
    let bytes = STANDARD.decode(text).map_err(|_| SignatureProblem::Base64)?;
    match bytes.len() {
        0 => Err(SignatureProblem::Empty),
        1..=SIGNATURE_MAX_BYTES => Ok(bytes),
        _ => Err(SignatureProblem::TooLong),
    }
}

/// The beginning of a name that somebody else chose.
fn shown(name: &str) -> String {
    format!("{:?}", name.chars().take(80).collect::<String>())
}

/// The beginning of a text that somebody else chose, or that quotes them.
fn cut(text: &str) -> String {
    let visible = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    text.chars().take(300).map(visible).collect()
}
