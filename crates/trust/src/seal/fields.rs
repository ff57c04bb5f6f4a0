//! Taking a statement's JSON apart, with the place of whatever is wrong.

use std::fmt::Display;
use std::str::FromStr;

use super::StatementError;
use super::canonical::{Object, Value};

/// The members of an object that are not read yet, and what messages call the object.
pub(super) struct Fields {
    object: Object,
    place: String,
}

impl Fields {
    pub(super) fn of(value: Value, place: impl Into<String>) -> Result<Self, StatementError> {
        let place = place.into();
        match value {
            Value::Object(object) => Ok(Self { object, place }),
            _ => Err(StatementError::Kind { place, expected: "an object" }),
        }
    }

    pub(super) fn optional(&mut self, name: &str) -> Option<Value> {
        self.object.take(name)
    }

    /// The value of a field that must be there.
    pub(super) fn value(&mut self, name: &str) -> Result<Value, StatementError> {
        self.object.take(name).ok_or_else(|| StatementError::Missing(self.place_of(name)))
    }

    pub(super) fn fields(&mut self, name: &str) -> Result<Self, StatementError> {
        Self::of(self.value(name)?, self.place_of(name))
    }

    pub(super) fn integer(&mut self, name: &str) -> Result<u64, StatementError> {
        match self.value(name)? {
            Value::Integer(integer) => Ok(integer),
            _ => Err(StatementError::Kind { place: self.place_of(name), expected: "an integer" }),
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String, StatementError> {
        text(self.value(name)?, || self.place_of(name))
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<T, StatementError> {
        parsed(self.value(name)?, || self.place_of(name))
    }

    /// The values of a list, each with its place.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<(Value, String)>, StatementError> {
        list(self.value(name)?, &self.place_of(name))
    }

    /// That every member was read.
    pub(super) fn end(self) -> Result<(), StatementError> {
        match self.object.any_name() {
            Some(name) => Err(StatementError::Unknown(cut(&self.place_of(name)))),
            None => Ok(()),
        }
    }

    fn place_of(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }
}

/// The values of a list, each with its place.
pub(super) fn list(value: Value, place: &str) -> Result<Vec<(Value, String)>, StatementError> {
    let Value::List(values) = value else {
        return Err(StatementError::Kind { place: place.to_owned(), expected: "an array" });
    };
    let placed = |(index, value)| (value, format!("{place}[{index}]"));
    Ok(values.into_iter().enumerate().map(placed).collect())
}

pub(super) fn text(value: Value, place: impl Fn() -> String) -> Result<String, StatementError> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(StatementError::Kind { place: place(), expected: "a string" }),
    }
}

pub(super) fn parsed<T: FromStr<Err: Display>>(
    value: Value,
    place: impl Fn() -> String,
) -> Result<T, StatementError> {
    let text = text(value, &place)?;
    text.parse().map_err(|error: T::Err| StatementError::Value { place: place(), problem: error.to_string() })
}

/// The beginning of a text that somebody else chose, or that quotes them.
pub(super) fn cut(text: &str) -> String {
    let visible = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    text.chars().take(300).map(visible).collect()
}
