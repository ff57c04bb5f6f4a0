//! What one measurement gave, and as a Markdown table, which reads well on a terminal too.

use super::figures::{Figure, Row};
use super::goal::{self, Goal};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The figures of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    /// A word for it, which does not change: two reports are compared by it.
    pub(crate) name: String,
    /// What was measured, as a heading.
    pub(crate) title: String,
    /// How: of what, how often.
    pub(crate) about: String,
    /// The unit of the ratios first.
    pub(crate) rows: Vec<Row>,
    pub(crate) goals: Vec<Goal>,
    /// Whatever else came of it, a paragraph each.
    pub(crate) notes: Vec<String>,
    /// The name of the benchmark that it is of.
    #[serde(default)]
    pub(crate) benchmark: String,
    /// The commit that was measured, and the day.
    #[serde(default)]
    pub(crate) measured: String,
}

impl Table {
    /// The table, with the goals and notes below.
    pub(crate) fn markdown(&self) -> String {
        let mut out = self.rows_markdown();
        if !self.goals.is_empty() {
            let goals: String = self.goals.iter().map(Goal::markdown).collect();
            out.push_str(&format!("\n{}{goals}", goal::HEAD));
        }
        out
    }

    /// The table without the goals.
    pub(crate) fn rows_markdown(&self) -> String {
        let mut out = String::new();
        if !self.about.is_empty() {
            out.push_str(&format!("{}\n\n", self.about));
        }
        if !self.rows.is_empty() {
            out.push_str(&rows(&self.rows));
        }
        for note in &self.notes {
            out.push_str(&format!("\n{note}\n"));
        }
        out
    }
}

/// Times as multiples of the first row's.
fn rows(rows: &[Row]) -> String {
    let first = rows.first().map_or("", |row| row.name.as_str());
    let mut out = format!(
        "| | time | least to most | times {first} | processor time | peak memory |\n|---|--:|--:|--:|--:|--:|\n"
    );
    for row in rows {
        let walls = row.values(Figure::Wall);
        let least = walls.iter().copied().fold(f64::INFINITY, f64::min);
        let most = walls.iter().copied().fold(0.0, f64::max);
        let ratio = rows.first().map_or(1.0, |unit| row.ratio(unit, Figure::Wall).median);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| {} | {} | {} to {} | {ratio:.2} | {} | {} |",
            row.name,
            seconds(row.median(Figure::Wall)),
            seconds(least),
            seconds(most),
            known(row.median(Figure::Processor), seconds),
            known(row.median(Figure::Peak), |bytes| mib(bytes as u64)),
        );
    }
    out
}

/// A figure that was measured, or that there is none.
fn known(value: f64, text: impl Fn(f64) -> String) -> String {
    if value > 0.0 { text(value) } else { "-".to_owned() }
}

/// A time with three digits that mean something.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        ..0.0995 => format!("{:.1} ms", seconds * 1000.0),
        ..0.9995 => format!("{:.0} ms", seconds * 1000.0),
        ..99.95 => format!("{seconds:.2} s"),
        _ => format!("{seconds:.0} s"),
    }
}

/// A size in MiB, one decimal.
pub(crate) fn mib(bytes: u64) -> String {
    let tenths = bytes * 10 / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::Sample;
    use std::time::Duration;

    #[test]
    fn times_are_multiples_of_the_first_rows() {
        let sample = |seconds| Sample {
            wall: Duration::from_secs(seconds),
            processor: Duration::from_millis(30),
            peak_bytes: 3 << 19,
        };
        let row = |name: &str, seconds: [u64; 3]| Row {
            name: name.to_owned(),
            samples: seconds.map(sample).to_vec(),
        };
        let table =
            Table { rows: vec![row("ours", [2, 7, 1]), row("theirs", [7, 14, 4])], ..Table::default() };
        let text = table.markdown();
        assert!(
            text.ends_with("| theirs | 7.00 s | 4.00 s to 14.00 s | 3.50 | 30.0 ms | 1.5 MiB |\n"),
            "{text}"
        );
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        let texts = [0.0012345, 0.0996, 0.5, 0.9996, 12.345, 123.4].map(seconds);
        assert_eq!(texts, ["1.2 ms", "100 ms", "500 ms", "1.00 s", "12.35 s", "123 s"]);
    }
}
