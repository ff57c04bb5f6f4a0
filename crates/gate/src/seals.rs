//! Seals among what refers to an image where it comes from.

use sealpack_format::Algorithm;
use sealpack_oci::artifact::{self, Artifact, Limits};
use sealpack_oci::transport::ImageSource;
use sealpack_trust::judge::Candidate;
use sealpack_trust::seal::{
    ARTIFACT_TYPE, BUNDLE_MAX_BYTES, SIGNATURES_MEDIA_TYPE, STATEMENT_MAX_BYTES, STATEMENT_MEDIA_TYPE, Seal,
};

use crate::found::Found;

/// The most seals of an image that are fetched, and how large they may be.
const LIMITS: Limits = Limits {
    artifacts: 32,
    layers: 1,
    config_bytes: STATEMENT_MAX_BYTES as u64,
    layer_bytes: BUNDLE_MAX_BYTES as u64,
    // The largest that there can be, and a good many of usual ones, which have some hundred kilobytes at most.
    all_bytes: 4 * BUNDLE_MAX_BYTES as u64,
};

/// What the source has where the seals of an image are.
pub fn candidates(
    source: &dyn ImageSource,
    found: &Found,
    algorithm: Algorithm,
) -> Result<Vec<Candidate>, sealpack_oci::Error> {
    let listed = artifact::find(source, &found.image.manifest, ARTIFACT_TYPE, &LIMITS)?;
    let whole = listed.artifacts.into_iter().map(|(digest, artifact)| Candidate {
        label: digest.to_string(),
        seal: seal_in(&artifact).and_then(|seal| usable(seal, algorithm)),
    });
    let left_out = listed
        .left_out
        .into_iter()
        .map(|left_out| Candidate { label: left_out.digest.to_string(), seal: Err(left_out.problem) });
    Ok(whole.chain(left_out).collect())
}

fn seal_in(artifact: &Artifact) -> Result<Seal, String> {
    if artifact.config.media_type != STATEMENT_MEDIA_TYPE {
        return Err(format!("its config is {:?}, no statement", artifact.config.media_type));
    }
    match artifact.layers.as_slice() {
        [bundle] if bundle.media_type == SIGNATURES_MEDIA_TYPE => {
            Seal::from_parts(&artifact.config.bytes, &bundle.bytes).map_err(|error| error.to_string())
        }
        _ => Err("it has not one layer, the bundle of signatures".to_owned()),
    }
}

/// Seals of metadata images that the store does not make say nothing about what it makes.
fn usable(seal: Seal, algorithm: Algorithm) -> Result<Seal, String> {
    match seal.statement().metadata_of(algorithm) {
        Some(_) => Ok(seal),
        None => Err(format!("it is not for stores that name objects by {algorithm}")),
    }
}
