//! Two reports side by side: what a change made of it.

use super::figures::{Figure, Row};
use super::report::Report;
use super::table::{Table, seconds};
use std::fmt::Write;

/// What both have, as a Markdown table: before, now, and now as a multiple of before. The two were not measured in turns, so
/// that the processor time says more than the time.
pub(crate) fn markdown(before: &Report, now: &Report) -> String {
    let mut out = format!(
        "Commit {} of {} beside {} of {}:\n\n| | time | | times | processor time | | times |\n|---|--:|--:|--:|--:|--:|--:|\n",
        now.commit, now.date, before.commit, before.date
    );
    for table in &now.tables {
        let Some(old) = before.tables.iter().find(|old| old.name == table.name) else { continue };
        for (row, old) in table.rows.iter().filter_map(|row| Some((row, find(old, row)?))) {
            // Writing to a string cannot fail.
            let _ = write!(out, "| {}: {} |", table.name, row.name);
            for figure in [Figure::Wall, Figure::Processor] {
                let (new, old) = (row.median(figure), old.median(figure));
                let times = if old > 0.0 { format!("{:.2}", new / old) } else { "-".to_owned() };
                let _ = write!(out, " {} | {} | {times} |", seconds(old), seconds(new));
            }
            out.push('\n');
        }
    }
    out
}

fn find<'t>(table: &'t Table, row: &Row) -> Option<&'t Row> {
    table.rows.iter().find(|other| other.name == row.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::Sample;
    use std::time::Duration;

    #[test]
    fn what_both_reports_have_is_compared_and_nothing_else() {
        let report = |commit: &str, rows: &[(&str, u64)]| {
            let row = |(name, seconds): &(&str, u64)| {
                let time = Duration::from_secs(*seconds);
                let sample = Sample { wall: time, processor: time / 2, peak_bytes: 1 };
                Row { name: (*name).to_owned(), samples: vec![sample] }
            };
            let rows = rows.iter().map(row).collect();
            Report {
                version: 1,
                commit: commit.into(),
                date: "2026-11-30".into(),
                machine: Vec::new(),
                versions: Vec::new(),
                tables: vec![Table { name: "gc".into(), rows, ..Table::default() }],
            }
        };
        let before = report("old", &[("sealpack", 8), ("gone", 1)]);
        let text = markdown(&before, &report("new", &[("sealpack", 2), ("added", 1)]));
        assert!(
            text.ends_with("| gc: sealpack | 8.00 s | 2.00 s | 0.25 | 4.00 s | 1.00 s | 0.25 |\n"),
            "{text}"
        );
        assert!(!text.contains("gone") && !text.contains("added"), "{text}");
    }
}
