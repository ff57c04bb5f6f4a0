//! An image that is not in the store.

use sealpack_format::Algorithm;
use sealpack_node::trust_store::TrustStore;
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::registry::ClientOptions;
use sealpack_oci::source::Source;
use sealpack_store::Store;

use super::report::Report;
use super::seals;
use crate::gate::{Demand, Gate};
use crate::remark::{Remark, Remarks};
use crate::seals::candidates;
use crate::{Error, Found};

/// Judges what is at `source` as a pull would, without fetching layers. `store` is where epochs are remembered. That the
/// store has no image of a registry's name is said first: who asked may have meant one that is gone.
///
/// # Errors
///
/// [`Error::NoSealedName`]; [`Error::Refused`] where the rules say no whatever is there; of the source and its seals.
pub fn elsewhere(
    source: &Source,
    (platform, demand): (&Platform, Demand),
    store: Option<&Store>,
    trust: &TrustStore,
    (client, environment): (&ClientOptions, &Environment),
    remarks: Remarks<'_>,
) -> Result<Report, Error> {
    let opened = source.open(client, environment)?;
    let name = match source {
        Source::Registry(reference) => {
            remarks(Remark::NotInStore { name: reference.to_string() });
            Some(reference.clone())
        }
        _ => opened.default_name(),
    };
    let name = name.ok_or_else(|| Error::NoSealedName { from: source.to_string() })?;
    let anchors = trust.read(&mut |remark| remarks(remark.into())).map_err(sealpack_node::Error::from)?;
    let gate = Gate::new(anchors, demand, &name, &name, store)?;
    gate.check_before()?;
    let found = Found::resolve(opened.as_ref(), platform)?;
    let manifest = found.image.manifest.digest;
    let mut report = Report::new(source.to_string(), name.to_string(), manifest, found.platform(), None);
    report.good("manifest", manifest);
    report.good("config", found.image.config.digest);
    if let Some((index, _)) = found.index() {
        report.good("index", index);
    }
    let algorithm = store.map_or(Algorithm::Sha256, Store::algorithm);
    let candidates = candidates(opened.as_ref(), &found, algorithm)?;
    let shown = gate.shown(opened.as_ref(), &found.image.manifest)?;
    let judgements =
        gate.judgements((&candidates, &shown), &manifest, found.index_digest(), &found.platform());
    seals::report_on(&mut report, judgements, false);
    report.note("root hashes", "not computed, as the image is not in the store: a pull does");
    Ok(report)
}
