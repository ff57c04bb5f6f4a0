//! The names that a seal may be used for.

use std::fmt;
use std::str::FromStr;

/// Longest `registry/repository` in bytes, and longest tag: those of references.
const REPOSITORY_MAX_BYTES: usize = 255;
const TAG_MAX_BYTES: usize = 128;

/// The canonical name of an image, with everything that a short one leaves out: `docker.io/library/debian:12`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    text: String,
    /// How much of it is in front of the colon.
    repository_bytes: usize,
}

impl ImageName {
    /// The name of `tag` in a repository.
    ///
    /// # Errors
    /// One of them is none.
    pub fn new(repository: &str, tag: &str) -> Result<Self, ImageNameError> {
        format!("{repository}:{tag}").parse()
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `registry/repository`.
    #[must_use]
    pub fn repository(&self) -> &str {
        self.text.get(..self.repository_bytes).unwrap_or_default()
    }

    /// What stands behind the colon.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.text.get(self.repository_bytes + 1..).unwrap_or_default()
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text is not the canonical name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an image's whole name, as docker.io/library/debian:12 is one")]
pub struct ImageNameError(String);

impl ImageNameError {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.chars().take(160).collect())
    }
}

impl FromStr for ImageName {
    type Err = ImageNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (repository, tag) = split_tag(text).ok_or_else(|| ImageNameError::of(text))?;
        if !is_repository(repository) || !is_tag(tag) {
            return Err(ImageNameError::of(text));
        }
        Ok(Self { text: text.to_owned(), repository_bytes: repository.len() })
    }
}

/// The colon of a tag stands behind the last slash; one before it is a port's.
pub(crate) fn split_tag(text: &str) -> Option<(&str, &str)> {
    let last = text.rfind('/')?;
    let colon = text.get(last..)?.find(':')? + last;
    Some((text.get(..colon)?, text.get(colon + 1..)?))
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_MAX_BYTES
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether `text` is a registry and a path in it, in the canonical spelling.
pub(crate) fn is_repository(text: &str) -> bool {
    text.len() <= REPOSITORY_MAX_BYTES
        && text
            .split_once('/')
            .is_some_and(|(registry, path)| is_registry(registry) && path.split('/').all(is_component))
}

/// Whether `text` is a registry, or one and the beginning of a path in it, as rules name them.
pub(crate) fn is_prefix(text: &str) -> bool {
    is_registry(text) || is_repository(text)
}

fn is_registry(text: &str) -> bool {
    let is_told_from_a_path = text.contains(['.', ':']) || text == "localhost";
    let is_good = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
    };
    is_told_from_a_path && text.bytes().all(is_good)
}

fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().next().is_some_and(is_word)
        && text.bytes().last().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'_' | b'-'))
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
            assert_eq!((name.repository(), name.tag()), (repository, tag));
            assert_eq!(ImageName::new(repository, tag).as_ref(), Ok(&name));
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
            &long,
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text}");
        }
    }
}
