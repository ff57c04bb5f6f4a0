//! What an image, or an artifact about it, says.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealpack_format::{BlobDigest, ObjectId};
use serde::Deserialize;
use serde_json::Value;

use super::key::{Key, Part};
use super::names::{LABEL, SIGNATURE_MAX_BYTES};
use crate::json;
use crate::manifest::Manifest;

/// Where a claim stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimedIn {
    /// In the entry of the index that led to the manifest.
    IndexEntry,
    /// In the manifest.
    Manifest,
    /// In the manifest, at the config.
    ConfigDescriptor,
    /// In the manifest, at a layer, counted from 1 at the base.
    Layer(usize),
    /// Among the labels of the config.
    Labels,
    /// In the artifact whose manifest has this digest.
    Artifact(BlobDigest),
}

/// The value of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stated {
    /// A digest.
    Digest(ObjectId),
    /// Something that is no digest of its algorithm: what is wrong with it.
    Invalid(String),
}

/// A digest that somebody says a part of the image has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where it stands.
    pub place: ClaimedIn,
    /// The annotation or label, as it is written.
    pub name: String,
    /// What it is about. Of a label: the merged image in format 1, by the algorithm of that length.
    pub key: Key,
    /// What it says.
    pub stated: Stated,
    /// The PKCS#7 that comes with it, DER. What it is worth is not said.
    pub signature: Option<Vec<u8>>,
}

impl fmt::Display for ClaimedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexEntry => f.write_str("the index"),
            Self::Manifest => f.write_str("the manifest"),
            Self::ConfigDescriptor => f.write_str("the manifest's entry of the config"),
            Self::Layer(number) => write!(f, "the manifest's entry of layer {number}"),
            Self::Labels => f.write_str("the config's labels"),
            Self::Artifact(digest) => write!(f, "the artifact {digest}"),
        }
    }
}

impl Claim {
    /// All that an image says about itself: in the annotations of the `entry` that led to it, in its `manifest`, and
    /// in its config.
    #[must_use]
    pub fn in_image(entry: &BTreeMap<String, String>, manifest: &Manifest, config: &[u8]) -> Vec<Self> {
        let mut claims = Vec::new();
        collect(&mut claims, &ClaimedIn::IndexEntry, entry);
        collect(&mut claims, &ClaimedIn::Manifest, &manifest.annotations);
        collect(&mut claims, &ClaimedIn::ConfigDescriptor, &manifest.config.annotations);
        for (index, layer) in manifest.layers.iter().enumerate() {
            collect(&mut claims, &ClaimedIn::Layer(index + 1), &layer.annotations);
        }
        collect(&mut claims, &ClaimedIn::Labels, &labels(config));
        claims
    }

    /// The claim of the annotation `name`, if it is one.
    pub(super) fn of_annotation(place: &ClaimedIn, name: &str, value: &str) -> Option<Self> {
        let (key, stated) = if name == LABEL {
            let id = value.parse::<ObjectId>();
            let algorithm = id.as_ref().map_or(sealpack_format::Algorithm::Sha256, ObjectId::algorithm);
            let stated = id.map_or_else(|error| Stated::Invalid(error.to_string()), Stated::Digest);
            (Key::of(Part::Merged, algorithm), stated)
        } else {
            match Key::parse(name)? {
                (key, false) => (key, digest(key, value)),
                (_, true) => return None,
            }
        };
        Some(Self { place: place.clone(), name: name.to_owned(), key, stated, signature: None })
    }

    /// The bytes that a signature of it is over; `None` when it is no digest.
    #[must_use]
    pub fn signed_bytes(&self) -> Option<Vec<u8>> {
        match &self.stated {
            Stated::Digest(id) => Some(sealpack_format::verity::signed_bytes(id)),
            Stated::Invalid(_) => None,
        }
    }
}

/// Adds the claims among `annotations`, with the signatures that belong to them.
fn collect(claims: &mut Vec<Claim>, place: &ClaimedIn, annotations: &BTreeMap<String, String>) {
    for (name, value) in annotations {
        if let Some(mut claim) = Claim::of_annotation(place, name, value) {
            match annotations.get(&format!("{name}.sig")).map(|text| signature(text)) {
                Some(Ok(der)) => claim.signature = Some(der),
                Some(Err(problem)) => claim.stated = Stated::Invalid(problem),
                None => {}
            }
            claims.push(claim);
        }
    }
}

fn digest(key: Key, value: &str) -> Stated {
    match value.parse::<ObjectId>() {
        Ok(id) if id.algorithm() == key.algorithm => Stated::Digest(id),
        Ok(_) => Stated::Invalid(format!("it is no digest of {}", key.algorithm)),
        Err(error) => Stated::Invalid(error.to_string()),
    }
}

/// The DER in an annotation.
fn signature(text: &str) -> Result<Vec<u8>, String> {
    let limit = usize::try_from(SIGNATURE_MAX_BYTES).unwrap_or(usize::MAX);
    // Four characters are three bytes.
    if text.len() / 4 * 3 > limit {
        return Err(format!("its signature is longer than {limit} bytes"));
    }
    STANDARD.decode(text).map_err(|error| format!("its signature is not base64: {error}"))
}

/// The labels in an image's config, those that are texts. Nobody checks labels when an image is made.
fn labels(config: &[u8]) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Config {
        config: Option<Settings>,
    }
    #[derive(Deserialize)]
    struct Settings {
        #[serde(rename = "Labels", default, deserialize_with = "json::or_empty")]
        labels: BTreeMap<String, Value>,
    }
    let read = serde_json::from_slice::<Config>(config).ok();
    let labels = read.and_then(|config| config.config).map(|settings| settings.labels).unwrap_or_default();
    let text = |(name, value)| match value {
        Value::String(value) => Some((name, value)),
        _ => None,
    };
    labels.into_iter().filter_map(text).collect()
}
