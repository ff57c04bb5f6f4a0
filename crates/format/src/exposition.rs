//! Numbers for a monitoring system, in Prometheus' text format (version 0.0.4,
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt;

/// Numbers of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: Vec<Sample>,
}

/// What numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// They only grow, until the program starts anew.
    Counter,
    /// They go up and down, or say what something is.
    Gauge,
    /// How many there were up to each of some bounds.
    Histogram,
}

/// A number, and what it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What is behind the name of the kind.
    suffix: &'static str,
    labels: Vec<(&'static str, String)>,
    value: Number,
}

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Of things, or bytes.
    Whole(u64),
    /// Of seconds.
    Real(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}

impl Sample {
    /// The labels, in their order.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.labels.iter().map(|(label, value)| (*label, value.as_str()))
    }

    /// The number.
    #[must_use]
    pub const fn value(&self) -> Number {
        self.value
    }
}

impl Family {
    /// Numbers that go up and down: none yet.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Gauge, help)
    }

    /// Numbers that only grow: none yet.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Counter, help)
    }

    /// Numbers of how long things took, or how large they were: none yet.
    #[must_use]
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Histogram, help)
    }

    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, help, samples: Vec::new() }
    }

    /// With a number that there is one of, or none.
    #[must_use]
    pub fn with(mut self, value: Option<u64>) -> Self {
        value.into_iter().for_each(|value| self.add(&[], value));
        self
    }

    /// Adds one more.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: u64) {
        self.push("", labels, Number::Whole(value));
    }

    /// Adds what a histogram has of one thing: how many were up to each of `bounds` but above the one before, how many above
    /// all of them, and the sum of all.
    pub fn add_distribution(
        &mut self,
        labels: &[(&'static str, &str)],
        (bounds, counts): (&[f64], &[u64]),
        sum: f64,
    ) {
        let mut total = 0_u64;
        let texts = bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in texts.zip(counts) {
            total = total.saturating_add(*count);
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.push("_bucket", &labels, Number::Whole(total));
        }
        self.push("_sum", labels, Number::Real(sum));
        self.push("_count", labels, Number::Whole(total));
    }

    fn push(&mut self, suffix: &'static str, labels: &[(&'static str, &str)], value: Number) {
        let labels = labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        self.samples.push(Sample { suffix, labels, value });
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, as a sentence.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// The numbers, in the order in which they were added.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

/// As Prometheus reads them; of kinds without numbers nothing.
#[must_use]
pub fn text(families: &[Family]) -> String {
    families.iter().filter(|family| !family.samples.is_empty()).map(ToString::to_string).collect()
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, help, samples } = self;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        writeln!(f, "# HELP {name} {}\n# TYPE {name} {kind}", escaped(help, false))?;
        for Sample { suffix, labels, value } in samples {
            let label = |(label, value): &(&str, String)| format!("{label}=\"{}\"", escaped(value, true));
            let labels: Vec<String> = labels.iter().map(label).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(f, "{name}{suffix}{labels} {value}")?;
        }
        Ok(())
    }
}

/// A text in one line, with what would end it escaped.
fn escaped(text: &str, is_quoted: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if is_quoted { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_label_says_cannot_end_it_and_kinds_without_numbers_are_left_out() {
        let mut refused = Family::gauge("sealpack_refused_info", "Why, \"as said\".\nBy \\.");
        refused.add(&[("step", "image"), ("reason", "a \"b\" \\ c\nd")], 1);
        let families = [Family::gauge("sealpack_none", "Nothing."), refused];
        let expected = "# HELP sealpack_refused_info Why, \"as said\".\\nBy \\\\.\n# TYPE sealpack_refused_info gauge\n\
                        sealpack_refused_info{step=\"image\",reason=\"a \\\"b\\\" \\\\ c\\nd\"} 1\n";
        assert_eq!(text(&families), expected);
    }

    #[test]
    fn a_histogram_counts_what_is_up_to_each_bound() {
        let mut took = Family::histogram("sealpack_seconds", "What calls took.");
        took.add_distribution(&[("call", "a")], (&[0.5, 1.0], &[2, 0, 1]), 3.25);
        let expected = "# HELP sealpack_seconds What calls took.\n# TYPE sealpack_seconds histogram\n\
                        sealpack_seconds_bucket{call=\"a\",le=\"0.5\"} 2\n\
                        sealpack_seconds_bucket{call=\"a\",le=\"1\"} 2\n\
                        sealpack_seconds_bucket{call=\"a\",le=\"+Inf\"} 3\n\
                        sealpack_seconds_sum{call=\"a\"} 3.25\nsealpack_seconds_count{call=\"a\"} 3\n";
        assert_eq!(text(&[took]), expected);
    }
}
