//! The name that is pulled.

use std::fmt;
use std::str::FromStr;

use crate::seal::{ImageName, ImageNameError, is_repository, split_tag};

/// What is pulled, in the canonical spelling: `docker.io/library/debian:12`, with `@sha256:…` or without a tag too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedName {
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl AskedName {
    /// `registry/repository`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The name without a digest, if it has a tag.
    #[must_use]
    pub fn name(&self) -> Option<ImageName> {
        ImageName::new(&self.repository, self.tag.as_ref()?).ok()
    }

    /// Whether a digest says what is meant, so that no earlier epoch of a name matters.
    #[must_use]
    pub const fn is_by_digest(&self) -> bool {
        self.digest.is_some()
    }

    /// The same in another repository, if that is one.
    pub(crate) fn in_repository(&self, repository: &str) -> Option<Self> {
        is_repository(repository).then(|| Self { repository: repository.to_owned(), ..self.clone() })
    }
}

impl fmt::Display for AskedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl From<ImageName> for AskedName {
    fn from(name: ImageName) -> Self {
        Self { repository: name.repository().to_owned(), tag: Some(name.tag().to_owned()), digest: None }
    }
}

impl FromStr for AskedName {
    type Err = ImageNameError;

    fn from_str(text: &str) -> Result<Self, ImageNameError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        if split_tag(rest).is_some() || digest.is_none() {
            return Ok(Self { digest, ..rest.parse::<ImageName>()?.into() });
        }
        if !is_repository(rest) {
            return Err(ImageNameError::of(text));
        }
        Ok(Self { repository: rest.to_owned(), tag: None, digest })
    }
}
