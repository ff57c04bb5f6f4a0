//! Whether an image is one of a sealed host.

use sealpack_host::check::Finding;
use sealpack_node::policy::Checked;
use sealpack_store::ImageRecord;
use sealpack_trust::policy::Policy;
use serde_json::{Value, json};

use super::decisions;
use crate::error::CommandResult;
use crate::output::Output;

/// Shows what each requirement came to, and what the policy would deny.
pub(crate) fn judged(
    output: Output,
    record: &ImageRecord,
    findings: &[Finding],
    policy: &Policy,
    checked: &Checked<'_>,
) -> CommandResult {
    let value = json!({
        "name": record.name,
        "manifest": record.manifest,
        "findings": findings.iter().map(json_of).collect::<Vec<_>>(),
        "policy": policy.name().to_string(),
        "decisions": decisions::denied(checked),
        "denied": checked.denied(),
        "notes": decisions::json_notes(checked),
    });
    output.result(&value, || {
        let findings: String = findings.iter().map(text_of).collect();
        format!("{}\n{findings}\n{}", record.name, decisions::text_of(record, checked, false))
    })
}

fn json_of(finding: &Finding) -> Value {
    let fault = finding.fault.as_ref();
    json!({
        "requirement": finding.requirement.name(),
        "path": finding.path,
        "met": fault.is_none(),
        "breaks": fault.is_some_and(|fault| fault.breaks),
        "problem": fault.map(|fault| &fault.problem),
        "mend": fault.map(|fault| &fault.mend),
    })
}

fn text_of(finding: &Finding) -> String {
    let (name, path) = (finding.requirement.name(), &finding.path);
    match &finding.fault {
        None => format!("  ok       {name:20} {path}\n"),
        Some(fault) => {
            let word = if fault.breaks { "BROKEN " } else { "lacking" };
            format!("  {word}  {name:20} {path} {}\n           -> {}\n", fault.problem, fault.mend)
        }
    }
}
