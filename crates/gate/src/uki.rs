//! UKIs published beside their images (docs/formats/uki.md). What one is, whoever has it judges.

use sealpack_format::BlobDigest;
use sealpack_format::boot::artifact::{
    UKI_ARTIFACT_TYPE, UKI_MAX_BYTES, UKI_MEDIA_TYPE, UKI_TITLE, UKIS_MAX,
};
use sealpack_oci::artifact::{self, Artifact, CREATED, Limits, Part};
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::media_type::OCI_EMPTY;
use sealpack_oci::transport::ImageSource;
use sealpack_trust::timestamp::Timestamp;

use crate::Error;
use crate::publish::{Published, Ready};
use crate::remark::{Remark, Remarks};

/// What is fetched of an image's UKIs.
const LIMITS: Limits = Limits {
    artifacts: UKIS_MAX,
    layers: 1,
    config_bytes: 64,
    layer_bytes: UKI_MAX_BYTES,
    all_bytes: 2 * UKI_MAX_BYTES,
};

/// A UKI that is to be published.
#[derive(Debug, Clone, Copy)]
pub struct NewUki<'a> {
    /// The PE file, signed.
    pub bytes: &'a [u8],
    /// The name that the file should have.
    pub title: &'a str,
    /// When the image's seal was made: with the same image and the same file, the artifact is the same.
    pub created: Timestamp,
}

/// A UKI that was found beside an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundUki {
    /// The digest of its manifest, by which it is named.
    pub digest: BlobDigest,
    /// The PE file.
    pub bytes: Vec<u8>,
}

impl Ready {
    /// Puts a UKI beside the image.
    ///
    /// # Errors
    ///
    /// Of the way there.
    pub fn publish_uki(&self, uki: &NewUki<'_>, remarks: Remarks<'_>) -> Result<Published, Error> {
        self.put(&artifact(self.subject().clone(), uki), remarks)
    }
}

/// The referrer that a UKI travels as.
fn artifact(subject: Descriptor, uki: &NewUki<'_>) -> Artifact {
    let mut layer = Part::new(UKI_MEDIA_TYPE, uki.bytes);
    layer.annotations.insert(UKI_TITLE.to_owned(), uki.title.to_owned());
    Artifact {
        artifact_type: UKI_ARTIFACT_TYPE.to_owned(),
        subject: Some(subject),
        config: Part::empty(),
        layers: vec![layer],
        annotations: [(CREATED.to_owned(), uki.created.to_string())].into(),
    }
}

/// The UKIs that a source has beside the image of that manifest, the newest first. What is none is remarked on.
///
/// # Errors
///
/// Of the source.
pub fn find(
    source: &dyn ImageSource,
    manifest: &Descriptor,
    remarks: Remarks<'_>,
) -> Result<Vec<FoundUki>, Error> {
    let listed = artifact::find(source, manifest, UKI_ARTIFACT_TYPE, &LIMITS)?;
    listed.left_out.into_iter().for_each(|left| remarks(Remark::NoUki { why: left.problem }));
    let mut found = Vec::new();
    for (digest, artifact) in listed.artifacts {
        let is_empty = artifact.config.media_type == OCI_EMPTY;
        match <[Part; 1]>::try_from(artifact.layers) {
            Ok([layer]) if is_empty && layer.media_type == UKI_MEDIA_TYPE => {
                found.push(FoundUki { digest, bytes: layer.bytes });
            }
            _ => remarks(Remark::NoUki {
                why: format!("{digest} is listed as a UKI, and has not one layer of {UKI_MEDIA_TYPE}"),
            }),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_ukis_manifest_are_these() {
        let subject = Descriptor::of("application/vnd.oci.image.manifest.v1+json", b"image");
        let created = Timestamp::from_unix_seconds(1_795_804_495).expect("a time");
        let uki = NewUki { bytes: b"MZ", title: "sealed_7.efi", created };
        let manifest = String::from_utf8(artifact(subject, &uki).manifest()).expect("JSON");
        assert_eq!(
            manifest,
            concat!(
                r#"{"annotations":{"org.opencontainers.image.created":"2026-11-27T18:34:55Z"},"#,
                r#""artifactType":"application/vnd.sealpack.uki.v1","#,
                r#""config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
                r#""mediaType":"application/vnd.oci.empty.v1+json","size":2},"#,
                r#""layers":[{"annotations":{"org.opencontainers.image.title":"sealed_7.efi"},"#,
                r#""digest":"sha256:9b8db510ef42b8ed54a3712636fda55a4f8cfcd5493e20b74ab00cd4f3979f2d","#,
                r#""mediaType":"application/vnd.sealpack.uki.v1.pe","size":2}],"#,
                r#""mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2,"#,
                r#""subject":{"digest":"sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d","#,
                r#""mediaType":"application/vnd.oci.image.manifest.v1+json","size":5}}"#,
            )
        );
    }
}
