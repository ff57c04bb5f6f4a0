//! Samples, and what is made of them: medians, and ratios of pairs.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One run of one contender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sample {
    #[serde(with = "seconds")]
    pub(crate) wall: Duration,
    /// The processors' time, of user and kernel, which other load on the machine changes less.
    #[serde(with = "seconds")]
    pub(crate) processor: Duration,
    pub(crate) peak_bytes: u64,
}

/// Durations as numbers of seconds.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Sample {
    /// Adds what follows in the same run.
    pub(crate) fn add(&mut self, next: Self) {
        self.wall += next.wall;
        self.processor += next.processor;
        self.peak_bytes = self.peak_bytes.max(next.peak_bytes);
    }
}

/// What of a sample is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    Wall,
    Processor,
    Peak,
}

impl Figure {
    /// It, as a number: seconds, or bytes.
    pub(crate) fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Wall => sample.wall.as_secs_f64(),
            Self::Processor => sample.processor.as_secs_f64(),
            // Far below what a floating-point number holds exactly.
            Self::Peak => sample.peak_bytes as f64,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Wall => "time",
            Self::Processor => "processor time",
            Self::Peak => "peak memory",
        }
    }
}

/// A contender's samples, one for each round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), samples: Vec::new() }
    }

    pub(crate) fn values(&self, figure: Figure) -> Vec<f64> {
        self.samples.iter().map(|sample| figure.of(sample)).collect()
    }

    pub(crate) fn median(&self, figure: Figure) -> f64 {
        median(self.values(figure))
    }

    /// How many times as much as `unit` it takes, by pairs: what was measured in the same round, when other load on the
    /// machine was about the same for both.
    pub(crate) fn ratio(&self, unit: &Self, figure: Figure) -> Interval {
        let pairs = self.values(figure).into_iter().zip(unit.values(figure));
        Interval::of(pairs.map(|(one, unit)| one / unit).collect())
    }
}

/// A median, and where the true one is with 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// By the order of the values, whatever they are distributed like: as many are below the true median as heads are
    /// thrown with a coin. Of fewer than six values it is from the least to the greatest, and less certain.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let outside = outside(values.len());
        let at = |place: usize| values.get(place).copied().unwrap_or_default();
        let high = at(values.len().saturating_sub(outside + 1));
        Self { median: median(values.clone()), low: at(outside), high }
    }
}

/// How many of so many sorted values may be left out at either end.
fn outside(count: usize) -> usize {
    let trials = i32::try_from(count).unwrap_or(i32::MAX);
    let mut probability = 0.5_f64.powi(trials);
    let mut below = probability;
    let mut outside = 0;
    // Both tails together may have 5 %.
    while below <= 0.025 && outside < count / 2 {
        outside += 1;
        probability *= (count + 1 - outside) as f64 / outside as f64;
        below += probability;
    }
    outside.saturating_sub(1)
}

/// The middle value; of an even number, the lower one of the two in the middle. Nothing of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        assert_eq!(median(vec![5.0, 1.0, 4.0]), 4.0);
        assert_eq!(median(vec![5.0, 1.0, 4.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn the_interval_leaves_out_what_the_tables_of_the_sign_test_say() {
        let outside: Vec<usize> = [1, 5, 6, 8, 9, 15, 20, 25].map(outside).to_vec();
        // From the 1st value of 6, the 2nd of 9, the 4th of 15, the 6th of 20, the 8th of 25.
        assert_eq!(outside, [0, 0, 0, 0, 1, 3, 5, 7]);
        let interval = Interval::of((1..=15).rev().map(f64::from).collect());
        assert_eq!((interval.low, interval.median, interval.high), (4.0, 8.0, 12.0));
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let row = |name, seconds: [u64; 3]| {
            let sample = |seconds| Sample { wall: Duration::from_secs(seconds), ..Sample::default() };
            Row { name: String::from(name), samples: seconds.map(sample).to_vec() }
        };
        // In the second round something else was running.
        let ratio = row("theirs", [7, 14, 4]).ratio(&row("ours", [2, 7, 1]), Figure::Wall);
        assert_eq!((ratio.median, ratio.low, ratio.high), (3.5, 2.0, 4.0));
    }
}
