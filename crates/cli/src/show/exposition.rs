//! Numbers for a monitoring system, for other machines.

use sealpack_format::exposition::{Family, Number, Sample};
use serde_json::{Map, Value, json};

/// All kinds that have numbers.
pub(crate) fn json_of(families: &[Family]) -> Value {
    let families = families.iter().filter(|family| !family.samples().is_empty());
    let family = |family: &Family| {
        let samples: Vec<Value> = family.samples().iter().map(sample).collect();
        json!({ "name": family.name(), "help": family.help(), "samples": samples })
    };
    families.map(family).collect()
}

fn sample(sample: &Sample) -> Value {
    let labels: Map<String, Value> =
        sample.labels().map(|(label, value)| (label.to_owned(), json!(value))).collect();
    let value = match sample.value() {
        Number::Whole(number) => json!(number),
        Number::Real(number) => json!(number),
    };
    json!({ "labels": labels, "value": value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_as_they_are_and_kinds_without_numbers_are_left_out() {
        let mut refused = Family::gauge("sealpack_refused_info", "Why.");
        refused.add(&[("reason", "a \"b\" \\ c\nd")], 1);
        let json = json_of(&[Family::gauge("sealpack_none", "Nothing."), refused]);
        assert_eq!(json[0]["samples"][0]["labels"]["reason"], "a \"b\" \\ c\nd");
        assert_eq!((json.as_array().map(Vec::len), &json[0]["samples"][0]["value"]), (Some(1), &json!(1)));
    }
}
