//! What came of verifying an image.

use sealpack_gate::Judgement;
use sealpack_gate::verify::{Finding, Outcome, Report};
use sealpack_mount::LiveDevice;
use sealpack_trust::judge::Verdict;
use serde_json::{Value, json};

use super::{parts, seal};

/// For machines.
pub(crate) fn json_of(report: &Report) -> Value {
    let failures = report.failures();
    let mut value = json!({
        "name": report.name,
        "in_store": report.stored.is_some(),
        "pulled_as": report.pulled_as,
        "manifest": report.manifest,
        "platform": report.platform,
        "root_hashes_computed": report.root_hashes_computed,
        "good": failures.is_empty(),
        "failures": failures,
        "checks": report.findings.iter().map(json_of_finding).collect::<Vec<_>>(),
    });
    if let Some(stored) = &report.stored {
        value["metadata_image"] = parts::metadata_image(&stored.metadata_image, None);
        value["kept_in"] = stored.kept_in.name().into();
    }
    if let Some(judgements) = &report.judgements {
        value["judgements"] = judgements.iter().flat_map(json_of_judgement).collect();
    }
    if let Some(mounts) = &report.mounts {
        value["mounts"] = mounts.iter().map(|target| json!({ "target": target })).collect();
    }
    if let Some(devices) = &report.devices {
        value["devices"] = devices.iter().map(json_of_device).collect();
    }
    value
}

/// The same for people.
pub(crate) fn text_of(report: &Report) -> String {
    let what = |finding: &Finding| format!("{}{}", if finding.is_part { "  " } else { "" }, finding.what);
    let width = report.findings.iter().map(|finding| what(finding).chars().count()).max().unwrap_or(0);
    let line = |finding: &Finding| {
        let (mark, text) = match &finding.outcome {
            Outcome::Good(text) => ("good", text),
            Outcome::Note(text) => ("    ", text),
            Outcome::Bad(text) => ("BAD ", text),
        };
        format!("  {mark}  {:<width$}  {text}\n", what(finding))
    };
    let where_it_is = if report.stored.is_none() { ", not in the store: judged where it is" } else { "" };
    format!("{}{where_it_is}\n{}", report.name, report.findings.iter().map(line).collect::<String>())
}

fn json_of_finding(finding: &Finding) -> Value {
    let (result, text) = match &finding.outcome {
        Outcome::Good(text) => ("good", text),
        Outcome::Note(text) => ("note", text),
        Outcome::Bad(text) => ("bad", text),
    };
    json!({ "what": finding.what, "result": result, "text": text })
}

fn json_of_device(device: &LiveDevice) -> Value {
    json!({
        "name": device.name.as_str(),
        "root_hash": device.root_hash,
        "signed": device.signed,
        "intact": device.intact,
    })
}

fn json_of_judgement(judgement: &Judgement) -> Vec<Value> {
    let judged = |(label, verdict): &(String, Result<Verdict, String>)| {
        seal::judged(label, Some(&judgement.name), verdict.as_ref().map_err(String::as_str))
    };
    judgement.seals.iter().map(judged).collect()
}
