//! JSON of which there is only one text: RFC 8785, with nothing but objects, arrays, strings, truth values and integers
//! from 0 to 2^53-1. What is signed is a text, so that no two readers may take different things from it.

use std::cmp::Ordering;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The largest integer that every reader of JSON takes exactly (RFC 8259, section 6).
pub(super) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// A value of the canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Truth(bool),
    Integer(u64),
    Text(String),
    List(Vec<Value>),
    Object(Object),
}

/// The members of an object, in the order of the canonical form, no name twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Object(Vec<(String, Value)>);

impl Object {
    /// The object with these members, whose names are distinct.
    pub(super) fn of<const N: usize>(members: [(&str, Value); N]) -> Self {
        let mut members = Vec::from(members.map(|(name, value)| (name.to_owned(), value)));
        members.sort_by(|(one, _), (other, _)| order(one, other));
        Self(members)
    }

    /// The member of that name, taken out.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(place).1)
    }

    /// The name of a member, if there is any.
    pub(super) fn any_name(&self) -> Option<&str> {
        self.0.first().map(|(name, _)| name.as_str())
    }
}

/// By UTF-16 code units (RFC 8785, section 3.2.3), which differs from the order of bytes for rare characters.
fn order(one: &str, other: &str) -> Ordering {
    one.encode_utf16().cmp(other.encode_utf16())
}

/// Why a text is not in the canonical form.
#[derive(Debug)]
pub(super) enum CanonicalError {
    /// No such JSON.
    Json(serde_json::Error),
    /// The same values, written in another way, from that byte on.
    Form(usize),
}

/// Reads a text in the canonical form.
pub(super) fn parse(text: &[u8]) -> Result<Value, CanonicalError> {
    let value: Value = serde_json::from_slice(text).map_err(CanonicalError::Json)?;
    let written = value.to_string();
    if written.as_bytes() == text {
        return Ok(value);
    }
    let same = written.bytes().zip(text).take_while(|(ours, theirs)| ours == *theirs).count();
    Err(CanonicalError::Form(same))
}

impl fmt::Display for Value {
    /// The canonical text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(values) => {
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "[" } else { "," })?;
                }
                f.write_str(if values.is_empty() { "[]" } else { "]" })
            }
            Self::Object(Object(members)) => {
                for (index, (name, value)) in members.iter().enumerate() {
                    write!(f, "{}{}:{value}", if index == 0 { "{" } else { "," }, quoted(name))?;
                }
                f.write_str(if members.is_empty() { "{}" } else { "}" })
            }
        }
    }
}

/// As RFC 8785, section 3.2.2.2 has strings: that is how this library writes them.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, an array, a string, a truth value or an integer from 0 to 2^53-1")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Truth(truth))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<Value, E> {
        if integer > INTEGER_MAX {
            return Err(E::custom(format_args!("the integer {integer} is above 2^53-1")));
        }
        Ok(Value::Integer(integer))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            // Names stand in their order, or the text is not canonical: the one before is the only one to compare with.
            if members.last().is_some_and(|(before, _)| order(before, &name).is_ge()) {
                return Err(A::Error::custom(format_args!(
                    "the field {name:?} is there twice, or out of order"
                )));
            }
            members.push((name, value));
        }
        Ok(Value::Object(Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_text_survives_and_every_other_is_refused() {
        for text in [
            r#"{}"#,
            r#"{"a":[],"b":{"c":true,"d":[1,2,"x"]}}"#,
            "{\"\u{1}\":0}".replace('\u{1}', "\\u0001").as_str(),
            r#"{"\b\t\n\f\r\"\\/":9007199254740991}"#,
            "{\"\u{20ac}\":1,\"\u{1f600}\":2,\"\u{fb33}\":3}",
        ] {
            assert_eq!(parse(text.as_bytes()).expect(text).to_string(), text);
        }
        for text in [
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a": 1}"#,
            "{\"a\":1}\n",
            r#"{"a":1.0}"#,
            r#"{"a":1e1}"#,
            r#"{"a":01}"#,
            r#"{"a":-1}"#,
            r#"{"a":-0}"#,
            r#"{"a":null}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"\u0061":1}"#,
            r#"{"a":"\/"}"#,
            r#"{"a":"\u001F"}"#,
            r#"{"a":"\ud800"}"#,
            "{\"\u{fb33}\":3,\"\u{1f600}\":2}",
            "{\"a\":\"\t\"}",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(&b"[".repeat(100_000)).is_err());
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
    }
}
