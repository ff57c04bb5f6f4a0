//! What `TARGET` on the command line means, and how images are written there: a registry or a layout.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use sealpack_format::reference::Reference;

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::manifest::{Descriptor, Document, MANIFEST_LIMIT_BYTES};
use crate::registry::{ClientOptions, RegistryTarget};
use crate::source::{ImageChoice, Source, SourceError};

mod layout;

pub use layout::LayoutTarget;

/// Opens a blob from an offset on, as often as asked: an upload that breaks reads parts again.
pub type Open<'a> = dyn Fn(u64) -> Result<Box<dyn Read + Send>> + Sync + 'a;

/// What a manifest is put under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Its digest only.
    Digest,
    /// The name that the target's text has.
    Target,
}

/// What came of putting a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    /// The tag that lists the manifest as a referrer, where the registry has no list of its own.
    pub fallback_tag: Option<String>,
}

/// Where an image goes: a registry or a layout.
///
/// Blobs first, then the manifests that name them, then the indexes that name those.
pub trait ImageTarget: Send + Sync {
    /// The target as messages name it.
    fn description(&self) -> String;

    /// Whether the target has the blob.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn has_blob(&self, blob: &Descriptor) -> Result<bool>;

    /// Whether the target has the manifest or index.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn has_manifest(&self, manifest: &Descriptor) -> Result<bool>;

    /// Takes the blob over from another repository of the same registry, without a transfer. Returns
    /// whether it is there now; if not, it is to be [put](Self::put_blob).
    ///
    /// # Errors
    /// When the registry refuses access or cannot be reached.
    fn mount_blob(&self, _blob: &Descriptor, _from: &Reference) -> Result<bool> {
        Ok(false)
    }

    /// Writes a blob. `sent` is told how many of its bytes are there, which may become fewer when a
    /// transfer has to begin anew. What `open` gives is checked against size and digest.
    ///
    /// # Errors
    /// When the blob cannot be written, or is not the one described; nothing of it is there then.
    fn put_blob(&self, blob: &Descriptor, open: &Open<'_>, sent: &dyn Fn(u64)) -> Result<()>;

    /// Writes a manifest or index. One with a subject can be found as that one's referrer afterwards.
    ///
    /// # Errors
    /// When the bytes are not those described or no manifest, or the target does not take them.
    fn put_manifest(&self, manifest: &Descriptor, bytes: &[u8], naming: Naming) -> Result<Pushed>;
}

impl fmt::Debug for dyn ImageTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageTarget({})", self.description())
    }
}

/// Writes a blob that is in memory, unless the target has it.
///
/// # Errors
/// See [`ImageTarget::put_blob`].
pub fn put_bytes(target: &dyn ImageTarget, blob: &Descriptor, bytes: &[u8]) -> Result<()> {
    if target.has_blob(blob)? {
        return Ok(());
    }
    let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(Box::new(std::io::Cursor::new(bytes.get(offset..).unwrap_or_default().to_vec())))
    };
    target.put_blob(blob, &open, &|_| {})
}

/// Reads a manifest that is about to be written, and checks that it is the one described.
pub(crate) fn check_manifest(what: &str, manifest: &Descriptor, bytes: &[u8]) -> Result<Document> {
    if manifest.size_bytes > MANIFEST_LIMIT_BYTES {
        return Err(Error::TooLarge { what: what.to_owned(), limit_bytes: MANIFEST_LIMIT_BYTES });
    }
    manifest.verify(what, bytes)?;
    Document::parse(what, Some(&manifest.media_type), bytes)
}

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
pub enum TargetError {
    /// It does not name a source either.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An archive.
    #[error("{text:?} is an archive, which can be read but not written")]
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
            assert!(error.to_string().contains("can be read but not written"), "{error}");
        }
        let digest = format!("oci:a@sha256:{}", "0".repeat(64));
        assert!(target(&digest).unwrap_err().to_string().contains("by its digest"));
    }
}
