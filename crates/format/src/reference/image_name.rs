//! The names of images that need nothing added.

use std::fmt;
use std::str::FromStr;

use super::Reference;

/// A reference with a tag and without a digest, written with everything that a short one leaves out:
/// `docker.io/library/debian:12`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    text: String,
    /// How much of it is in front of the first slash.
    registry_bytes: usize,
    /// How much of it is behind the colon of the tag.
    tag_bytes: usize,
}

impl ImageName {
    /// A reference without its digest; `None` if it has no tag.
    pub(super) fn of(reference: &Reference) -> Option<Self> {
        let tag = reference.tag()?;
        let text = format!("{}/{}:{tag}", reference.registry, reference.repository);
        Some(Self { text, registry_bytes: reference.registry.len(), tag_bytes: tag.len() })
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same as a reference.
    #[must_use]
    pub fn reference(&self) -> Reference {
        let (registry, rest) = self.text.split_at(self.registry_bytes);
        let (path, tag) = rest.split_at(rest.len().saturating_sub(self.tag_bytes));
        Reference {
            registry: registry.to_owned(),
            repository: path.trim_start_matches('/').trim_end_matches(':').to_owned(),
            tag: Some(tag.to_owned()),
            digest: None,
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text is not the canonical name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageNameError {
    /// It is none at all.
    #[error("{0:?} is not an image's whole name, as docker.io/library/debian:12 is one")]
    Grammar(String),
    /// It leaves out or spells otherwise what belongs to the name.
    #[error("{text:?} is not an image's whole name; {canonical} is meant")]
    Spelling {
        /// The text.
        text: String,
        /// The name that it stands for.
        canonical: String,
    },
}

impl FromStr for ImageName {
    type Err = ImageNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let short = || text.chars().take(160).collect();
        let reference: Reference = text.parse().map_err(|_| ImageNameError::Grammar(short()))?;
        match Self::of(&reference) {
            Some(name) if name.text == text => Ok(name),
            Some(name) if reference.digest.is_none() => {
                Err(ImageNameError::Spelling { text: short(), canonical: name.text })
            }
            _ => Err(ImageNameError::Grammar(short())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_names() {
        for (text, repository, tag) in [
            ("docker.io/library/debian:12", "docker.io/library/debian", "12"),
            ("localhost:5000/a:b", "localhost:5000/a", "b"),
            ("localhost/a/b-c_d.e/f:_X.1-", "localhost/a/b-c_d.e/f", "_X.1-"),
            ("[::1]:5000/a:b", "[::1]:5000/a", "b"),
        ] {
            let name: ImageName = text.parse().expect(text);
            assert_eq!((name.reference().name().as_str(), name.reference().tag()), (repository, Some(tag)));
            assert_eq!(name.reference().image_name().as_ref(), Some(&name));
        }
        let long = format!("docker.io/{}:1", "a".repeat(246));
        for text in [
            "",
            "debian",
            "debian:12",
            "library/debian:12",
            "docker.io/library/debian",
            "docker.io:12",
            "docker.io/library/debian:",
            "docker.io//debian:12",
            "docker.io/Debian:12",
            "Docker.io/a:1",
            "docker.io/library/debian:12@sha256:00",
            "docker.io/a:1/",
            "docker.io/a:1 ",
            "docker.io/../a:1",
            "docker.io/a\n:1",
            "a..b/c:1",
            "docker.io/debian:12",
            "index.docker.io/library/debian:12",
            "localhost:05000/a:1",
            &long,
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_not_whole_is_refused_with_the_one_that_is_meant() {
        for (text, meant) in [
            ("debian", "docker.io/library/debian:latest"),
            ("docker.io/debian:12", "docker.io/library/debian:12"),
            ("index.docker.io/library/debian:12", "docker.io/library/debian:12"),
        ] {
            let error = text.parse::<ImageName>().expect_err(text).to_string();
            assert_eq!(error, format!("{text:?} is not an image's whole name; {meant} is meant"));
        }
        let by_digest = format!("docker.io/library/debian:12@sha256:{}", "0".repeat(64));
        let name = by_digest.parse::<Reference>().expect("a reference").image_name();
        assert_eq!(name.as_ref().map(ImageName::as_str), Some("docker.io/library/debian:12"));
        assert!(by_digest.parse::<ImageName>().is_err());
    }
}
