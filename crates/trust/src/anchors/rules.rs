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
    fn from(NamespaceToml { prefix, require, signed_by, all, minimum_epoch }: NamespaceToml) -> Self {
        let signed_by = signed_by.into_iter().map(|name| name.0).collect();
        Self { prefix: prefix.0.to_string(), require, signed_by, all, minimum_epoch }
    }
}

/// What stands behind `prefix`, which ends at a slash or at the end; with the slash.
fn rest_behind<'a>(repository: &'a str, prefix: &str) -> Option<&'a str> {
    repository
        .strip_prefix(prefix.trim_end_matches('/'))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
