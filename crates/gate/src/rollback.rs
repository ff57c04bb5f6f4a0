//! A name given back to an image that had it before.

use sealpack_format::digest::DiffId;
use sealpack_format::reference::Reference;
use sealpack_format::{Algorithm, BlobDigest};
use sealpack_node::trust_store::TrustStore;
use sealpack_node::{naming, revoked, seals};
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::anchors::CertificateProblem;
use sealpack_trust::judge::{Candidate, Failure};
use sealpack_trust::seal::Seal;

use crate::gate::{Demand, Gate};
use crate::remark::{Remark, Remarks};
use crate::{Error, artifacts, parts};

/// The fewest characters of a digest that name an image.
const DIGEST_PREFIX_MIN: usize = 8;

/// Why a name is not given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// No image has the name.
    #[error("the store has no image {name}")]
    NoName {
        /// The name.
        name: String,
    },
    /// What was given is no digest, nor the beginning of one that is long enough.
    #[error(
        "{digest:?}: give at least {minimum} digits of a digest, lowercase hexadecimal, alone or behind sha256:"
    )]
    Digits {
        /// What was given.
        digest: String,
        /// The fewest digits.
        minimum: usize,
    },
    /// It is the beginning of several digests.
    #[error("{digest} is the beginning of several digests in the history of {name}")]
    Several {
        /// What was given.
        digest: String,
        /// The name.
        name: String,
    },
    /// No image of that digest had the name.
    #[error("{digest} is not in the history of {name}")]
    NotThere {
        /// What was given.
        digest: String,
        /// The name.
        name: String,
    },
    /// No image that had the name is older by its seal.
    #[error("no image with {what} is in the history of {name}")]
    NoneBefore {
        /// What such an image would have.
        what: String,
        /// The name.
        name: String,
    },
    /// The store has not all of the image any more.
    #[error("{manifest} is incomplete: layer {layer} is missing or damaged")]
    Incomplete {
        /// The image's manifest.
        manifest: BlobDigest,
        /// What is missing.
        layer: DiffId,
    },
}

/// What came of giving a name back.
#[derive(Debug)]
pub struct RolledBack {
    /// The image that has the name now.
    pub now: ImageRecord,
    /// The epoch of its seal.
    pub epoch: Option<u64>,
    /// The image that had it.
    pub before: ImageRecord,
    /// The epoch of that one's seal.
    pub epoch_before: Option<u64>,
}

/// Gives `name` to the image of its history whose manifest's digest begins with `to`; without that to the newest one whose
/// seal has a lower epoch than that of the image that has the name now, and that the rules and revocations allow. A name
/// that had images with seals goes back to none without.
///
/// # Errors
///
/// [`RollbackError`]; [`NamingError`](naming::NamingError); of the store and the trust store.
pub fn rollback(
    store: &Store,
    name: &Reference,
    to: Option<&str>,
    trust: &TrustStore,
    remarks: Remarks<'_>,
) -> Result<RolledBack, Error> {
    let name = name.to_string();
    let before = store.image(&name)?.ok_or_else(|| RollbackError::NoName { name: name.clone() })?;
    let history = store.history(&name)?;
    let now = match to {
        Some(digest) => by_digest(&history, digest, &name)?,
        None => older(store, &before, &history, trust, remarks)?,
    };
    check_whole(store, now)?;
    // On purpose as it may be: what was revoked is not for use.
    revoked::check(store, now, &trust.revocations_so_far().map_err(sealpack_node::Error::from)?)?;
    let now = naming::go_back(store, now)?;
    let [epoch, epoch_before] = [&now, &before].map(|record| seals::epoch_of(store, record));
    Ok(RolledBack { now, epoch, before, epoch_before })
}

fn by_digest<'h>(
    history: &'h [ImageRecord],
    digest: &str,
    name: &str,
) -> Result<&'h ImageRecord, RollbackError> {
    // Another algorithm's name finds nothing. The beginning will do here: every image in the history had the name.
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    if hex.len() < DIGEST_PREFIX_MIN || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(RollbackError::Digits { digest: digest.to_owned(), minimum: DIGEST_PREFIX_MIN });
    }
    let mut found = history.iter().filter(|record| {
        let is_asked = hex == digest || record.manifest.algorithm() == Algorithm::Sha256;
        is_asked && record.manifest.hex().starts_with(hex)
    });
    let (digest, name) = (digest.to_owned(), name.to_owned());
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => Err(RollbackError::Several { digest, name }),
        (None, _) => Err(RollbackError::NotThere { digest, name }),
    }
}

/// The newest image that is older by its seal.
fn older<'h>(
    store: &Store,
    current: &ImageRecord,
    history: &'h [ImageRecord],
    trust: &TrustStore,
    remarks: Remarks<'_>,
) -> Result<&'h ImageRecord, Error> {
    let now = seals::read(store, current)?.map(|seal| seal.statement().epoch());
    for record in history {
        let manifest = record.manifest;
        match seals::read(store, record) {
            Ok(Some(seal)) if now.is_none_or(|now| seal.statement().epoch() < now) => {
                match why_not(store, record, seal, trust, &mut *remarks)? {
                    None => return Ok(record),
                    Some(why) => remarks(Remark::NotBackTo { manifest, why }),
                }
            }
            Ok(_) => {}
            // It says nothing of its epoch.
            Err(error) => remarks(Remark::NotBackTo { manifest, why: error.to_string() }),
        }
    }
    let what = now.map_or("a seal".to_owned(), |now| format!("a seal of an epoch before {now}"));
    Err(RollbackError::NoneBefore { what, name: current.name.clone() }.into())
}

/// Why a sealed image must not be what a name goes back to by itself: the rules refuse it, as they are by now, or
/// something in it was revoked.
fn why_not(
    store: &Store,
    record: &ImageRecord,
    seal: Seal,
    trust: &TrustStore,
    remarks: Remarks<'_>,
) -> Result<Option<String>, Error> {
    let pulled_as: Reference = record.pulled_as.as_ref().unwrap_or(&record.name).parse()?;
    let name: Reference = record.name.parse()?;
    let anchors = trust.read(&mut |remark| remarks(remark.into())).map_err(sealpack_node::Error::from)?;
    let gate = Gate::new(anchors, Demand::ROLLBACK, &pulled_as, &name, Some(store))?;
    let seals = [Candidate { label: "in the store".to_owned(), seal: Ok(seal) }];
    let judgements = gate.judgements(
        (&seals, &artifacts::remembered(record)),
        &record.manifest,
        parts::index_seen(store, record).as_ref(),
        &record.platform,
    );
    let refusals =
        judgements.iter().filter_map(|judgement| judgement.refusal.as_ref().map(ToString::to_string));
    let verdicts = judgements.iter().flat_map(|judgement| &judgement.seals);
    let failures =
        verdicts.filter_map(|(_, verdict)| verdict.as_ref().ok()).flat_map(|verdict| &verdict.failures);
    let is_revoked = |failure: &&Failure| match failure {
        Failure::RevokedRootHash { .. } => true,
        Failure::Signer { problem, .. } => matches!(problem, CertificateProblem::Revoked { .. }),
        _ => false,
    };
    Ok(refusals.chain(failures.filter(is_revoked).map(ToString::to_string)).next())
}

/// That the image can be used as it is.
fn check_whole(store: &Store, record: &ImageRecord) -> Result<(), Error> {
    store.verify_metadata_image(&record.metadata_image)?;
    for layer in &record.layers {
        if !store.has_layer(&layer.diff_id, record.objects)? {
            let (manifest, layer) = (record.manifest, layer.diff_id);
            return Err(RollbackError::Incomplete { manifest, layer }.into());
        }
    }
    Ok(())
}
