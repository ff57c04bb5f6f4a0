//! Whether an image that the store has may be used by the rules as they are now: they may say something else than when it
//! came in.

use sealpack_format::reference::Reference;
use sealpack_node::seals as node_seals;
use sealpack_node::trust_store::TrustStore;
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::judge::Candidate;
use sealpack_trust::seal::Seal;

use crate::gate::{Demand, Gate, Judgement};
use crate::remark::Remarks;
use crate::{Error, artifacts, parts};

/// That the trust store has nothing against the image under the name that it was pulled by and the one that it has: what
/// the rules demand of these names is there, and its seal counts where one is demanded. Nothing is hashed. Whoever took
/// an older image, or one without a seal, did so when it got the name, and is not asked again.
///
/// # Errors
///
/// [`Error::Refused`]; of the trust store, and of the store.
pub fn check(
    store: &Store,
    record: &ImageRecord,
    is_to_be_sealed: bool,
    trust: &TrustStore,
    remarks: Remarks<'_>,
) -> Result<(), Error> {
    let demand = Demand { sealed: is_to_be_sealed, allow_rollback: true };
    let gate = gate(store, record, demand, trust, remarks)?;
    gate.check_before()?;
    let seal = node_seals::read(store, record)?;
    let refusal = judgements(store, record, seal, &gate).into_iter().find_map(|judgement| judgement.refusal);
    refusal.map_or(Ok(()), |refusal| Err(Error::Refused(refusal)))
}

/// What the trust store says of the seal of an image under each of its names, as [`check`] would act upon it.
///
/// # Errors
///
/// Of the trust store, and of the store.
pub fn judged(
    store: &Store,
    record: &ImageRecord,
    trust: &TrustStore,
    remarks: Remarks<'_>,
) -> Result<Vec<Judgement>, Error> {
    let gate = gate(store, record, Demand::ROLLBACK, trust, remarks)?;
    let seal = node_seals::read(store, record)?;
    Ok(judgements(store, record, seal, &gate))
}

/// The trust store's word on the image under its name, and the one that it was pulled by.
pub(crate) fn gate(
    store: &Store,
    record: &ImageRecord,
    demand: Demand,
    trust: &TrustStore,
    remarks: Remarks<'_>,
) -> Result<Gate, Error> {
    let asked_for: Reference = record.pulled_as.as_ref().unwrap_or(&record.name).parse()?;
    let name: Reference = record.name.parse()?;
    let anchors = trust.read(&mut |remark| remarks(remark.into())).map_err(sealpack_node::Error::from)?;
    Gate::new(anchors, demand, &asked_for, &name, Some(store))
}

/// What is to be said of the seal that the store has of the image, for each of its names.
pub(crate) fn judgements(
    store: &Store,
    record: &ImageRecord,
    seal: Option<Seal>,
    gate: &Gate,
) -> Vec<Judgement> {
    let candidate = |seal| Candidate { label: "in the store".to_owned(), seal: Ok(seal) };
    let candidates: Vec<_> = seal.into_iter().map(candidate).collect();
    let index = parts::index_seen(store, record);
    let shown = artifacts::remembered(record);
    gate.judgements((&candidates, &shown), &record.manifest, index.as_ref(), &record.platform)
}
