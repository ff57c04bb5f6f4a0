//! An image that is not in the store.

use sealpack_format::Algorithm;
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::source::Source;
use sealpack_store::Store;
use serde_json::json;

use super::report::Report;
use super::seals;
use crate::args::GateArgs;
use crate::context::Context;
use crate::error::CommandError;
use crate::registry_args::RegistryArgs;
use sealpack_gate::{Found, Gate};

/// Judges what is at `source` as a pull would, without fetching layers.
pub(super) fn verify(
    context: &Context,
    source: &Source,
    platform: &Platform,
    args: &GateArgs,
    registry: &RegistryArgs,
) -> Result<Report, CommandError> {
    let opened = source.open(&registry.client_options(source), &Environment::of_process(std::env::var_os))?;
    let suggested = opened.default_name();
    let Some(name) = (match source {
        Source::Registry(reference) => Some(reference.clone()),
        _ => suggested,
    }) else {
        return Err(CommandError::usage(format_args!(
            "{source} suggests no name, which its seal could be for"
        ))
        .hint("pull it under a name, and verify that"));
    };
    let store = context.open_if_there(None)?;
    let gate = Gate::new(context.anchors()?, args.demand(), &name, &name, store.as_ref())?;
    gate.check_before()?;
    let found = Found::resolve(opened.as_ref(), platform)?;
    let manifest = found.image.manifest.digest;
    let mut report = Report::new(
        source,
        json!({
            "in_store": false,
            "pulled_as": name.to_string(),
            "manifest": manifest,
            "platform": found.platform(),
            "root_hashes_computed": false,
        }),
    );
    report.good("manifest", manifest);
    report.good("config", found.image.config.digest);
    if let Some((index, _)) = found.index() {
        report.good("index", index);
    }
    let algorithm = store.as_ref().map_or(Algorithm::Sha256, Store::algorithm);
    let candidates = sealpack_gate::seals::candidates(opened.as_ref(), &found, algorithm)?;
    let judgements = gate.judgements(&candidates, &manifest, found.index_digest(), &found.platform());
    seals::report_on(&mut report, &judgements, false);
    report.note("root hashes", "not computed, as the image is not in the store: `sealpack pull` does");
    Ok(report)
}
