//! From where an image is, and by whose word.

use std::time::SystemTime;

use sealpack_format::digest::RootHash;
use sealpack_node::seals;
use sealpack_node::standing::Keyrings;
use sealpack_page::{Attested, Certificate, Chain, Judged, Sealed, Signature};
use sealpack_store::{ImageRecord, SeenAttestation, Store};
use sealpack_trust::anchors::{Anchors, ArtifactKey, Use};
use sealpack_trust::key;
use sealpack_trust::seal::{Seal, Signed, Statement, signer_of};

use super::images::time;
use crate::context::Context;
use crate::error::CommandError;
use crate::show::parts::layer_number;

/// How much of a time is a day.
const DAY_CHARACTERS: usize = 10;

/// Whose word counts: for who pulls, and for the kernel.
pub(super) struct Trust {
    pub(super) anchors: Anchors,
    pub(super) keyrings: Keyrings,
}

pub(super) fn of(
    context: &Context,
    store: &Store,
    record: &ImageRecord,
    trust: &Trust,
) -> Result<Chain, CommandError> {
    let seal = seals::checked(store, record)?.map(|seal| match seal {
        Ok(seal) => Ok(sealed(&seal, record, trust)),
        Err(problem) => Err(problem.to_string()),
    });
    let failures = sealpack_gate::parts::misfits(store, record);
    Ok(Chain {
        pulled_as: record.pulled_as.as_ref().unwrap_or(&record.name).clone(),
        pulled: time(record.pulled_unix_seconds),
        index: record.index.map(|index| index.to_string()),
        metadata_image: record.metadata_image.to_string(),
        metadata_image_bytes: record.metadata_image_size_bytes,
        failures: failures.iter().map(ToString::to_string).collect(),
        seal,
        attestations: record.attestations.iter().map(|seen| attested(seen, &trust.anchors)).collect(),
        judged: judged(context, store, record).map_err(|error| error.message()),
        keyrings_unknown: trust.keyrings.unreadable(),
    })
}

fn attested(seen: &SeenAttestation, anchors: &Anchors) -> Attested {
    let is_it = |known: &&ArtifactKey| known.key.fingerprint().to_string() == seen.key_sha256;
    let named = anchors.artifact_keys().iter().find(is_it).map(|known| known.name.to_string());
    let key =
        named.unwrap_or_else(|| format!("a key that the trust store has no more ({})", seen.key_sha256));
    Attested { predicate_type: seen.predicate_type.clone(), key }
}

fn judged(context: &Context, store: &Store, record: &ImageRecord) -> Result<Vec<Judged>, CommandError> {
    let mut remarks = context.output.gate_remarks();
    let judgements = sealpack_gate::usable::judged(store, record, &context.trust_store(), &mut remarks)?;
    let judged = judgements.into_iter().map(|judgement| {
        let counts = |(_, verdict): &(String, Result<sealpack_trust::judge::Verdict, String>)| {
            verdict.as_ref().is_ok_and(sealpack_trust::judge::Verdict::is_acceptable)
        };
        let refusal = judgement.refusal.as_ref().map(ToString::to_string);
        Judged { sealed: judgement.seals.iter().any(counts), name: judgement.name, refusal }
    });
    Ok(judged.collect())
}

fn sealed(seal: &Seal, record: &ImageRecord, trust: &Trust) -> Sealed {
    let statement = seal.statement();
    let now = SystemTime::now();
    let signatures = statement.to_be_signed().flat_map(|(signed, content)| {
        let of = |der: &Vec<u8>| signature(der, (signed, &content), (statement, record), trust, now);
        seal.signatures_of(signed).iter().map(of).collect::<Vec<_>>()
    });
    Sealed {
        names: statement.names().iter().map(ToString::to_string).collect(),
        epoch: statement.epoch(),
        created: statement.created().to_string(),
        signatures: signatures.collect(),
    }
}

fn signature(
    der: &[u8],
    (signed, content): (Signed, &[u8]),
    (statement, record): (&Statement, &ImageRecord),
    trust: &Trust,
    now: SystemTime,
) -> Signature {
    let (of, root_hash, what) = match signed {
        Signed::Statement => (Use::Statements, None, "statement".to_owned()),
        Signed::RootHash(root_hash) => (Use::Packs, Some(root_hash), device(statement, record, &root_hash)),
    };
    let certificate = trust.anchors.verify(of, der, content).map_err(|error| error.to_string());
    let certificate = certificate.and_then(|certificate| {
        let names: Vec<_> = trust.anchors.names_of(of, certificate).iter().map(ToString::to_string).collect();
        let counts = trust.anchors.check_certificate(certificate, now);
        counts.map_err(|problem| format!("{}: {problem}", names.join(", ")))?;
        Ok(shown(certificate, names, root_hash.map(|_| &trust.keyrings)))
    });
    let root_hash = root_hash.map(|root_hash| root_hash.to_string());
    Signature { of: what, root_hash, signer: signer_of(der), certificate }
}

/// What a root hash in a statement is that of.
fn device(statement: &Statement, record: &ImageRecord, root_hash: &RootHash) -> String {
    let pack = statement.packs().iter().find(|pack| pack.root_hash == *root_hash);
    let Some(pack) = pack else { return "metadata image".to_owned() };
    let numbers = record.layers.iter().enumerate().filter(|(_, layer)| pack.layers.contains(&layer.diff_id));
    let numbers: Vec<String> = numbers.map(|(index, _)| layer_number(index).to_string()).collect();
    format!("pack of layer {}", numbers.join(" and "))
}

fn shown(certificate: &key::Certificate, names: Vec<String>, keyrings: Option<&Keyrings>) -> Certificate {
    let day = |at: SystemTime| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        time(since.as_secs()).chars().take(DAY_CHARACTERS).collect()
    };
    let validity = certificate.validity();
    let held = keyrings.map(|keyrings| keyrings.of(certificate).iter().map(ToString::to_string).collect());
    Certificate {
        names,
        from: day(validity.not_before()),
        until: day(validity.not_after()),
        sha256: certificate.fingerprint().to_string(),
        keyrings: held,
    }
}
