//! What is counted, for Prometheus.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealpack_format::exposition::{self, Family};
use sealpack_mount::Level;

use crate::error::Code;

/// The upper bounds of what calls take, in seconds; what takes longer is in the last one, which has none.
const BOUNDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// All that is counted, from the start of the program.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    calls: BTreeMap<&'static str, Durations>,
    answers: BTreeMap<(&'static str, &'static str), u64>,
    refusals: BTreeMap<&'static str, u64>,
    chains: BTreeMap<&'static str, u64>,
    mounts: BTreeMap<&'static str, u64>,
    known_bytes: u64,
    layers: u64,
    layer_bytes: u64,
}

#[derive(Debug, Default)]
struct Durations {
    /// One for each of [`BOUNDS`], and one for what takes longer.
    buckets: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Numbers are right whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call was answered.
    pub(crate) fn answered(&self, call: &'static str, took: Duration, code: Option<Code>) {
        let mut counts = self.counts();
        let durations = counts.calls.entry(call).or_default();
        let bucket = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        durations.buckets[bucket] += 1;
        durations.sum += took;
        *counts.answers.entry((call, code.map_or("OK", Code::name))).or_default() += 1;
    }

    /// An image or a layer was refused.
    pub(crate) fn refused(&self, reason: &'static str) {
        *self.counts().refusals.entry(reason).or_default() += 1;
    }

    /// A client asked for a chain; what the store had of its highest layer was not fetched.
    pub(crate) fn asked_for_chain(&self, known_bytes: Option<u64>) {
        let mut counts = self.counts();
        let what = if known_bytes.is_some() { "known" } else { "unknown" };
        *counts.chains.entry(what).or_default() += 1;
        counts.known_bytes += known_bytes.unwrap_or_default();
    }

    /// A layer was taken in.
    pub(crate) fn took_in(&self, size_bytes: u64) {
        let mut counts = self.counts();
        counts.layers += 1;
        counts.layer_bytes += size_bytes;
    }

    /// An image was mounted.
    pub(crate) fn mounted(&self, level: Level) {
        let name = match level {
            Level::Plain => "plain",
            Level::Verified => "verified",
            Level::Signed => "signed",
            Level::Enforced => "enforced",
        };
        *self.counts().mounts.entry(name).or_default() += 1;
    }

    /// All of it as Prometheus reads it, with these numbers of snapshots by kind.
    #[must_use]
    pub fn text(&self, snapshots: &[(&str, usize)]) -> String {
        let mut families = self.counts().families();
        let mut kinds = Family::gauge("sealpack_snapshotter_snapshots", "Snapshots that there are, by kind.");
        snapshots.iter().for_each(|(kind, count)| kinds.add(&[("kind", kind)], *count as u64));
        families.push(kinds);
        exposition::text(&families)
    }
}

impl Counts {
    fn families(&self) -> Vec<Family> {
        let mut answers =
            Family::counter("sealpack_snapshotter_answers_total", "Calls that were answered, by code.");
        self.answers
            .iter()
            .for_each(|((call, code), count)| answers.add(&[("call", call), ("code", code)], *count));
        let mut seconds = Family::histogram("sealpack_snapshotter_call_seconds", "What calls took.");
        for (call, Durations { buckets, sum }) in &self.calls {
            seconds.add_distribution(&[("call", call)], (&BOUNDS, buckets), sum.as_secs_f64());
        }
        let single = |name, help, value| Family::counter(name, help).with(Some(value));
        vec![
            answers,
            seconds,
            by(
                Family::counter("sealpack_snapshotter_refusals_total", "What was refused, by reason."),
                "reason",
                &self.refusals,
            ),
            by(
                Family::counter(
                    "sealpack_snapshotter_chains_total",
                    "Layers that clients asked for by chain ID, by what the store knew.",
                ),
                "store",
                &self.chains,
            ),
            single(
                "sealpack_snapshotter_known_bytes_total",
                "Bytes of those that the store had.",
                self.known_bytes,
            ),
            single("sealpack_snapshotter_layers_total", "Layers that were taken in.", self.layers),
            single("sealpack_snapshotter_layer_bytes_total", "Bytes of their tar streams.", self.layer_bytes),
            by(
                Family::counter(
                    "sealpack_snapshotter_mounts_total",
                    "Mounts of images that were made, by level.",
                ),
                "level",
                &self.mounts,
            ),
        ]
    }
}

/// With numbers by what one label says.
fn by(mut family: Family, label: &'static str, counts: &BTreeMap<&'static str, u64>) -> Family {
    counts.iter().for_each(|(value, count)| family.add(&[(label, value)], *count));
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_reads_what_was_counted() {
        let metrics = Metrics::default();
        metrics.answered("Prepare", Duration::from_millis(3), None);
        metrics.answered("Prepare", Duration::from_secs(90), Some(Code::AlreadyExists));
        metrics.refused("rules");
        metrics.asked_for_chain(Some(10));
        metrics.asked_for_chain(None);
        metrics.took_in(7);
        metrics.mounted(Level::Signed);
        let text = metrics.text(&[("active", 2)]);
        let has = |line: &str| {
            let line = format!("sealpack_snapshotter_{line}");
            assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
        };
        has(r#"answers_total{call="Prepare",code="OK"} 1"#);
        has(r#"answers_total{call="Prepare",code="ALREADY_EXISTS"} 1"#);
        has(r#"call_seconds_bucket{call="Prepare",le="0.001"} 0"#);
        has(r#"call_seconds_bucket{call="Prepare",le="0.005"} 1"#);
        has(r#"call_seconds_bucket{call="Prepare",le="60"} 1"#);
        has(r#"call_seconds_bucket{call="Prepare",le="+Inf"} 2"#);
        has(r#"call_seconds_count{call="Prepare"} 2"#);
        has(r#"refusals_total{reason="rules"} 1"#);
        has(r#"chains_total{store="known"} 1"#);
        has(r#"chains_total{store="unknown"} 1"#);
        has("known_bytes_total 10");
        has("layers_total 1");
        has("layer_bytes_total 7");
        has(r#"mounts_total{level="signed"} 1"#);
        has(r#"snapshots{kind="active"} 2"#);
    }
}
