//! What images say about their composefs digests: found beside them, and shown.

use sealpack_format::DiffId;
use sealpack_oci::composefs::{
    ARTIFACT_TYPE, Artifact, ArtifactError, Checked, Claim, Facts, Outcome, Stated, check, wants_user_xattrs,
};
use sealpack_oci::image::ResolvedImage;
use sealpack_oci::manifest::{Descriptor, Document};
use sealpack_oci::merge::XattrRule;
use sealpack_oci::pull::image_id;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::pkcs7::{Form, Message};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::output::Output;

/// The most artifacts about an image that are looked at.
const ARTIFACTS_MAX: usize = 8;

/// Adds what artifacts beside the image say to what the image says itself. One that is not about the image, or none at
/// all, or cannot be had, is passed over with a remark: whoever may write to a registry may put anything there.
pub(crate) fn add_artifacts(
    source: &dyn ImageSource,
    image: &mut ResolvedImage,
    output: Output,
) -> Result<(), CommandError> {
    let listed = match source.referrers(&image.manifest, Some(ARTIFACT_TYPE)) {
        Ok(listed) => listed,
        Err(error) => {
            output
                .remark(&format!("warning: whether the image has composefs artifacts is not known: {error}"));
            return Ok(());
        }
    };
    for (number, entry) in listed.iter().enumerate() {
        if number == ARTIFACTS_MAX {
            let more = listed.len() - ARTIFACTS_MAX;
            output.remark(&format!("{more} more composefs artifacts are not looked at"));
            break;
        }
        match claims(source, image, entry) {
            Ok(claims) => image.composefs.extend(claims),
            // Some lists name no types: it is something else.
            Err(ArtifactError::Kind { .. }) if entry.artifact_type.is_none() => {}
            Err(error) => output.remark(&format!("{error}; it is passed over")),
        }
    }
    Ok(())
}

/// What one artifact says.
fn claims(
    source: &dyn ImageSource,
    image: &ResolvedImage,
    entry: &Descriptor,
) -> Result<Vec<Claim>, ArtifactError> {
    let artifact = Artifact::parse(entry.digest, &source.fetch(entry)?, &image.manifest.digest)?;
    Ok(artifact.claims(|blob| source.fetch(blob))?)
}

/// What a stored image says in its manifest and its config, and whether it is true. What the index said that it came
/// from is not kept.
pub(crate) fn of_stored(store: &Store, record: &ImageRecord) -> Result<Vec<Checked>, CommandError> {
    let (manifest, config) = (store.blob(&record.manifest)?, store.blob(&record.config)?);
    let claims = match Document::parse(&format!("the manifest {}", record.manifest), None, &manifest)? {
        Document::Manifest(document) => Claim::in_image(&Default::default(), &document, &config),
        Document::Index(_) => Vec::new(),
    };
    let layers: Vec<DiffId> = record.layers.iter().map(|layer| layer.diff_id).collect();
    let with_user = match wants_user_xattrs(&claims, record.metadata_image) {
        true => Some(image_id(store, &layers, XattrRule::CapabilitiesAndUser)?),
        false => None,
    };
    let facts = Facts {
        manifest: &manifest,
        config: &config,
        image: Some(record.metadata_image),
        image_with_user: with_user,
    };
    Ok(check(&claims, &facts))
}

/// For machines: a list of all of them.
pub(crate) fn json_of(claims: &[Checked]) -> Value {
    let one = |checked: &Checked| {
        let Checked { claim, outcome } = checked;
        let (digest, problem) = match (&claim.stated, outcome) {
            (Stated::Digest(id), Outcome::Unchecked(why)) => (Some(id), Some(why.to_string())),
            (Stated::Digest(id), Outcome::Wrong(computed)) => (Some(id), Some(format!("it is {computed}"))),
            (Stated::Digest(id), _) => (Some(id), None),
            (Stated::Invalid(problem), _) => (None, Some(problem.clone())),
        };
        json!({
            "in": claim.place.to_string(),
            "name": claim.name,
            "part": claim.key.part.name(),
            "digest": digest,
            "outcome": outcome.name(),
            "problem": problem,
            "signature": claim.signature.as_deref().map(signer),
        })
    };
    claims.iter().map(one).collect()
}

/// For people: a line for each of them.
pub(crate) fn text_of(claims: &[Checked], indent: &str) -> String {
    let line = |checked: &Checked| {
        let signed = checked.claim.signature.as_deref().map(|der| format!("; signature: {}", signer(der)));
        format!("{indent}composefs       {checked}{}\n", signed.unwrap_or_default())
    };
    claims.iter().map(line).collect()
}

/// Who says to have made a signature. Whether that is true is not looked at.
fn signer(der: &[u8]) -> String {
    match Message::parse(der, Form::Detached) {
        Ok(message) => message.signer().to_string(),
        Err(error) => format!("unreadable: {error}"),
    }
}
