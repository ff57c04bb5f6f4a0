//! Seals published beside their images.

use sealpack_format::BlobDigest;
use sealpack_format::reference::Reference;
use sealpack_oci::artifact::{Artifact, CREATED, Part};
use sealpack_oci::composefs::{Draft, DraftError};
use sealpack_oci::environment::Environment;
use sealpack_oci::layout::ImageChoice;
use sealpack_oci::manifest::{Descriptor, Document};
use sealpack_oci::media_type::MediaKind;
use sealpack_oci::registry::ClientOptions;
use sealpack_oci::source::Source;
use sealpack_oci::target::Target;
use sealpack_oci::transport::{ImageSource, ImageTarget, Naming};
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::pkcs7::{self, SigningError};
use sealpack_trust::seal::{ARTIFACT_TYPE, SIGNATURES_MEDIA_TYPE, STATEMENT_MEDIA_TYPE, Seal, SigningPair};

use crate::Error;
use crate::remark::{Remark, Remarks};

/// How deep indices in indices are looked into for an image.
const DEPTH_MAX: usize = 3;

/// Why something is not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The image is not where something is to be put beside it.
    #[error("{target} has no image {manifest}, so that nobody would find there what is said of it")]
    NoImage {
        /// Where.
        target: String,
        /// The image's manifest.
        manifest: BlobDigest,
    },
    /// The place's name means another image by now.
    #[error(
        "{target} is another image there now, {now}; what is published is for {manifest}, which the store has"
    )]
    Stale {
        /// The place.
        target: String,
        /// What its name means.
        now: BlobDigest,
        /// The manifest of the image that it is for.
        manifest: BlobDigest,
    },
    /// The key does not sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The composefs digests make no artifact.
    #[error(transparent)]
    Composefs(#[from] DraftError),
}

/// Where something is to be put beside an image.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where; without one, where the image was pulled from.
    pub to: Option<Target>,
    /// Whether the place's name may mean another image by now.
    pub stale: bool,
}

/// A place that has been looked at, and that has the image. Nothing else publishes.
#[derive(Debug)]
pub struct Ready {
    to: Target,
    target: Box<dyn ImageTarget>,
    /// The image's manifest.
    subject: Descriptor,
    /// The image that the place's name means by now, if it is another one.
    now: Option<BlobDigest>,
}

/// Something that was published beside its image.
#[derive(Debug)]
pub struct Published {
    /// The place as people name it.
    pub target: String,
    /// The referrer's manifest.
    pub referrer: Descriptor,
    /// The tag that lists it, where the registry keeps no list.
    pub fallback_tag: Option<String>,
    /// The manifest of the composefs project's artifact.
    pub composefs: Option<BlobDigest>,
}

impl Place {
    /// Looks at the place: that it has the image, and that its name means that one still.
    ///
    /// # Errors
    ///
    /// [`PublishError::NoImage`], and [`PublishError::Stale`] unless that may be; of the way there, and of the store.
    pub fn look(
        &self,
        store: &Store,
        record: &ImageRecord,
        (client, environment): (&ClientOptions, &Environment),
    ) -> Result<Ready, Error> {
        let to = match &self.to {
            Some(to) => to.clone(),
            None => Target::Registry(record.pulled_as.as_ref().unwrap_or(&record.name).parse()?),
        };
        let target = to.open(None, client, environment)?;
        let subject = subject(store, record)?;
        if !target.has_manifest(&subject)? {
            let (target, manifest) = (target.description(), subject.digest);
            return Err(PublishError::NoImage { target, manifest }.into());
        }
        let source = source_of(&to).map(|source| source.open(client, environment)).transpose()?;
        let now = source.map_or(Ok(None), |source| now(source.as_ref(), &subject.digest))?;
        if let Some(now) = now.filter(|_| !self.stale) {
            let (target, manifest) = (target.description(), subject.digest);
            return Err(PublishError::Stale { target, now, manifest }.into());
        }
        Ok(Ready { to, target, subject, now })
    }
}

impl Ready {
    /// Puts the seal beside the image.
    ///
    /// # Errors
    ///
    /// Of the way there.
    pub fn publish(&self, seal: &Seal, remarks: Remarks<'_>) -> Result<Published, Error> {
        if let Some(elsewhere) = self.without_names(seal) {
            remarks(Remark::NoNameThere { place: elsewhere.name() });
        }
        self.put(&artifact(self.subject.clone(), seal), remarks)
    }

    /// The image that it is put beside.
    pub(crate) const fn subject(&self) -> &Descriptor {
        &self.subject
    }

    /// Puts an artifact beside the image.
    pub(crate) fn put(&self, artifact: &Artifact, remarks: Remarks<'_>) -> Result<Published, Error> {
        if let Some(now) = self.now {
            let (target, manifest) = (self.target.description(), self.subject.digest);
            remarks(Remark::Stale { target, now, manifest });
        }
        let pushed = artifact.push(self.target.as_ref(), Naming::Digest)?;
        Ok(Published {
            target: self.target.description(),
            referrer: artifact.descriptor(),
            fallback_tag: pushed.fallback_tag,
            composefs: None,
        })
    }

    /// Puts the image's composefs digests beside it, signed by `signer` if there is one. Answers with the artifact's
    /// manifest.
    ///
    /// # Errors
    ///
    /// [`PublishError::Signing`] and [`PublishError::Composefs`]; of the way there, and of the store.
    pub fn publish_composefs(
        &self,
        store: &Store,
        record: &ImageRecord,
        signer: Option<&SigningPair<'_>>,
    ) -> Result<BlobDigest, Error> {
        let (manifest, config) = (store.blob(&record.manifest)?, store.blob(&record.config)?);
        let mut draft = Draft::new(&self.subject, &manifest, &config, record.metadata_image);
        if let Some(SigningPair { signer, certificate }) = signer {
            for (part, bytes) in draft.to_be_signed().collect::<Vec<_>>() {
                let signature =
                    pkcs7::sign_detached(*signer, certificate, &bytes).map_err(PublishError::Signing)?;
                draft.sign(part, signature).map_err(PublishError::Composefs)?;
            }
        }
        let built = draft.build().map_err(PublishError::Composefs)?;
        built.push(self.target.as_ref())?;
        Ok(built.descriptor.digest)
    }

    /// The repository, if the seal is for no name in it: who pulls from there needs one, or a mirror in the rules.
    fn without_names(&self, seal: &Seal) -> Option<&Reference> {
        let Target::Registry(reference) = &self.to else { return None };
        let names = seal.statement().names();
        names.iter().all(|name| name.reference().name() != reference.name()).then_some(reference)
    }
}

/// The place as a source, where it has a name that can mean one image now and another later.
fn source_of(target: &Target) -> Option<Source> {
    match target {
        Target::Registry(reference) => Some(Source::Registry(reference.clone())),
        Target::OciLayout(path, Some(name)) => {
            Some(Source::OciLayout(path.clone(), ImageChoice::Name(name.clone())))
        }
        Target::OciLayout(_, None) => None,
    }
}

/// What the source's name means, if that is another image than that of `manifest`. A name that is not there misleads
/// nobody.
fn now(source: &dyn ImageSource, manifest: &BlobDigest) -> Result<Option<BlobDigest>, Error> {
    let (root, bytes) = match source.root() {
        Err(error) if error.is_absence() => return Ok(None),
        other => other?,
    };
    let is_there = has(source, &root, &bytes, manifest, DEPTH_MAX)?;
    Ok((!is_there).then_some(root.digest))
}

/// Whether a manifest is that one, or an index has it.
fn has(
    source: &dyn ImageSource,
    root: &Descriptor,
    bytes: &[u8],
    manifest: &BlobDigest,
    depth: usize,
) -> Result<bool, Error> {
    if root.digest == *manifest {
        return Ok(true);
    }
    let parsed = Document::parse(&source.description(), Some(&root.media_type), bytes)?;
    let Document::Index(index) = parsed else { return Ok(false) };
    if index.manifests.iter().any(|entry| entry.digest == *manifest) {
        return Ok(true);
    }
    let is_looked_into = |entry: &&Descriptor| depth > 0 && entry.kind() == MediaKind::Index;
    for entry in index.manifests.iter().filter(is_looked_into) {
        if has(source, entry, &source.fetch(entry)?, manifest, depth - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The descriptor of the image's manifest.
pub(crate) fn subject(store: &Store, record: &ImageRecord) -> Result<Descriptor, Error> {
    let bytes = store.blob(&record.manifest)?;
    let media_type = Document::sniff_media_type(&bytes).unwrap_or_default();
    let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let descriptor = Descriptor::new(&media_type, record.manifest, size_bytes);
    descriptor.verify(&format!("the manifest of {}", record.name), &bytes)?;
    Ok(descriptor)
}

/// The referrer that a seal travels as (docs/formats/seal.md).
pub(crate) fn artifact(subject: Descriptor, seal: &Seal) -> Artifact {
    let statement = seal.statement();
    Artifact {
        artifact_type: ARTIFACT_TYPE.to_owned(),
        subject: Some(subject),
        config: Part::new(STATEMENT_MEDIA_TYPE, statement.bytes()),
        layers: vec![Part::new(SIGNATURES_MEDIA_TYPE, seal.bundle())],
        annotations: [(CREATED.to_owned(), statement.created().to_string())].into(),
    }
}
