//! What may be pulled.

use std::collections::{BTreeMap, BTreeSet};

use sealpack_format::digest::BlobDigest;
use sealpack_format::reference::{ImageName, Prefix, Reference};
use serde::Deserialize;

use super::error::read_toml;
use super::{AnchorName, TomlError};

/// The rules of `rules.toml`. Without any, everything may be pulled, sealed or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    default: Requirement,
    namespaces: Vec<Namespace>,
    pins: Vec<Pin>,
    mirrors: BTreeMap<String, String>,
}

/// What an image has to be so that it may be pulled; the later asks for more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Requirement {
    /// Nothing; a seal is used if there is an acceptable one.
    #[default]
    Allow,
    /// Sealed, acceptably.
    Sealed,
    /// It must not be pulled at all.
    Refuse,
}

/// A rule for the repositories below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// A registry, or one and the beginning of a path in it, whole components, as a [`Prefix`] is written.
    pub prefix: String,
    /// What images there have to be.
    pub require: Requirement,
    /// Whose signatures of the statement count; any in the trust store if it is empty.
    pub signed_by: Vec<AnchorName>,
    /// Whether all of those must have signed.
    pub all: bool,
    /// The lowest epoch that is taken.
    pub minimum_epoch: u64,
    /// The types of attestations that an image must have besides its seal: all of them.
    pub require_artifacts: Vec<String>,
    /// Whose attestations count; by any key that the trust store has for artifacts if it is empty.
    pub artifacts_by: Vec<AnchorName>,
}

/// A name that means one image only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The name.
    pub name: ImageName,
    /// The digest of the image's manifest, or of the index that it comes from.
    pub digest: BlobDigest,
}

/// What the rules demand of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand<'a> {
    /// What the image has to be.
    pub require: Requirement,
    /// The rule that says so; `None` for the default.
    pub rule: Option<&'a Namespace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesToml {
    #[serde(default)]
    default: Requirement,
    #[serde(default)]
    namespace: Vec<NamespaceToml>,
    #[serde(default)]
    pin: Vec<PinToml>,
    #[serde(default)]
    mirrors: BTreeMap<Name<Prefix>, Name<Prefix>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamespaceToml {
    prefix: Name<Prefix>,
    require: Requirement,
    #[serde(default)]
    signed_by: Vec<Name<AnchorName>>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    minimum_epoch: u64,
    #[serde(default)]
    require_artifacts: Vec<ArtifactType>,
    #[serde(default)]
    artifacts_by: Vec<Name<AnchorName>>,
}

/// What an attestation says of itself: a URI, as in-toto has it.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ArtifactType(String);

/// The longest type, in bytes.
const ARTIFACT_TYPE_MAX_BYTES: usize = 256;

/// The most types of one rule.
const ARTIFACT_TYPES_MAX: usize = 16;

impl TryFrom<String> for ArtifactType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_good =
            text.len() <= ARTIFACT_TYPE_MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_good
            && text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
        {
            return Ok(Self(text));
        }
        let shown: String = text.chars().take(80).collect();
        Err(format!(
            "{shown:?} is no type of an artifact: it takes a URI such as https://slsa.dev/provenance/v1"
        ))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinToml {
    name: Name<ImageName>,
    digest: BlobDigest,
}

/// A text with a grammar of its own.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String", bound(deserialize = "T: std::str::FromStr<Err: std::fmt::Display>"))]
struct Name<T>(T);

impl<T: std::str::FromStr<Err: std::fmt::Display>> TryFrom<String> for Name<T> {
    type Error = T::Err;

    fn try_from(text: String) -> Result<Self, T::Err> {
        text.parse().map(Self)
    }
}

impl Rules {
    /// Reads `rules.toml`.
    ///
    /// # Errors
    /// Something unknown or wrong in it, with its line; two rules or pins for the same.
    pub fn parse(bytes: &[u8]) -> Result<Self, TomlError> {
        let RulesToml { default, namespace, pin, mirrors } = read_toml(bytes)?;
        let namespaces: Vec<_> = namespace.into_iter().map(Namespace::from).collect();
        namespaces.iter().try_for_each(check_artifacts)?;
        let pins: Vec<_> = pin.into_iter().map(|pin| Pin { name: pin.name.0, digest: pin.digest }).collect();
        let (mut prefixes, mut names) = (BTreeSet::new(), BTreeSet::new());
        if let Some(rule) = namespaces.iter().find(|rule| !prefixes.insert(&rule.prefix)) {
            return Err(TomlError::Twice { what: "rules", name: rule.prefix.clone() });
        }
        if let Some(pin) = pins.iter().find(|pin| !names.insert(&pin.name)) {
            return Err(TomlError::Twice { what: "pins", name: pin.name.to_string() });
        }
        let mirrors = mirrors
            .into_iter()
            .map(|(from, to)| (from.0.components().to_owned(), to.0.components().to_owned()))
            .collect();
        Ok(Self { default, namespaces, pins, mirrors })
    }

    /// What holds where no rule does.
    #[must_use]
    pub const fn default_requirement(&self) -> Requirement {
        self.default
    }

    /// The rules, in the order of the file.
    #[must_use]
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// What is demanded of `name`: the rule with the longest prefix decides.
    #[must_use]
    pub fn demand(&self, name: &Reference) -> Demand<'_> {
        let repository = name.name();
        let fits = |rule: &&Namespace| rest_behind(&repository, &rule.prefix).is_some();
        let rule = self.namespaces.iter().filter(fits).max_by_key(|rule| rule.prefix.len());
        Demand { require: rule.map_or(self.default, |rule| rule.require), rule }
    }

    /// The names whose seals may be used for `name`: itself, and what it is a mirror of.
    #[must_use]
    pub fn names(&self, name: &Reference) -> Vec<Reference> {
        let repository = name.name();
        let mirrors = self.mirrors.iter();
        let fits = mirrors.filter_map(|(from, to)| Some((from, to, rest_behind(&repository, from)?)));
        let mapped = fits.max_by_key(|(from, ..)| from.len());
        let mapped = mapped.and_then(|(_, to, rest)| name.in_repository(&format!("{to}{rest}")));
        std::iter::once(name.clone()).chain(mapped).collect()
    }

    /// The pin of a name, or of what it is a mirror of.
    #[must_use]
    pub fn pin(&self, name: &Reference) -> Option<&Pin> {
        let names: Vec<_> = self.names(name).iter().filter_map(Reference::image_name).collect();
        self.pins.iter().find(|pin| names.contains(&pin.name))
    }
}

impl From<NamespaceToml> for Namespace {
    fn from(toml: NamespaceToml) -> Self {
        let names = |names: Vec<Name<AnchorName>>| names.into_iter().map(|name| name.0).collect();
        Self {
            prefix: toml.prefix.0.to_string(),
            require: toml.require,
            signed_by: names(toml.signed_by),
            all: toml.all,
            minimum_epoch: toml.minimum_epoch,
            require_artifacts: toml.require_artifacts.into_iter().map(|wanted| wanted.0).collect(),
            artifacts_by: names(toml.artifacts_by),
        }
    }
}

/// That what a rule says of artifacts makes sense: they come besides a seal, by which the image is remembered.
fn check_artifacts(rule: &Namespace) -> Result<(), TomlError> {
    let prefix = || rule.prefix.clone();
    let number = rule.require_artifacts.len();
    if number > ARTIFACT_TYPES_MAX {
        return Err(TomlError::ArtifactTypes { prefix: prefix(), number, limit: ARTIFACT_TYPES_MAX });
    }
    if number > 0 && rule.require != Requirement::Sealed {
        return Err(TomlError::ArtifactsUnsealed { prefix: prefix() });
    }
    if number == 0 && !rule.artifacts_by.is_empty() {
        return Err(TomlError::ArtifactsByNobody { prefix: prefix() });
    }
    Ok(())
}

/// What stands behind `prefix`, which ends at a slash or at the end; with the slash.
fn rest_behind<'a>(repository: &'a str, prefix: &str) -> Option<&'a str> {
    repository
        .strip_prefix(prefix.trim_end_matches('/'))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
