//! What has been said about an image: the manifests whose `subject` it is (image-spec 1.1, manifest.md;
//! distribution-spec 1.1, "Listing referrers").

use std::collections::BTreeSet;

use sealpack_format::BlobDigest;

use crate::error::{Error, Result};
use crate::manifest::Descriptor;
use crate::media_type::OCI_EMPTY;

/// Most referrers of one image that are listed.
pub const REFERRERS_MAX: usize = 1000;
/// Most pages of a registry's list of referrers; each is at most as large as a manifest.
pub const PAGES_MAX: usize = 32;
/// Longest hex part of a fallback tag.
const TAG_HEX_MAX: usize = 64;

/// The tag under which the referrers of `subject` are listed where there is no API for it: `sha256-<hex>`
/// (distribution-spec, "Referrers tag schema").
#[must_use]
pub fn fallback_tag(subject: &BlobDigest) -> String {
    let hex = subject.hex();
    format!("{}-{}", subject.algorithm(), &hex[..hex.len().min(TAG_HEX_MAX)])
}

/// Whether `name` is a fallback tag, which names no image.
pub(crate) fn is_fallback_tag(name: &str) -> bool {
    let hex = name.strip_prefix("sha256-").or_else(|| name.strip_prefix("sha512-"));
    hex.is_some_and(|hex| {
        hex.len() == TAG_HEX_MAX && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// A list of referrers in the making: each once, without those of other types than the wanted one, within the
/// limit. An entry may lack its type, where a tool has copied the list that does not know the field.
pub(crate) struct Collector<'a> {
    /// Whose referrers, as messages name it.
    what: String,
    subject: BlobDigest,
    artifact_type: Option<&'a str>,
    /// All that were named so far, the others' types too.
    seen: BTreeSet<BlobDigest>,
    found: Vec<Descriptor>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(place: &str, subject: &Descriptor, artifact_type: Option<&'a str>) -> Self {
        let what = format!("{} in {place}", subject.digest);
        Self { what, subject: subject.digest, artifact_type, seen: BTreeSet::new(), found: Vec::new() }
    }

    /// Adds the entries of a list. What is no manifest cannot refer to anything, and nothing refers to itself.
    pub(crate) fn add(&mut self, entries: impl IntoIterator<Item = Descriptor>) -> Result<()> {
        for mut entry in entries {
            // Where there is a type at all, it is another one (image-spec 1.1, manifest.md, "config"): tools that take the
            // config's for it, cosign 2.5 among them, write it into lists that they keep themselves.
            entry.artifact_type = entry.artifact_type.filter(|listed| listed != OCI_EMPTY);
            if !entry.names_manifest() || entry.digest == self.subject || !self.seen.insert(entry.digest) {
                continue;
            }
            if self.seen.len() > REFERRERS_MAX {
                let (what, of) = (self.what.clone(), "referrers");
                return Err(Error::TooMany { what, limit: REFERRERS_MAX, of });
            }
            let is_other = |wanted| entry.artifact_type.as_deref().is_some_and(|listed| listed != wanted);
            if !self.artifact_type.is_some_and(is_other) {
                self.found.push(entry);
            }
        }
        Ok(())
    }

    /// The error of a list that does not end.
    pub(crate) fn too_many_pages(&self) -> Error {
        Error::TooMany { what: self.what.clone(), limit: PAGES_MAX, of: "pages of referrers" }
    }

    /// Whether nothing at all was listed, of whatever type.
    pub(crate) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    pub(crate) fn finish(self) -> Vec<Descriptor> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallback_tags_are_the_digest_with_a_dash() {
        let sha256: BlobDigest = format!("sha256:{}", "0a".repeat(32)).parse().unwrap();
        assert_eq!(fallback_tag(&sha256), format!("sha256-{}", "0a".repeat(32)));
        let sha512: BlobDigest = format!("sha512:{}", "0a".repeat(64)).parse().unwrap();
        assert_eq!(fallback_tag(&sha512), format!("sha512-{}", "0a".repeat(32)));
        assert!(is_fallback_tag(&fallback_tag(&sha256)) && is_fallback_tag(&fallback_tag(&sha512)));
        for name in ["sha256-0a", "1.0", "sha256", &format!("sha256-{}", "0A".repeat(32))] {
            assert!(!is_fallback_tag(name), "{name}");
        }
    }
}
