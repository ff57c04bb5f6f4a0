//! Beginnings of names, as rules have them.

use std::fmt;
use std::str::FromStr;

use super::{canonical_name, canonical_registry, is_told_from_a_name};

/// A registry, or one and the beginning of a path in it, whole components, in the canonical spelling: `docker.io/library`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not the beginning of a name, or not in the spelling that names have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// There is no such registry or path.
    #[error("{0:?} is not a registry, or one and the beginning of a path in it, such as docker.io/library")]
    Grammar(String),
    /// Names are spelled otherwise, so that it would be the beginning of none.
    #[error("{text:?} is not how names begin; {canonical:?} is meant")]
    Spelling {
        /// The text.
        text: String,
        /// How it is spelled.
        canonical: String,
    },
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let short: String = text.chars().take(300).collect();
        let canonical = canonical(text).ok_or_else(|| PrefixError::Grammar(short.clone()))?;
        if canonical != text {
            return Err(PrefixError::Spelling { text: short, canonical });
        }
        Ok(Self(canonical))
    }
}

fn canonical(text: &str) -> Option<String> {
    let (registry, path) = match text.split_once('/') {
        Some((registry, path)) => (registry, Some(path)),
        None => (text, None),
    };
    let registry = canonical_registry(registry).ok().filter(|registry| is_told_from_a_name(registry))?;
    let Some(path) = path else { return Some(registry) };
    // The namespace that Docker Hub's names may leave out is no part of a beginning.
    canonical_name(Some(&registry), path).ok()?;
    Some(format!("{registry}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_can_begin_with_is_a_prefix() {
        for text in ["docker.io", "docker.io/library", "localhost", "localhost:5000/a/b", "[::1]:5000/a__b"] {
            assert_eq!(text.parse::<Prefix>().unwrap().as_str(), text);
        }
        for text in
            ["", "debian", "docker.io/", "/a", "a..b/c", "docker.io/a:1", "quay.io/A", "x.y/a//b", "x.y/a."]
        {
            let error = text.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains("is not a registry"), "{error}");
        }
    }

    #[test]
    fn a_prefix_that_no_name_begins_with_is_refused_with_the_one_that_is_meant() {
        for (text, meant) in [
            ("index.docker.io/library", "docker.io/library"),
            ("Quay.IO", "quay.io"),
            ("localhost:05000/a", "localhost:5000/a"),
            ("[0:0::1]/a", "[::1]/a"),
        ] {
            let error = text.parse::<Prefix>().unwrap_err().to_string();
            assert_eq!(error, format!("{text:?} is not how names begin; {meant:?} is meant"));
        }
    }
}
