//! One image for several platforms: a seal for each.

use sealpack_format::BlobDigest;
use sealpack_format::reference::Reference;
use sealpack_oci::Error;
use sealpack_oci::environment::Environment;
use sealpack_oci::image::{is_attestation, resolve_root};
use sealpack_oci::manifest::{Descriptor, Document};
use sealpack_oci::platform::Platform;
use sealpack_oci::pull::Request;
use sealpack_oci::source::Source;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{ImageRecord, ObjectForm};
use sealpack_trust::seal::SealingKeys;
use serde_json::Value;

use super::{Seal, Sealed, bring};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};

/// Most images of one index that are sealed.
const IMAGES_MAX: usize = 64;

impl Seal {
    /// Pulls each image of an index and seals it. Where one fails, those before it are sealed.
    pub(super) fn sign_all(&self, context: &Context, image: &str, keys: &SealingKeys<'_>) -> CommandResult {
        let source = image.parse::<Source>().map_err(CommandError::usage)?;
        bring::check_names(&source, &self.statement)?;
        let source = source
            .open(&self.registry.client_options(&source), &Environment::of_process(std::env::var_os))?;
        let name = bring::name_of(source.as_ref())?;
        let (root, bytes) = source.root()?;
        let images = images_of(source.as_ref(), &root, &bytes)?;
        let index = (root.digest, bytes.as_slice());
        // One time, and so one epoch, for all: who pulls one platform after another goes back to nothing older.
        let wanted = self.statement.wanted()?;
        let mut all = Vec::new();
        for entry in &images {
            let record = self.bring_one(context, source.as_ref(), entry, &name, index)?;
            let sealed = self.sign_one(context, record, &wanted, keys)?;
            context.output.detail(|| sealed.to_string());
            all.push(sealed);
        }
        let values: Vec<Value> = all.iter().map(Sealed::to_json).collect();
        context.output.result(&Value::from(values), || all.iter().map(ToString::to_string).collect())
    }

    fn bring_one(
        &self,
        context: &Context,
        source: &dyn ImageSource,
        entry: &Descriptor,
        name: &Reference,
        (index, index_bytes): (BlobDigest, &[u8]),
    ) -> Result<ImageRecord, CommandError> {
        let platform = match &entry.platform {
            Some(platform) => platform.clone(),
            None => Platform::host(),
        };
        let bytes = source.fetch(entry)?;
        let image = match resolve_root(source, entry.clone(), bytes.clone(), &platform) {
            // A single image is sealed for whatever it is for.
            Err(Error::WrongPlatform { actual, .. }) if entry.platform.is_none() => {
                resolve_root(source, entry.clone(), bytes, &actual)?
            }
            other => other?,
        };
        // The tag stays what it is in the store; each platform's image has its digest.
        let by_digest = format!("{}@{}", name.name(), entry.digest);
        let by_digest: Reference = by_digest.parse().map_err(CommandError::failed)?;
        let request = Request {
            name: &by_digest,
            pulled_as: Some(name),
            index: (index != entry.digest).then_some((index, index_bytes)),
            objects: Some(ObjectForm::Packs),
            limits: self.limits.limits(),
            check: None,
        };
        bring::bring(context, source, &image, &request)
    }
}

/// The images that an index names, attestations left out; a single image is the only one.
fn images_of(
    source: &dyn ImageSource,
    root: &Descriptor,
    bytes: &[u8],
) -> Result<Vec<Descriptor>, CommandError> {
    let what = source.description();
    let Document::Index(index) = Document::parse(&what, Some(&root.media_type), bytes)? else {
        return Ok(vec![root.clone()]);
    };
    let images: Vec<Descriptor> =
        index.manifests.into_iter().filter(|entry| !is_attestation(entry)).collect();
    match images.len() {
        0 => Err(CommandError::failed(format_args!("{what} is an index without any image"))),
        number if number > IMAGES_MAX => Err(CommandError::failed(format_args!(
            "{what} has {number} images; at most {IMAGES_MAX} are sealed"
        ))),
        _ => Ok(images),
    }
}
