//! JSON of unknown origin, much of it written by Go: there an empty list or map is `null` as often as not, and a text that
//! is absent is empty (encoding/json). Every document from outside is read through these.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// For `deserialize_with`, with `default`: a value, the empty one for `null`.
pub(crate) fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// For `deserialize_with`, with `default`: a text, none for `null` and for an empty one.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::deserialize(from)?.filter(|text: &String| !text.is_empty()))
}

/// For `deserialize_with`, with `default`: what a text says, nothing for `null` and for an empty one.
pub(crate) fn parsed<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    text(from)?.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// For `deserialize_with`, with `default`: a map of texts, without those that are `null`.
pub(crate) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    without_nulls(from)
}

/// For `deserialize_with`, with `default`: a map, without the values that are `null`.
pub(crate) fn without_nulls<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    let all: Option<BTreeMap<String, Option<T>>> = Option::deserialize(from)?;
    let given = |(name, value): (String, Option<T>)| Some((name, value?));
    Ok(all.into_iter().flatten().filter_map(given).collect())
}

/// The list `name` in the object `document`, made where there is none, or `null`.
pub(crate) fn entries_of<'a>(document: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    if !document.is_object() {
        *document = Value::Object(serde_json::Map::new());
    }
    let list = &mut document[name];
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut().expect("it was just made one")
}

/// A list whose absence says something.
#[derive(Debug, Default)]
pub(crate) enum List<T> {
    #[default]
    Absent,
    /// `null`: there may be such a list, and it is empty.
    Null,
    Given(Vec<T>),
}

impl<T> List<T> {
    pub(crate) const fn is_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }

    pub(crate) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The list; `None` when it is not there at all.
    pub(crate) fn into_vec(self) -> Option<Vec<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(Vec::new()),
            Self::Given(entries) => Some(entries),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Null, Self::Given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Read {
        #[serde(default)]
        list: List<u8>,
        #[serde(default, deserialize_with = "or_empty")]
        empty: Vec<u8>,
        #[serde(default, deserialize_with = "text")]
        text: Option<String>,
        #[serde(default, deserialize_with = "parsed")]
        number: Option<u8>,
        #[serde(default, deserialize_with = "texts")]
        texts: BTreeMap<String, String>,
    }

    fn read(json: &str) -> Read {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn null_is_empty_and_an_empty_text_is_none() {
        let nulls = r#"{"list":null,"empty":null,"text":null,"number":null,"texts":null}"#;
        for json in ["{}", nulls, r#"{"text":"","number":"","texts":{"a":null}}"#] {
            let read = read(json);
            assert_eq!((read.text, read.number), (None, None), "{json}");
            assert!(read.empty.is_empty() && read.texts.is_empty(), "{json}");
            assert!(read.list.into_vec().unwrap_or_default().is_empty(), "{json}");
        }
        assert!(matches!(read("{}").list, List::Absent) && read(nulls).list.is_null());
        let full =
            read(r#"{"list":[1],"empty":[2],"text":"x","number":"7","texts":{"a":"b","c":null,"d":""}}"#);
        assert_eq!((full.empty, full.text, full.number), (vec![2], Some("x".to_owned()), Some(7)));
        assert_eq!(full.texts.into_iter().collect::<Vec<_>>().len(), 2);
        assert!(full.list.is_given());
        assert!(serde_json::from_str::<Read>(r#"{"number":"x"}"#).is_err());
    }
}
