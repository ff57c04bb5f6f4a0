use sealpack_kernel::Kernel;
use sealpack_node::standing::Keyrings;
use sealpack_node::trust_store::Entry;
use sealpack_trust::anchors::{AnchorName, Anchors, Namespace, Use};

use crate::context::Context;
use crate::error::CommandResult;
use crate::show;
use crate::show::anchors::{Listed, Row};

/// List certificates and keys, what they are for, and whether the kernel has them too.
///
/// A certificate for packs that the kernel has not will do for pulling, but the kernel accepts no device for it. One
/// that only the kernel has will do for devices, not for pulling.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack trust list
  sealpack trust list --json | jq '.certificates[] | select(.kernel_keyrings == [])'")]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let store = context.trust_store();
        let anchors = store.read(&mut context.output.remarks())?;
        let (rules_file, _) = store.rules()?;
        let rows = rows(store.entries(&mut context.output.remarks())?);
        let kernel = Kernel::default();
        let listed = Listed {
            directories: store.directories(),
            rules_file: rules_file.as_deref(),
            missing: missing(&anchors),
            missing_keys: missing_keys(&anchors),
            anchors: &anchors,
            rows: &rows,
            held: &Keyrings::read(&kernel),
            kernel: &kernel,
        };
        show::anchors::listed(context.output, &listed)
    }
}

/// One row for each name and certificate.
fn rows(entries: Vec<Entry>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for Entry { of, name, certificate, .. } in entries {
        match rows.iter_mut().find(|row| row.name == name && row.certificate == certificate) {
            Some(row) if row.uses.contains(&of) => {}
            Some(row) => row.uses.push(of),
            None => rows.push(Row { name, uses: vec![of], certificate }),
        }
    }
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

/// The keys for artifacts that rules name and the trust store has not.
fn missing_keys(anchors: &Anchors) -> Vec<(String, String)> {
    let is_there = |name: &AnchorName| anchors.artifact_keys().iter().any(|known| known.name == *name);
    let of_rule = |rule: &Namespace| {
        let missing = rule.artifacts_by.iter().filter(|name| !is_there(name));
        missing.map(|name| (rule.prefix.clone(), name.to_string())).collect::<Vec<_>>()
    };
    anchors.rules().namespaces().iter().flat_map(of_rule).collect()
}

/// The signers that rules want and nobody can be.
fn missing(anchors: &Anchors) -> Vec<(String, String)> {
    let wanted = anchors
        .rules()
        .namespaces()
        .iter()
        .flat_map(|rule| rule.signed_by.iter().map(|name| (rule.prefix.clone(), name)));
    let missing = wanted.filter(|(_, name)| anchors.certificate(Use::Statements, name).is_none());
    missing.map(|(prefix, name)| (prefix, name.to_string())).collect()
}
