//! The bundle of signatures, and seals as the store keeps them, as JSON.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealpack_format::digest::RootHash;
use sealpack_format::limits::{PACKS_MAX, SEAL_MAX_BYTES};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fields::cut;
use super::signatures::{self, Signatures};
use super::{
    BUNDLE_MAX_BYTES, SIGNATURE_MAX_BYTES, SIGNATURES_MAX, Seal, SealError, SignatureProblem, Signed,
    Statement, VERSION,
};

/// The bundle, its fields in the order of the canonical form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleJson {
    root_hashes: HashesJson,
    statement: TextsJson,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredJson {
    version: u64,
    statement: String,
    signatures: SignaturesJson,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignaturesJson {
    root_hashes: HashesJson,
    statement: TextsJson,
}

/// Only the version, whatever else there is.
#[derive(Deserialize)]
struct VersionJson {
    version: u64,
}

/// An object with root hashes as names, as many of them as a statement can have and one more that is too much.
struct HashesJson(Vec<(String, TextsJson)>);

const HASHES_KEPT: usize = PACKS_MAX + 3;

/// A list of signatures in base64: those that may be there, and how many there are.
struct TextsJson {
    texts: Vec<String>,
    count: usize,
}

/// Refuses a version that is not known, before anything else is looked at.
fn check_version(json: &[u8]) -> Result<(), SealError> {
    let VersionJson { version } = serde_json::from_slice(json).map_err(bad)?;
    if version == VERSION { Ok(()) } else { Err(SealError::Version(version)) }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn bad(error: serde_json::Error) -> SealError {
    SealError::Json(cut(&error.to_string()))
}

pub(super) fn parse_bundle(json: &[u8], statement: &Statement) -> Result<Signatures, SealError> {
    if json.len() > BUNDLE_MAX_BYTES {
        return Err(SealError::TooLarge { size_bytes: json.len(), limit_bytes: BUNDLE_MAX_BYTES });
    }
    check_version(json)?;
    let BundleJson { root_hashes, statement: texts, .. } = serde_json::from_slice(json).map_err(bad)?;
    SignaturesJson { root_hashes, statement: texts }.check(statement)
}

pub(super) fn write_bundle(signatures: &Signatures) -> Vec<u8> {
    let SignaturesJson { root_hashes, statement } = signatures.into();
    written(serde_json::to_vec(&BundleJson { root_hashes, statement, version: VERSION }))
}

pub(super) fn parse(json: &[u8]) -> Result<Seal, SealError> {
    if json.len() > SEAL_MAX_BYTES {
        return Err(SealError::TooLarge { size_bytes: json.len(), limit_bytes: SEAL_MAX_BYTES });
    }
    check_version(json)?;
    let StoredJson { statement, signatures, .. } = serde_json::from_slice(json).map_err(bad)?;
    let statement = Statement::parse(statement.as_bytes())?;
    let signatures = signatures.check(&statement)?;
    Ok(Seal { statement, signatures })
}

pub(super) fn write(seal: &Seal) -> Vec<u8> {
    let statement = seal.statement.text().to_owned();
    let json = StoredJson { version: VERSION, statement, signatures: (&seal.signatures).into() };
    let mut bytes = written(serde_json::to_vec_pretty(&json));
    bytes.push(b'\n');
    bytes
}

fn written(json: serde_json::Result<Vec<u8>>) -> Vec<u8> {
    json.expect("texts, numbers and names that are texts")
}

impl SignaturesJson {
    /// The signatures, of the statement and every root hash in it, and of no others.
    fn check(self, statement: &Statement) -> Result<Signatures, SealError> {
        let known: BTreeSet<&RootHash> = statement.root_hashes().collect();
        let mut signatures =
            Signatures { statement: self.statement.decode(Signed::Statement)?, ..Signatures::default() };
        for (name, texts) in self.root_hashes.0 {
            let root_hash = name.parse::<RootHash>().ok().filter(|root_hash| known.contains(root_hash));
            let root_hash = root_hash.ok_or_else(|| SealError::ForeignRootHash(shown(&name)))?;
            let decoded = texts.decode(Signed::RootHash(root_hash))?;
            if signatures.root_hashes.insert(root_hash, decoded).is_some() {
                return Err(SealError::DuplicateSignatures(root_hash));
            }
        }
        signatures.check(statement)?;
        Ok(signatures)
    }
}

impl From<&Signatures> for SignaturesJson {
    fn from(signatures: &Signatures) -> Self {
        let hashes = signatures.root_hashes.iter();
        let root_hashes = hashes.map(|(hash, signatures)| (hash.to_string(), TextsJson::encode(signatures)));
        Self {
            root_hashes: HashesJson(root_hashes.collect()),
            statement: TextsJson::encode(&signatures.statement),
        }
    }
}

impl TextsJson {
    fn encode(signatures: &[Vec<u8>]) -> Self {
        let texts = signatures.iter().map(|signature| STANDARD.encode(signature)).collect();
        Self { texts, count: signatures.len() }
    }

    fn decode(&self, signed: Signed) -> Result<Vec<Vec<u8>>, SealError> {
        if self.count > SIGNATURES_MAX {
            return Err(SealError::TooManySignatures { signed, count: self.count });
        }
        let decode = |(text, number): (&String, usize)| {
            decode(text).map_err(|problem| SealError::Signature { signed, number, problem })
        };
        let decoded: Vec<_> = self.texts.iter().zip(1..).map(decode).collect::<Result<_, _>>()?;
        match signatures::signer_of_two(&decoded) {
            Some(signer) => Err(SealError::SameSigner { signed, signer: cut(&signer) }),
            None => Ok(decoded),
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

impl Serialize for HashesJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(root_hash, signatures)| (root_hash, signatures)))
    }
}

impl<'de> Deserialize<'de> for HashesJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = HashesJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a list of signatures for each root hash")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HashesJson, A::Error> {
                let mut pairs = Vec::new();
                while pairs.len() < HASHES_KEPT {
                    let Some(pair) = map.next_entry()? else { return Ok(HashesJson(pairs)) };
                    pairs.push(pair);
                }
                // Whatever they are, one of those kept is foreign or there twice.
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(HashesJson(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

impl Serialize for TextsJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.texts)
    }
}

impl<'de> Deserialize<'de> for TextsJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = TextsJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of signatures")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TextsJson, A::Error> {
                let mut texts = Vec::new();
                while texts.len() < SIGNATURES_MAX {
                    let Some(text) = list.next_element()? else {
                        return Ok(TextsJson { count: texts.len(), texts });
                    };
                    texts.push(text);
                }
                let mut count = texts.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(TextsJson { texts, count })
            }
        }

        deserializer.deserialize_seq(Texts)
    }
}
