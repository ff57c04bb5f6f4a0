//! What gc removed.

use sealpack_store::{GcReport, Removed};
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// Shows what was removed, or would be.
pub(crate) fn collected(output: Output, report: &GcReport, dry_run: bool) -> CommandResult {
    output.result(&json_of(report, dry_run), || text_of(report, dry_run))
}

fn of(report: &GcReport) -> [(&'static str, Removed); 9] {
    [
        ("earlier", report.earlier),
        ("objects", report.objects),
        ("packs", report.packs),
        ("images", report.images),
        ("layers", report.layers),
        ("blobs", report.blobs),
        ("seals", report.seals),
        ("partials", report.partials),
        ("temporaries", report.temporaries),
    ]
}

fn json_of(report: &GcReport, dry_run: bool) -> Value {
    let tally = |removed: Removed| parts::tally(removed.count, Some(removed.bytes));
    let removed = of(report).into_iter().map(|(name, removed)| (name.to_owned(), tally(removed)));
    json!({
        "dry_run": dry_run,
        "removed": Value::Object(removed.collect()),
        "total": tally(report.total()),
    })
}

/// One of what a part of the report counts.
fn thing(part: &'static str) -> &'static str {
    match part {
        "earlier" => "earlier image",
        "images" => "metadata image",
        "layers" => "layer record",
        "partials" => "interrupted download",
        "temporaries" => "temporary file",
        other => other.trim_end_matches('s'),
    }
}

fn text_of(report: &GcReport, dry_run: bool) -> String {
    let verb = if dry_run { "would remove" } else { "removed" };
    let named: Vec<String> = of(report)
        .into_iter()
        .filter(|(_, removed)| removed.count > 0)
        .map(|(name, removed)| format!("{} ({})", count(removed.count, thing(name)), size(removed.bytes)))
        .collect();
    if named.is_empty() {
        return "nothing to remove".to_owned();
    }
    format!("{verb} {}", named.join(", "))
}
