//! Numbers for a monitoring system, in Prometheus' text format (version 0.0.4,
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// Numbers of one kind. All that there are here go up and down, or say what something is: gauges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Family {
    name: &'static str,
    help: &'static str,
    samples: Vec<Sample>,
}

/// A number, and what it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: u64,
}

impl Family {
    /// None yet.
    pub(crate) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, samples: Vec::new() }
    }

    /// A kind of which there is one, or none.
    pub(crate) fn single(name: &'static str, help: &'static str, value: Option<u64>) -> Self {
        let mut family = Self::new(name, help);
        family.samples.extend(value.map(|value| Sample { labels: Vec::new(), value }));
        family
    }

    /// With one more.
    pub(crate) fn add(&mut self, labels: &[(&'static str, &str)], value: u64) {
        let labels = labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        self.samples.push(Sample { labels, value });
    }
}

/// As Prometheus reads them; of kinds without numbers nothing.
pub(crate) fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for Family { name, help, samples } in families.iter().filter(|family| !family.samples.is_empty()) {
        text += &format!("# HELP {name} {}\n# TYPE {name} gauge\n", escaped(help, false));
        for Sample { labels, value } in samples {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value, true))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(text, "{name}{labels} {value}").expect("a text takes what is written to it");
        }
    }
    text
}

/// For other machines.
pub(crate) fn json_of(families: &[Family]) -> Value {
    let families = families.iter().filter(|family| !family.samples.is_empty());
    let sample = |sample: &Sample| {
        let labels: Map<String, Value> =
            sample.labels.iter().map(|(label, value)| ((*label).to_owned(), json!(value))).collect();
        json!({ "labels": labels, "value": sample.value })
    };
    let family = |family: &Family| {
        let samples: Vec<Value> = family.samples.iter().map(sample).collect();
        json!({ "name": family.name, "help": family.help, "samples": samples })
    };
    families.map(family).collect()
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
        let mut refused = Family::new("sealpack_refused_info", "Why, \"as said\".\nBy \\.");
        refused.add(&[("step", "image"), ("reason", "a \"b\" \\ c\nd")], 1);
        let families = [Family::new("sealpack_none", "Nothing."), refused];
        let expected = "# HELP sealpack_refused_info Why, \"as said\".\\nBy \\\\.\n# TYPE sealpack_refused_info gauge\n\
                        sealpack_refused_info{step=\"image\",reason=\"a \\\"b\\\" \\\\ c\\nd\"} 1\n";
        assert_eq!(text(&families), expected);
        let json = json_of(&families);
        assert_eq!(json[0]["samples"][0]["labels"]["reason"], "a \"b\" \\ c\nd");
        assert_eq!((json.as_array().map(Vec::len), &json[0]["samples"][0]["value"]), (Some(1), &json!(1)));
    }
}
