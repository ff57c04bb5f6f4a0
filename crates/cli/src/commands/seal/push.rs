use std::fmt;

use sealpack_format::BlobDigest;
use sealpack_oci::artifact::{Artifact, CREATED, Part};
use sealpack_oci::composefs;
use sealpack_oci::environment::Environment;
use sealpack_oci::manifest::{Descriptor, Document};
use sealpack_oci::source::Source;
use sealpack_oci::target::Target;
use sealpack_oci::transport::Naming;
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::pkcs7;
use sealpack_trust::seal::{ARTIFACT_TYPE, SIGNATURES_MEDIA_TYPE, STATEMENT_MEDIA_TYPE, Seal, SigningPair};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::registry_args::RegistryArgs;
use sealpack_node::seals;

/// Publish the seal of an image, beside the image.
///
/// The seal becomes a referrer of the image's manifest, which must be in that repository: those who pull the image
/// there find it. A registry that keeps no list of referrers gets one under a tag `sha256-…`. Seals that were published
/// before stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack seal push registry.example.org/app:1
  sealpack seal push debian:12 --to registry.example.org/base/debian:12
  sealpack seal push debian:12 --to oci:images:debian
  sealpack seal push registry.example.org/app:1 --composefs-artifact")]
pub(crate) struct Push {
    /// The image: a name or a digest.
    image: String,
    /// Where the image is that the seal is put beside [default: where it was pulled from].
    #[arg(long, value_name = "TARGET")]
    to: Option<Target>,
    /// Publish the image's composefs digests too, as the composefs project has them: without signatures here, as no
    /// key is at hand.
    #[arg(long)]
    composefs_artifact: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Push {
    pub(super) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find_whole(&store, &self.image)?;
        let Some(seal) = seals::read(&store, &record)? else {
            return Err(CommandError::failed(format_args!("{} has no seal", record.name))
                .hint("`sealpack seal IMAGE --key KEY --cert CERT` makes one"));
        };
        let place = Place::new(&record, self.to.as_ref())?;
        let mut published = place.publish(context, &store, &record, &seal, &self.registry)?;
        if self.composefs_artifact {
            published.composefs = Some(place.publish_composefs(&store, &record, None, &self.registry)?);
        }
        context.output.result(&published.to_json(), || published.to_string())
    }
}

/// Where a seal is published.
pub(super) struct Place(Target);

/// A seal that was published.
pub(super) struct Published {
    target: String,
    /// The referrer's manifest.
    referrer: Descriptor,
    fallback_tag: Option<String>,
    /// The manifest of the composefs project's artifact.
    pub(super) composefs: Option<BlobDigest>,
}

impl Place {
    /// `to`, or where the image was pulled from.
    pub(super) fn new(record: &ImageRecord, to: Option<&Target>) -> Result<Self, CommandError> {
        if let Some(to) = to {
            return Ok(Self(to.clone()));
        }
        let pulled = record.pulled_as.as_ref().unwrap_or(&record.name);
        let reference = pulled.parse().map_err(CommandError::failed)?;
        Ok(Self(Target::Registry(reference)))
    }

    /// Puts the seal beside the image.
    pub(super) fn publish(
        &self,
        context: &Context,
        store: &Store,
        record: &ImageRecord,
        seal: &Seal,
        registry: &RegistryArgs,
    ) -> Result<Published, CommandError> {
        let target =
            self.0.open(None, &registry.without_mirrors(), &Environment::of_process(std::env::var_os))?;
        let artifact = artifact(subject(store, record)?, seal);
        let Some(subject) = &artifact.subject else { return Err(CommandError::failed("a seal of nothing")) };
        if !target.has_manifest(subject)? {
            return Err(CommandError::failed(format_args!(
                "{} has no image {}, so that nobody would find the seal there",
                target.description(),
                subject.digest
            ))
            .hint("`sealpack copy` brings the image there; --to names another place"));
        }
        self.remark_on_names(context, seal);
        self.remark_on_tag(context, record, registry);
        let pushed = artifact.push(target.as_ref(), Naming::Digest)?;
        Ok(Published {
            target: target.description(),
            referrer: artifact.descriptor(),
            fallback_tag: pushed.fallback_tag,
            composefs: None,
        })
    }

    /// Puts the image's composefs digests beside it, signed by `signer` if there is one.
    pub(super) fn publish_composefs(
        &self,
        store: &Store,
        record: &ImageRecord,
        signer: Option<&SigningPair<'_>>,
        registry: &RegistryArgs,
    ) -> Result<BlobDigest, CommandError> {
        let (manifest, config) = (store.blob(&record.manifest)?, store.blob(&record.config)?);
        let mut draft =
            composefs::Draft::new(&subject(store, record)?, &manifest, &config, record.metadata_image);
        if let Some(SigningPair { signer, certificate }) = signer {
            for (part, bytes) in draft.to_be_signed().collect::<Vec<_>>() {
                let signature = pkcs7::sign_detached(*signer, certificate, &bytes)?;
                draft.sign(part, signature).map_err(CommandError::failed)?;
            }
        }
        let built = draft.build().map_err(CommandError::failed)?;
        let target =
            self.0.open(None, &registry.without_mirrors(), &Environment::of_process(std::env::var_os))?;
        built.push(target.as_ref())?;
        Ok(built.descriptor.digest)
    }

    /// Who pulls by a tag gets what it means there now, which may be another image than the store's of that name.
    fn remark_on_tag(&self, context: &Context, record: &ImageRecord, registry: &RegistryArgs) {
        let Target::Registry(reference) = &self.0 else { return };
        let source = Source::Registry(reference.clone());
        let root = source
            .open(&registry.without_mirrors(), &Environment::of_process(std::env::var_os))
            .and_then(|source| source.root());
        // A tag that is not there misleads nobody, and the image itself was found.
        let Ok((root, bytes)) = root else { return };
        let manifest = record.manifest.hex();
        let is_listed = bytes.windows(manifest.len()).any(|window| window == manifest.as_bytes());
        if root.digest != record.manifest && !is_listed {
            context.output.remark(&format!(
                "remark: {reference} is another image there now, {}; the seal is for {}, which the store has: pull the \
                 name again to seal the other one",
                root.digest, record.manifest
            ));
        }
    }

    /// Who pulls from this place needs a name of it in the seal, or a mirror in the rules.
    fn remark_on_names(&self, context: &Context, seal: &Seal) {
        let Target::Registry(reference) = &self.0 else { return };
        let names = seal.statement().names();
        if names.iter().all(|name| name.reference().name() != reference.name()) {
            context.output.remark(&format!(
                "remark: the seal is for no name in {}; it counts there only for those whose rules call it a mirror",
                reference.name()
            ));
        }
    }
}

/// The descriptor of the image's manifest.
fn subject(store: &Store, record: &ImageRecord) -> Result<Descriptor, CommandError> {
    let bytes = store.blob(&record.manifest)?;
    let media_type = Document::sniff_media_type(&bytes).unwrap_or_default();
    let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let descriptor = Descriptor::new(&media_type, record.manifest, size_bytes);
    descriptor.verify(&format!("the manifest of {}", record.name), &bytes)?;
    Ok(descriptor)
}

/// The referrer that a seal travels as (docs/formats/seal.md).
fn artifact(subject: Descriptor, seal: &Seal) -> Artifact {
    let statement = seal.statement();
    Artifact {
        artifact_type: ARTIFACT_TYPE.to_owned(),
        subject: Some(subject),
        config: Part::new(STATEMENT_MEDIA_TYPE, statement.bytes()),
        layers: vec![Part::new(SIGNATURES_MEDIA_TYPE, seal.bundle())],
        annotations: [(CREATED.to_owned(), statement.created().to_string())].into(),
    }
}

impl Published {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "target": self.target,
            "referrer": self.referrer.digest,
            "size_bytes": self.referrer.size_bytes,
            "fallback_tag": self.fallback_tag,
            "composefs_artifact": self.composefs,
        })
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the seal is {}", self.target, self.referrer.digest)?;
        match &self.fallback_tag {
            Some(tag) => writeln!(f, ", listed under the tag {tag}")?,
            None => writeln!(f)?,
        }
        let mut composefs = self.composefs.iter();
        composefs.try_for_each(|digest| writeln!(f, "{}: the composefs artifact is {digest}", self.target))
    }
}
