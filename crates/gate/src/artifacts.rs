//! Attestations beside an image where it comes from, and those that its record in the store remembers.

use std::collections::BTreeSet;

use sealpack_format::BlobDigest;
use sealpack_oci::artifact::{self, Artifact, Limits};
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{ImageRecord, SeenAttestation};
use sealpack_trust::anchors::Anchors;
use sealpack_trust::attestation::{
    Attestation, AttestationError, BUNDLE_MEDIA_TYPE, ENVELOPE_MAX_BYTES, ENVELOPE_MEDIA_TYPE, Envelope,
    attestation_tag,
};
use sealpack_trust::judge::Shown;

/// The most attestations of an image that are fetched, and how large they may be; of referrers of each type, and under the
/// tag.
const LIMITS: Limits = Limits {
    artifacts: 32,
    layers: 1,
    // cosign's is an empty object, which tells nothing.
    config_bytes: 64 * 1024,
    layer_bytes: ENVELOPE_MAX_BYTES as u64,
    all_bytes: 4 * ENVELOPE_MAX_BYTES as u64,
};

/// What is known of an image's attestations so far.
struct Search<'a> {
    anchors: &'a Anchors,
    manifest: &'a BlobDigest,
    shown: Shown,
}

/// What the source has beside the image of that manifest: referrers with bundles or envelopes, then what cosign puts under a
/// tag. The search ends where `is_enough`.
pub(crate) fn shown(
    source: &dyn ImageSource,
    manifest: &Descriptor,
    anchors: &Anchors,
    is_enough: impl Fn(&Shown) -> bool,
) -> Result<Shown, sealpack_oci::Error> {
    let mut search = Search { anchors, manifest: &manifest.digest, shown: Shown::default() };
    for artifact_type in [BUNDLE_MEDIA_TYPE, ENVELOPE_MEDIA_TYPE] {
        let found = artifact::find(source, manifest, artifact_type, &LIMITS)?;
        found.artifacts.iter().for_each(|(digest, artifact)| search.referrer(digest, artifact));
        search.shown.left_out.extend(found.left_out.into_iter().map(|left_out| left_out.problem));
        if is_enough(&search.shown) {
            return Ok(search.shown);
        }
    }
    let limits = Limits { layers: LIMITS.artifacts, ..LIMITS };
    let tag = attestation_tag(&manifest.digest);
    let tagged = artifact::find_tagged(source, &tag, ENVELOPE_MEDIA_TYPE, &limits)?.unwrap_or_default();
    for (name, part) in &tagged.layers {
        search.judge(name, Envelope::parse(&part.bytes));
    }
    search.shown.left_out.extend(tagged.left_out);
    Ok(search.shown)
}

impl Search<'_> {
    fn referrer(&mut self, digest: &BlobDigest, artifact: &Artifact) {
        let name = format!("the referrer {digest}");
        match artifact.layers.as_slice() {
            [layer] if layer.media_type == BUNDLE_MEDIA_TYPE => {
                self.judge(&name, Envelope::parse_bundle(&layer.bytes));
            }
            [layer] if layer.media_type == ENVELOPE_MEDIA_TYPE => {
                self.judge(&name, Envelope::parse(&layer.bytes))
            }
            _ => self.shown.left_out.push(format!("{name} has not one layer, a bundle or an envelope")),
        }
    }

    fn judge(&mut self, name: &str, envelope: Result<Envelope, AttestationError>) {
        let keys = self.anchors.good_artifact_keys();
        match envelope.and_then(|envelope| envelope.attestations(self.manifest, keys)) {
            Ok(found) => self.shown.attestations.extend(found),
            Err(error) => self.shown.left_out.push(format!("{name}: {error}")),
        }
    }
}

/// What the record of an image in the store remembers: nobody is asked again.
pub fn remembered(record: &ImageRecord) -> Shown {
    let attestation = |seen: &SeenAttestation| {
        let key = seen.key_sha256.parse().ok()?;
        Some(Attestation { predicate_type: seen.predicate_type.clone(), key })
    };
    let attestations = record.attestations.iter().filter_map(attestation).collect();
    Shown { attestations, left_out: Vec::new() }
}

/// What is to be remembered of what was shown: of the types that are wanted. Others would be kept for nobody.
pub(crate) fn to_be_remembered(shown: &Shown, wanted: &BTreeSet<&str>) -> Vec<SeenAttestation> {
    let is_wanted = |said: &&Attestation| wanted.contains(said.predicate_type.as_str());
    let seen = |said: &Attestation| SeenAttestation {
        predicate_type: said.predicate_type.clone(),
        key_sha256: said.key.to_string(),
    };
    shown.attestations.iter().filter(is_wanted).map(seen).collect()
}
