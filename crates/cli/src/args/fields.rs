//! What people pick of a document's things by its fields: `--filter` and `--format`. The fields are those of docs/json.md.

use std::str::FromStr;

use sealpack_format::glob;
use serde_json::Value;

/// `KEY=VALUE`: a field, and the value that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    field: String,
    value: String,
}

/// A template: text, and fields in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((field, value)) if !field.is_empty() => {
                Ok(Self { field: field.to_owned(), value: value.to_owned() })
            }
            _ => Err("a filter is FIELD=VALUE, for example sealed=true".to_owned()),
        }
    }
}

impl Filter {
    /// Whether a thing passes. A star in the value is any text; what is null has the value `null`.
    pub(crate) fn passes(&self, thing: &Value) -> bool {
        let Some(found) = find(thing, &self.field) else { return false };
        let (pattern, text) = (self.value.as_bytes(), text_of(found));
        glob::fits(pattern, text.as_bytes(), b'*', |pattern, item| {
            pattern.split_first().filter(|(first, _)| **first == item).map(|(_, rest)| rest)
        })
    }

    /// That things like `sample` have the field.
    pub(crate) fn check(&self, sample: &Value) -> Result<(), String> {
        check_field(&self.field, sample)
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut pieces = vec![Piece::Text(String::new())];
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let plain = match letter {
                '{' | '}' if letters.next_if_eq(&letter).is_some() => letter,
                '{' => {
                    let mut field = String::new();
                    loop {
                        match letters.next() {
                            Some('}') => break,
                            Some(letter) => field.push(letter),
                            None => return Err(format!("{{{field} has no closing brace")),
                        }
                    }
                    pieces.extend([Piece::Field(field), Piece::Text(String::new())]);
                    continue;
                }
                '}' => return Err("a closing brace without an opening one; }} stands for one".to_owned()),
                '\\' => match letters.next() {
                    Some('t') => '\t',
                    Some('n') => '\n',
                    Some('\\') => '\\',
                    other => {
                        let other = other.map(String::from).unwrap_or_default();
                        return Err(format!("\\{other} is none of \\t, \\n and \\\\"));
                    }
                },
                letter => letter,
            };
            if let Some(Piece::Text(text)) = pieces.last_mut() {
                text.push(plain);
            }
        }
        Ok(Self { pieces })
    }
}

impl Template {
    /// The line of a thing.
    pub(crate) fn line(&self, thing: &Value) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field(field) => find(thing, field).map(text_of).unwrap_or_default(),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// That things like `sample` have all fields.
    pub(crate) fn check(&self, sample: &Value) -> Result<(), String> {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(_) => Ok(()),
            Piece::Field(field) => check_field(field, sample),
        })
    }
}

/// The field at a path with dots: `metadata_image.size_bytes`.
fn find<'v>(thing: &'v Value, field: &str) -> Option<&'v Value> {
    field.split('.').try_fold(thing, |thing, part| thing.get(part))
}

/// A value as it is printed: text as it is, anything else as JSON.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn check_field(field: &str, sample: &Value) -> Result<(), String> {
    let known = fields_of(sample);
    match known.iter().any(|name| name == field) {
        true => Ok(()),
        false => Err(format!("there is no field {field:?}; there are {}", known.join(", "))),
    }
}

/// The paths of all values that are no objects.
fn fields_of(sample: &Value) -> Vec<String> {
    let Value::Object(fields) = sample else { return Vec::new() };
    let below = |(name, value): (&String, &Value)| match value {
        Value::Object(_) => fields_of(value).iter().map(|field| format!("{name}.{field}")).collect(),
        _ => vec![name.clone()],
    };
    fields.iter().flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn thing() -> Value {
        json!({ "name": "r.lan/a:1", "sealed": true, "own": 5, "inside": { "size_bytes": null } })
    }

    #[test]
    fn a_template_puts_fields_between_its_text() {
        let line = |text: &str| text.parse::<Template>().map(|template| template.line(&thing()));
        assert_eq!(line(r"{name}\t{sealed}").as_deref(), Ok("r.lan/a:1\ttrue"));
        assert_eq!(line(r"{{{own}}} \\ {inside.size_bytes}").as_deref(), Ok(r"{5} \ null"));
        assert_eq!(line("").as_deref(), Ok(""));
        assert_eq!(line("{name").unwrap_err(), "{name has no closing brace");
        assert!(line("name}").unwrap_err().contains("without an opening one"));
        assert_eq!(line(r"\x").unwrap_err(), r"\x is none of \t, \n and \\");
        assert_eq!(line(r"a\").unwrap_err(), r"\ is none of \t, \n and \\");
    }

    #[test]
    fn a_field_that_is_not_there_is_told_with_those_that_are() {
        let check = |text: &str| text.parse::<Template>().expect("a template").check(&thing());
        assert_eq!(check("{name} {inside.size_bytes}"), Ok(()));
        let wanted = "there is no field \"nmae\"; there are inside.size_bytes, name, own, sealed";
        assert_eq!(check("{name} {nmae}").unwrap_err(), wanted);
        assert!(check("{inside}").is_err(), "an object is no field to print");
        let filter: Filter = "nmae=x".parse().expect("a filter");
        assert_eq!(filter.check(&thing()).unwrap_err(), wanted);
    }

    #[test]
    fn a_filter_compares_all_of_a_value_with_stars_for_any_text() {
        let passes = |text: &str| text.parse::<Filter>().expect("a filter").passes(&thing());
        for good in
            ["name=r.lan/a:1", "name=r.lan/*", "name=*", "sealed=true", "own=5", "inside.size_bytes=null"]
        {
            assert!(passes(good), "{good}");
        }
        for bad in ["name=r.lan", "name=", "sealed=false", "own=50", "name=*:2", "nosuch=*"] {
            assert!(!passes(bad), "{bad}");
        }
        for none in ["name", "=x", ""] {
            assert!(none.parse::<Filter>().is_err(), "{none}");
        }
    }
}
