//! What gc removed.

use sealpack_store::{GcReport, Kept, Tally};
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// Shows what was removed, or would be.
pub(crate) fn collected(output: Output, report: &GcReport, dry_run: bool) -> CommandResult {
    output.result(&json_of(report, dry_run), || text_of(report, dry_run))
}

fn of(report: &GcReport) -> [(&'static str, Tally); 9] {
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
    let tally = |removed: Tally| parts::tally(removed.count, Some(removed.bytes));
    let removed = of(report).into_iter().map(|(name, removed)| (name.to_owned(), tally(removed)));
    json!({
        "dry_run": dry_run,
        "removed": Value::Object(removed.collect()),
        "kept": {
            "earlier_images": report.kept.earlier,
            "images_in_use": report.kept.in_use,
            "held_chains": report.kept.held,
        },
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
    let kept = kept_text(report.kept);
    if named.is_empty() {
        return format!("nothing to remove{kept}");
    }
    format!("{verb} {}{kept}", named.join(", "))
}

/// What stayed although no name means it.
fn kept_text(Kept { earlier, in_use, held }: Kept) -> String {
    let kept = [(earlier, "earlier image"), (in_use, "mounted or booted image"), (held, "held chain")];
    let named = kept.iter().filter(|(number, _)| *number > 0);
    let named: Vec<String> = named.map(|(number, thing)| count(*number, thing)).collect();
    if named.is_empty() { String::new() } else { format!("; kept {}", named.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_for_another_reason_than_a_name_is_said() {
        let text = |earlier, in_use, held| {
            text_of(&GcReport { kept: Kept { earlier, in_use, held }, ..GcReport::default() }, false)
        };
        assert_eq!(text(0, 0, 0), "nothing to remove");
        assert_eq!(
            text(1, 2, 3),
            "nothing to remove; kept 1 earlier image, 2 mounted or booted images, 3 held chains"
        );
    }
}
