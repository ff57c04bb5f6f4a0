//! What came of checking a whole store.

use sealpack_store::{FsckReport, Problem};
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// Shows what was checked, and what is wrong.
pub(crate) fn checked(output: Output, report: &FsckReport) -> CommandResult {
    output.result(&json_of(report), || text_of(report))
}

fn json_of(report: &FsckReport) -> Value {
    json!({
        "clean": report.is_clean(),
        "checked": {
            "objects": parts::tally(report.objects, Some(report.object_bytes)),
            "packs": parts::tally(report.packs, Some(report.pack_bytes)),
            "images": parts::tally(report.images, None),
            "layers": parts::tally(report.layers, None),
            "blobs": parts::tally(report.blobs, None),
            "seals": parts::tally(report.seals, None),
            "names": parts::tally(report.names, None),
            "earlier": parts::tally(report.earlier, None),
            "epochs": parts::tally(report.epochs, None),
        },
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn problem(problem: &Problem) -> Value {
    let Problem { kind, path, what, images, quarantined } = problem;
    parts::problem(kind.name(), path, what, images, quarantined.as_deref())
}

fn text_of(report: &FsckReport) -> String {
    let mut text: String = report.problems.iter().map(|problem| format!("{problem}\n")).collect();
    text += &format!(
        "checked {} ({}), {}{}, {}, {}, {}: {}",
        count(report.objects, "object"),
        size(report.object_bytes),
        match report.packs {
            0 => String::new(),
            packs => format!("{} ({}), ", count(packs, "pack"), size(report.pack_bytes)),
        },
        count(report.images, "metadata image"),
        count(report.layers, "layer"),
        count(report.blobs, "blob"),
        count(report.names, "name"),
        match report.problems.len() {
            0 => "all good".to_owned(),
            problems => count(problems as u64, "problem"),
        },
    );
    text
}
