//! Whether an image has the artifacts that the rules want besides its seal.

use std::fmt;

use sealpack_format::reference::Reference;

use super::Refusal;
use crate::anchors::{AnchorName, Anchors, Namespace};
use crate::attestation::Attestation;

/// What an image has of attestations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Those whose signatures are good.
    pub attestations: Vec<Attestation>,
    /// What does not count, each as a sentence that names it.
    pub left_out: Vec<String>,
}

/// Types that a rule wants and that an image has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The rule's prefix.
    pub prefix: String,
    /// The types, at least one.
    pub types: Vec<String>,
    /// Whose keys would count; any that the trust store has for artifacts where there is none.
    pub by: Vec<AnchorName>,
    /// Those of them that the trust store has not, or that were revoked.
    pub unknown: Vec<AnchorName>,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, types, by, unknown } = self;
        let names =
            |names: &[AnchorName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let by_whom = if by.is_empty() { "a key of the trust store".to_owned() } else { names(by) };
        write!(f, "the rule for {prefix} wants {} signed by {by_whom}", types.join(" and "))?;
        match unknown.is_empty() {
            true => Ok(()),
            false => {
                write!(f, "; the trust store has no key called {} for artifacts that counts", names(unknown))
            }
        }
    }
}

/// The rules that want artifacts of an image of that name: that for it, and that for what it is a mirror of.
fn wanting<'a>(anchors: &'a Anchors, name: &Reference) -> Vec<&'a Namespace> {
    let mut rules: Vec<&Namespace> = Vec::new();
    for name in anchors.rules().names(name) {
        let rule = anchors.rules().demand(&name).rule.filter(|rule| !rule.require_artifacts.is_empty());
        rules.extend(rule.filter(|rule| rules.iter().all(|known| known.prefix != rule.prefix)));
    }
    rules
}

/// The types that the rules want of an image of that name; one may be there twice.
pub fn artifacts_wanted<'a>(
    anchors: &'a Anchors,
    name: &Reference,
) -> impl Iterator<Item = &'a str> + use<'a> {
    wanting(anchors, name).into_iter().flat_map(|rule| rule.require_artifacts.iter().map(String::as_str))
}

/// That an image of that name has all artifacts that the rules want: each type, by a key that counts for the rule now.
///
/// # Errors
/// [`Refusal::Artifacts`].
pub fn check_artifacts(anchors: &Anchors, name: &Reference, shown: &Shown) -> Result<(), Refusal> {
    let lacking: Vec<_> =
        wanting(anchors, name).into_iter().filter_map(|rule| lacking(anchors, rule, shown)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Refusal::Artifacts { name: name.to_string(), lacking, left_out: shown.left_out.clone() })
}

fn lacking(anchors: &Anchors, rule: &Namespace, shown: &Shown) -> Option<Lacking> {
    let keys: Vec<_> = anchors.artifact_keys_for(rule).collect();
    let is_there = |wanted: &&String| {
        let counts = |said: &Attestation| keys.iter().any(|known| known.key.fingerprint() == said.key);
        shown.attestations.iter().any(|said| said.predicate_type == **wanted && counts(said))
    };
    let types: Vec<_> = rule.require_artifacts.iter().filter(|wanted| !is_there(wanted)).cloned().collect();
    let unknown = rule.artifacts_by.iter().filter(|name| keys.iter().all(|known| known.name != **name));
    let unknown = unknown.cloned().collect();
    let (prefix, by) = (rule.prefix.clone(), rule.artifacts_by.clone());
    (!types.is_empty()).then_some(Lacking { prefix, types, by, unknown })
}
