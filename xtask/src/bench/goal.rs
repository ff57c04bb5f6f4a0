//! What is to be reached.

use super::figures::{Figure, Interval, Row};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What is to be reached, and what was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Goal {
    /// What it is about, as in "a pull into files, to the floor".
    pub(crate) what: String,
    /// What was measured.
    pub(crate) measured: Interval,
    /// The most that it may be.
    pub(crate) at_most: f64,
    /// What both are multiples of; a ratio has none.
    pub(crate) unit: String,
    /// The ratio of the processors' times, which other load on the machine changes less: for a reader, no goal.
    #[serde(default)]
    pub(crate) processor: Option<f64>,
}

impl Goal {
    /// That the row `ours` takes at most `at_most` times what the row `theirs` takes.
    ///
    /// # Errors
    /// If one of the rows is not there, a mistake of the benchmark's.
    pub(crate) fn ratio(
        rows: &[Row],
        (ours, theirs): (&str, &str),
        figure: Figure,
        at_most: f64,
    ) -> Result<Self> {
        let row = |name: &str| {
            let found = rows.iter().find(|row| row.name == name);
            found.with_context(|| format!("there is no row {name:?}"))
        };
        let (ours_row, theirs_row) = (row(ours)?, row(theirs)?);
        let measured = ours_row.ratio(theirs_row, figure);
        let what = format!("{ours}: {} to that of {theirs}", figure.name());
        let processor = ours_row.ratio(theirs_row, Figure::Processor).median;
        let processor = Some(processor).filter(|ratio| ratio.is_finite());
        Ok(Self { what, measured, at_most, unit: String::new(), processor })
    }

    /// That something is at most so much.
    pub(crate) fn bound(what: impl Into<String>, values: Vec<f64>, at_most: f64, unit: &str) -> Self {
        let (what, unit) = (what.into(), unit.to_owned());
        Self { what, measured: Interval::of(values), at_most, unit, processor: None }
    }

    /// Whether it was reached.
    pub(crate) fn is_reached(&self) -> bool {
        self.part() <= 1.0
    }

    /// How much of what is allowed was measured; up to 1, the goal is reached.
    ///
    /// "As fast as" is no more than that nobody can tell: the whole interval has to be below [`EQUAL`].
    pub(crate) fn part(&self) -> f64 {
        let is_equality = self.unit.is_empty() && self.at_most == 1.0;
        if is_equality { self.measured.high / EQUAL } else { self.measured.median / self.at_most }
    }

    /// A row of a Markdown table.
    pub(crate) fn markdown(&self) -> String {
        let Self { what, measured, at_most, unit, processor } = self;
        let Interval { median, low, high } = measured;
        let space = if unit.is_empty() { "" } else { " " };
        let processor = processor.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let verdict = if self.is_reached() { "reached" } else { "**not reached**" };
        format!(
            "| {what} | {at_most}{space}{unit} | {median:.2}{space}{unit} | {low:.2} to {high:.2} | {processor} | {verdict} |\n"
        )
    }
}

/// The end of the interval of a ratio that is to be 1.
const EQUAL: f64 = 1.05;

/// The head of a table of goals.
pub(crate) const HEAD: &str =
    "| what | at most | measured | 95 % interval | processor time | |\n|---|--:|--:|--:|--:|---|\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::Sample;
    use std::time::Duration;

    #[test]
    fn a_goal_says_what_was_measured_and_whether_it_is_reached() {
        let row = |name: &str, seconds: u64| {
            let (wall, processor) = (Duration::from_secs(seconds), Duration::from_secs(seconds * seconds));
            let sample = Sample { wall, processor, ..Sample::default() };
            Row { name: name.to_owned(), samples: vec![sample; 3] }
        };
        let rows = [row("ours", 3), row("theirs", 2)];
        let goal = |at_most| Goal::ratio(&rows, ("ours", "theirs"), Figure::Wall, at_most).unwrap();
        assert!(goal(1.5).is_reached());
        assert!(!goal(1.4).is_reached());
        let text = goal(1.4).markdown();
        assert_eq!(
            text,
            "| ours: time to that of theirs | 1.4 | 1.50 | 1.50 to 1.50 | 2.25 | **not reached** |\n"
        );
        assert!(Goal::ratio(&rows, ("ours", "nobody"), Figure::Wall, 1.0).is_err());
    }

    #[test]
    fn what_is_to_be_equal_is_so_by_its_whole_interval() {
        let goal = |median, high, unit: &str| Goal {
            what: String::new(),
            measured: Interval { median, low: 0.9, high },
            at_most: 1.0,
            unit: unit.to_owned(),
            processor: None,
        };
        assert!(goal(1.01, 1.04, "").is_reached());
        assert!(!goal(0.99, 1.06, "").is_reached());
        // A size of 1 is none.
        assert!(goal(0.99, 1.06, "MB").is_reached() && !goal(1.01, 1.04, "MB").is_reached());
    }
}
