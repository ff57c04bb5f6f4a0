//! What images say about their composefs digests: found beside them, and checked.

use sealpack_format::DiffId;
use sealpack_oci::budget::Limits;
use sealpack_oci::composefs::{
    ARTIFACT_TYPE, ArtifactError, Checked, Claim, ComposefsArtifact, Computed, check, wants_user_xattrs,
};
use sealpack_oci::image::ResolvedImage;
use sealpack_oci::manifest::{Descriptor, Document};
use sealpack_oci::merge::XattrRule;
use sealpack_oci::pull::image_id;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{ImageRecord, Store};

use crate::Error;
use crate::remark::{Remark, Remarks};

/// The most artifacts about an image that are looked at.
const ARTIFACTS_MAX: usize = 8;

/// Adds what artifacts beside the image say to what the image says itself. One that is not about the image, or none at
/// all, or cannot be had, is passed over with a remark: whoever may write to a registry may put anything there.
pub fn add_artifacts(
    source: &dyn ImageSource,
    image: &mut ResolvedImage,
    remarks: Remarks<'_>,
) -> Result<(), Error> {
    let listed = match source.referrers(&image.manifest, Some(ARTIFACT_TYPE)) {
        Ok(listed) => listed,
        Err(error) => {
            remarks(Remark::ArtifactsUnknown { why: error.to_string() });
            return Ok(());
        }
    };
    for (number, entry) in listed.iter().enumerate() {
        if number == ARTIFACTS_MAX {
            remarks(Remark::MoreArtifacts { number: listed.len() - ARTIFACTS_MAX });
            break;
        }
        match claims(source, image, entry) {
            Ok(claims) => image.composefs.extend(claims),
            // Some lists name no types: it is something else.
            Err(ArtifactError::Kind { .. }) if entry.artifact_type.is_none() => {}
            Err(error) => remarks(Remark::NoArtifact { why: error.to_string() }),
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
    let artifact = ComposefsArtifact::parse(entry.digest, &source.fetch(entry)?, &image.manifest.digest)?;
    Ok(artifact.claims(|blob| source.fetch(blob))?)
}

/// What a stored image says in its manifest and its config, and whether it is true. What the index said that it came
/// from is not kept.
pub fn of_stored(store: &Store, record: &ImageRecord) -> Result<Vec<Checked>, Error> {
    let (manifest, config) = (store.blob(&record.manifest)?, store.blob(&record.config)?);
    let claims = match Document::parse(&format!("the manifest {}", record.manifest), None, &manifest)? {
        Document::Manifest(document) => Claim::in_image(&Default::default(), &document, &config),
        Document::Index(_) => Vec::new(),
    };
    let layers: Vec<DiffId> = record.layers.iter().map(|layer| layer.diff_id).collect();
    let with_user = match wants_user_xattrs(&claims, record.metadata_image) {
        true => Some(image_id(store, &layers, XattrRule::CapabilitiesAndUser, Limits::NONE)?),
        false => None,
    };
    let facts = Computed {
        manifest: &manifest,
        config: &config,
        image: Some(record.metadata_image),
        image_with_user: with_user,
    };
    Ok(check(&claims, &facts))
}
