//! Beginnings of names, as rules have them.

use std::fmt;
use std::str::FromStr;

use super::{DEFAULT_NAMESPACE, DEFAULT_REGISTRY, canonical_name, canonical_registry, is_told_from_a_name};

/// A registry, or one and the beginning of a path in it, whole components, in the canonical spelling: `docker.io/library`.
///
/// Of Docker Hub, one component is no beginning by itself: `docker.io/debian` is short for the image
/// `docker.io/library/debian`, and who means the images of somebody who is called so writes `docker.io/debian/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole components, without a slash at the end.
    #[must_use]
    pub fn components(&self) -> &str {
        self.0.trim_end_matches('/')
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not the beginning of a name, or not in the spelling that names have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    /// It is short for an image of Docker Hub, or the beginning of somebody's names there.
    #[error("{text:?} is not how names begin; {image:?} is meant, or {namespace:?} for all that begins so")]
    Hub {
        /// The text.
        text: String,
        /// The image.
        image: String,
        /// The beginning of names.
        namespace: String,
    },
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let short: String = text.chars().take(300).collect();
        let path = text.strip_suffix('/').unwrap_or(text);
        let grammar = || PrefixError::Grammar(short.clone());
        let mut canonical = canonical(path).ok_or_else(grammar)?;
        let hub = one_component_of_hub(&canonical).filter(|component| *component != DEFAULT_NAMESPACE);
        match (hub, path == text) {
            (Some(component), true) => {
                let image = format!("{DEFAULT_REGISTRY}/{DEFAULT_NAMESPACE}/{component}");
                let namespace = format!("{canonical}/");
                return Err(PrefixError::Hub { text: short, image, namespace });
            }
            (Some(_), false) => canonical.push('/'),
            (None, false) => return Err(grammar()),
            (None, true) => {}
        }
        if canonical != text {
            return Err(PrefixError::Spelling { text: short, canonical });
        }
        Ok(Self(canonical))
    }
}

/// The path of a prefix of Docker Hub's, if it is one component.
fn one_component_of_hub(canonical: &str) -> Option<&str> {
    let path = canonical.strip_prefix(DEFAULT_REGISTRY)?.strip_prefix('/')?;
    (!path.contains('/')).then_some(path)
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

    /// `docker.io/debian:12` is `docker.io/library/debian:12`, which begins with `docker.io/library`.
    #[test]
    fn one_component_of_docker_hub_is_an_image_or_somebodys_names() {
        for text in ["docker.io/debian", "index.docker.io/debian"] {
            let error = text.parse::<Prefix>().unwrap_err().to_string();
            let meant =
                "\"docker.io/library/debian\" is meant, or \"docker.io/debian/\" for all that begins so";
            assert_eq!(error, format!("{text:?} is not how names begin; {meant}"));
        }
        let prefix: Prefix = "docker.io/debian/".parse().unwrap();
        assert_eq!((prefix.as_str(), prefix.components()), ("docker.io/debian/", "docker.io/debian"));
        for text in ["docker.io/debian//", "docker.io/library/", "docker.io/a/b/", "quay.io/a/"] {
            let error = text.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains("is not a registry"), "{error}");
        }
        let error = "index.docker.io/debian/".parse::<Prefix>().unwrap_err().to_string();
        assert!(error.ends_with("\"docker.io/debian/\" is meant"), "{error}");
        "docker.io/debian/eol".parse::<Prefix>().unwrap();
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
