//! Which snapshots a client asks for: containerd's filters (its package `filters`).
//!
//! A filter is selectors between commas, all of which must match: a path of fields, and after it perhaps `==`, `!=`,
//! `~=` (a regular expression) or `@=` (contains) and a value. Fields and values may be in double quotes, expressions
//! between slashes or bars, too.

mod parse;

use regex_lite::Regex;

/// What a filter looks at.
pub trait Fields {
    /// The value of a field, given by its path; `None` where the object has none.
    fn field(&self, path: &[String]) -> Option<&str>;
}

/// Filters of which one must match. Without any, everything does.
#[derive(Debug, Clone, Default)]
pub struct Filters(Vec<Vec<Selector>>);

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter {filter:?}: {problem}, at byte {position}")]
pub struct FilterError {
    /// The whole filter.
    pub filter: String,
    /// Where the fault is, in bytes from the start.
    pub position: usize,
    /// What it is.
    pub problem: String,
}

#[derive(Debug, Clone)]
struct Selector {
    path: Vec<String>,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Present,
    Equal(String),
    Different(String),
    Contains(String),
    Matches(Regex),
}

impl Filters {
    /// Reads filters.
    ///
    /// # Errors
    /// [`FilterError`] for the first that is none.
    pub fn parse(filters: &[String]) -> Result<Self, FilterError> {
        filters.iter().map(|filter| parse::filter(filter)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an object is asked for.
    pub fn match_object(&self, object: &impl Fields) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|filter| filter.iter().all(|selector| selector.matches(object)))
    }
}

impl Selector {
    fn matches(&self, object: &impl Fields) -> bool {
        let found = object.field(&self.path);
        // What is not there is empty, but equal to nothing.
        let value = found.unwrap_or_default();
        match &self.test {
            Test::Present => found.is_some(),
            Test::Equal(wanted) => found.is_some_and(|value| value == wanted),
            Test::Different(other) => value != other,
            Test::Contains(part) => value.contains(part),
            Test::Matches(expression) => expression.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests;
