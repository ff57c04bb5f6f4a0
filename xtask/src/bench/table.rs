//! The figures as a Markdown table, which reads well on a terminal too.

use super::contender::Sample;
use std::fmt::Write;
use std::time::Duration;

/// A contender's samples.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn median_wall(&self) -> Duration {
        median(self.samples.iter().map(|sample| sample.wall).collect())
    }

    pub(crate) fn median_processor(&self) -> Duration {
        median(self.samples.iter().map(|sample| sample.processor).collect())
    }

    /// How many times as long as `unit` it takes: the median over the rounds, in each of which other load on the
    /// machine was about the same for both.
    fn median_ratio(&self, unit: &Self) -> f64 {
        let pairs = self.samples.iter().zip(&unit.samples);
        let mut ratios: Vec<f64> =
            pairs.map(|(one, unit)| one.wall.as_secs_f64() / unit.wall.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    }

    fn median_peak_bytes(&self) -> u64 {
        median(self.samples.iter().map(|sample| sample.peak_bytes).collect())
    }
}

/// The middle value; of an even number, the lower one of the two in the middle.
fn median<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or_default()
}

/// The table; times as multiples of the first row's.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut out = String::from(
        "| | seconds | fastest to slowest | times sealpack | processor seconds | peak memory |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let seconds = row.median_wall().as_secs_f64();
        let walls = || row.samples.iter().map(|sample| sample.wall.as_secs_f64());
        let (least, most) = (walls().fold(f64::INFINITY, f64::min), walls().fold(0.0, f64::max));
        let ratio = rows.first().map_or(1.0, |unit| row.median_ratio(unit));
        let processor = row.median_processor().as_secs_f64();
        let peak = mib(row.median_peak_bytes());
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| {} | {seconds:.2} | {least:.2} to {most:.2} | {ratio:.2} | {processor:.2} | {peak} |",
            row.name
        );
    }
    out
}

/// A size in MiB, one decimal.
pub(crate) fn mib(bytes: u64) -> String {
    let tenths = bytes * 10 / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        assert_eq!(median(vec![5, 1, 4]), 4);
        assert_eq!(median(vec![5, 1, 4, 2]), 2);
        assert_eq!(median(Vec::<u64>::new()), 0);
    }

    #[test]
    fn times_are_multiples_of_the_first_rows_in_the_same_round() {
        let sample = |seconds| Sample {
            wall: Duration::from_secs(seconds),
            processor: Duration::from_secs(3),
            peak_bytes: 3 << 19,
        };
        let row = |name, seconds: [u64; 3]| Row { name, samples: seconds.map(sample).to_vec() };
        // In the second round something else was running.
        let table = markdown(&[row("ours", [2, 7, 1]), row("theirs", [7, 14, 4])]);
        assert!(table.ends_with("| theirs | 7.00 | 4.00 to 14.00 | 3.50 | 3.00 | 1.5 MiB |\n"), "{table}");
    }
}
