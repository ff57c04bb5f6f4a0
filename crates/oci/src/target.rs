//! What `TARGET` on the command line means: a registry or a layout.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sealpack_format::reference::Reference;

use crate::environment::Environment;
use crate::error::Result;
use crate::layout::{ImageChoice, LayoutTarget};
use crate::registry::{ClientOptions, RegistryTarget};
use crate::source::{Source, SourceError};
use crate::transport::ImageTarget;

/// A target by its text, which is a [`Source`]'s for the transports that can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `REFERENCE` or `docker://REFERENCE`.
    Registry(Reference),
    /// `oci:DIRECTORY[:TAG]`, made if it is not there.
    OciLayout(PathBuf, Option<String>),
}

/// A text that names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It does not name a source either.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An archive.
    #[error(
        "{text:?} is an archive, which is written whole and not added to; a layout can be, for example `{suggestion}`"
    )]
    Archive {
        /// The target.
        text: String,
        /// A target that would do.
        suggestion: String,
    },
    /// A layout with a digest.
    #[error("{text:?} names an image by its digest; one that is written gets a tag or no name")]
    Digest {
        /// The target.
        text: String,
    },
}

impl Target {
    /// Opens the target. A registry is not asked yet; a layout that is not there is made by the first write. `source` is where the
    /// blobs come from: of the same registry, they are mounted.
    ///
    /// # Errors
    /// When there is something else in the place of a layout, or it cannot be written.
    pub fn open(
        &self,
        source: Option<&Source>,
        options: &ClientOptions,
        environment: &Environment,
    ) -> Result<Box<dyn ImageTarget>> {
        Ok(match self {
            Self::Registry(reference) => {
                let from = match source {
                    Some(Source::Registry(from)) if from.registry() == reference.registry() => {
                        Some(from.repository()).filter(|from| *from != reference.repository())
                    }
                    _ => None,
                };
                Box::new(RegistryTarget::new(reference.clone(), from, options, environment))
            }
            Self::OciLayout(path, name) => Box::new(LayoutTarget::open(path, name.clone())?),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::OciLayout(path, None) => write!(f, "oci:{}", path.display()),
            Self::OciLayout(path, Some(name)) => write!(f, "oci:{}:{name}", path.display()),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<Source>()? {
            Source::Registry(reference) => Ok(Self::Registry(reference)),
            Source::OciLayout(path, ImageChoice::Only) => Ok(Self::OciLayout(path, None)),
            Source::OciLayout(path, ImageChoice::Name(name)) => Ok(Self::OciLayout(path, Some(name))),
            Source::OciLayout(_, ImageChoice::Digest(_)) => {
                Err(TargetError::Digest { text: text.to_owned() })
            }
            Source::OciArchive(path, _) | Source::DockerArchive(path, _) => Err(TargetError::Archive {
                text: text.to_owned(),
                suggestion: format!("oci:{}", path.with_extension("").display()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_registries_and_layouts() {
        let target = |text: &str| text.parse::<Target>();
        let registry = Target::Registry("localhost:5000/a:b".parse().unwrap());
        assert_eq!(target("localhost:5000/a:b").unwrap(), registry);
        assert_eq!(target("docker://localhost:5000/a:b").unwrap(), registry);
        assert_eq!(target("oci:a").unwrap(), Target::OciLayout("a".into(), None));
        assert_eq!(target("oci:a:1.0").unwrap(), Target::OciLayout("a".into(), Some("1.0".to_owned())));
        for text in ["localhost:5000/a:b", "oci:a", "oci:a:b"] {
            assert_eq!(target(&target(text).unwrap().to_string()).unwrap(), target(text).unwrap());
        }
        for text in ["oci-archive:x.tar", "docker-archive:x.tar:a:1"] {
            let error = target(text).unwrap_err();
            assert!(error.to_string().contains("is written whole and not added to"), "{error}");
            assert!(error.to_string().ends_with("for example `oci:x`"), "{error}");
        }
        let digest = format!("oci:a@sha256:{}", "0".repeat(64));
        assert!(target(&digest).unwrap_err().to_string().contains("by its digest"));
    }
}
