//! The schema of what `sealpack --json` prints, docs/json.schema.json, and whether something is as it says.
//!
//! What is checked is the part of JSON Schema (draft 2020-12) that this schema uses; a keyword besides is an error. One
//! thing is stricter: an object with `properties` has no others, so that none is printed that is not in the schema.

use anyhow::{Context, Result, bail, ensure};
use regex_lite::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The schema.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../docs/json.schema.json")).expect("the schema is JSON")
});

/// The definitions in the schema.
///
/// # Panics
/// If it has none.
#[must_use]
pub fn definitions() -> &'static Map<String, Value> {
    SCHEMA["$defs"].as_object().expect("the schema has definitions")
}

/// The name of the definition of a verb's document.
#[must_use]
pub fn name_of(verb: &str) -> String {
    format!("{}_document", verb.replace(' ', "_"))
}

/// Reads the one document that a command printed on standard output.
///
/// # Errors
/// If it is none, or not as the schema has that of its verb.
pub fn document(bytes: &[u8]) -> Result<Value> {
    let value: Value = serde_json::from_slice(bytes).context("it is not JSON")?;
    let verb = value["verb"].as_str().with_context(|| format!("no verb in {value:#}"))?;
    check(&value, &name_of(verb))?;
    Ok(value)
}

/// Reads the lines that a command printed on standard error.
///
/// # Errors
/// If one of them is neither an error nor an event of the schema.
pub fn lines(bytes: &[u8]) -> Result<Vec<Value>> {
    let line = |line: &str| -> Result<Value> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("{line:?} is not JSON"))?;
        check(&value, if value.get("error").is_some() { "error" } else { "event" })?;
        Ok(value)
    };
    std::str::from_utf8(bytes)?.lines().map(line).collect()
}

/// Checks a value by a definition of the schema.
///
/// # Errors
/// If it is not so.
pub fn check(value: &Value, definition: &str) -> Result<()> {
    let schema = definitions().get(definition).with_context(|| format!("the schema has no {definition}"))?;
    at("", value, schema)
        .with_context(|| format!("it is no {definition} of docs/json.schema.json: {value:#}"))
}

/// Whether the value at `path` is as `schema` says.
fn at(path: &str, value: &Value, schema: &Value) -> Result<()> {
    let keywords = schema.as_object().with_context(|| format!("{schema} is no schema"))?;
    for (keyword, wanted) in keywords {
        match keyword.as_str() {
            "description" => {}
            "$ref" => {
                let name = wanted.as_str().and_then(|text| text.strip_prefix("#/$defs/"));
                let name = name.with_context(|| format!("{wanted} leads nowhere"))?;
                at(path, value, definitions().get(name).with_context(|| format!("there is no {name}"))?)?;
            }
            "anyOf" => {
                let ways = wanted.as_array().context("anyOf is a list")?;
                let problems: Vec<_> = ways.iter().map_while(|way| at(path, value, way).err()).collect();
                let said = || problems.iter().map(|problem| format!("\n  {problem:#}")).collect::<String>();
                ensure!(problems.len() < ways.len(), "{path} is none of these:{}", said());
            }
            "type" => {
                let types = wanted.as_array().map_or_else(|| std::slice::from_ref(wanted), Vec::as_slice);
                ensure!(types.iter().any(|name| name == type_of(value)), "{path} is {value}, not {wanted}");
            }
            "enum" => {
                let words = wanted.as_array().context("enum is a list")?;
                ensure!(words.contains(value), "{path} is {value}, not one of {wanted}");
            }
            "const" => ensure!(value == wanted, "{path} is {value}, not {wanted}"),
            "minimum" => {
                ensure!(value.as_f64() >= wanted.as_f64() || !value.is_number(), "{path} is {value}");
            }
            "pattern" => {
                let pattern = Regex::new(wanted.as_str().context("a pattern is a text")?)?;
                ensure!(value.as_str().is_none_or(|text| pattern.is_match(text)), "{path} is {value}");
            }
            "required" => {
                for name in wanted.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    ensure!(value.is_null() || value.get(name).is_some(), "{path} has no {name}");
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    at(&format!("{path}/{index}"), item, wanted)?;
                }
            }
            "properties" | "additionalProperties" | "propertyNames" => {}
            other => bail!("the schema has the keyword {other}, which is not looked at"),
        }
    }
    value.as_object().map_or(Ok(()), |fields| fields_at(path, fields, keywords))
}

fn fields_at(path: &str, fields: &Map<String, Value>, keywords: &Map<String, Value>) -> Result<()> {
    for (name, value) in fields {
        let path = format!("{path}/{name}");
        if let Some(names) = keywords.get("propertyNames") {
            at(&path, &Value::from(name.as_str()), names)?;
        }
        match (keywords.get("properties"), keywords.get("additionalProperties")) {
            (Some(properties), _) => {
                let schema = properties.get(name).with_context(|| format!("{path} is not in the schema"))?;
                at(&path, value, schema)?;
            }
            (None, Some(schema)) => at(&path, value, schema)?,
            (None, None) => {}
        }
    }
    Ok(())
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// All names of fields in the schema, each with its types: more than one where it is used for different things.
#[must_use]
pub fn fields() -> BTreeSet<(String, String)> {
    let mut fields = BTreeSet::new();
    definitions().values().for_each(|schema| collect(schema, &mut fields));
    fields
}

fn collect(schema: &Value, fields: &mut BTreeSet<(String, String)>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        fields.insert((name.clone(), kind_of(field)));
        collect(field, fields);
    }
    for part in ["items", "additionalProperties"] {
        if let Some(part) = schema.get(part) {
            collect(part, fields);
        }
    }
    schema["anyOf"].as_array().into_iter().flatten().for_each(|way| collect(way, fields));
}

/// What a field is; that it may be null is left out.
fn kind_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return name.trim_start_matches("#/$defs/").to_owned();
    }
    if let Some(ways) = schema["anyOf"].as_array() {
        let kinds: BTreeSet<String> = ways.iter().filter(|way| way["type"] != "null").map(kind_of).collect();
        return Vec::from_iter(kinds).join(" or ");
    }
    if let Some(value) = schema.get("const") {
        return type_of(value).to_owned();
    }
    let types =
        schema["type"].as_array().map_or_else(|| std::slice::from_ref(&schema["type"]), Vec::as_slice);
    let kind = types.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("null");
    match kind {
        "array" => format!("array of {}", kind_of(&schema["items"])),
        "object" if schema.get("properties").is_some() => {
            format!(
                "object with {:?}",
                schema["properties"].as_object().map(|fields| Vec::from_iter(fields.keys()))
            )
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_too_much_or_of_another_kind_is_refused() {
        let good = json!({ "version": 1, "verb": "rm", "removed_names": ["a"] });
        assert!(check(&good, "rm_document").is_ok());
        for (field, value) in [
            ("version", json!(2)),
            ("verb", json!("tag")),
            ("removed_names", json!(null)),
            ("removed_names", json!([1])),
            ("more", json!(true)),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert!(check(&bad, "rm_document").is_err(), "{bad}");
        }
        assert!(check(&json!({ "version": 1, "verb": "rm" }), "rm_document").is_err());
        assert!(check(&json!("sha256:12"), "digest").is_err() && check(&json!(-1), "size").is_err());
        assert!(check(&json!("1970-01-01T00:00:00Z"), "time").is_ok());
    }
}
