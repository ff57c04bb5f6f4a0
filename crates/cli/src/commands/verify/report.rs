//! What was verified, and what came of it.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::error::{CommandError, CommandResult};
use crate::output::count;

/// A report in the making.
pub(super) struct Report {
    name: String,
    /// Facts for machines, beside the lines.
    facts: Value,
    lines: Vec<Line>,
}

/// One thing that was looked at.
struct Line {
    what: String,
    result: Outcome,
}

enum Outcome {
    /// It is as it should be.
    Good(String),
    /// Neither good nor bad, but worth knowing.
    Note(String),
    Bad(String),
}

impl Report {
    pub(super) fn new(name: impl Display, facts: Value) -> Self {
        Self { name: name.to_string(), facts, lines: Vec::new() }
    }

    /// Adds a fact for machines.
    pub(super) fn fact(&mut self, key: &str, value: Value) {
        self.facts[key] = value;
    }

    pub(super) fn good(&mut self, what: impl Display, how: impl Display) {
        self.add(what, Outcome::Good(how.to_string()));
    }

    pub(super) fn note(&mut self, what: impl Display, text: impl Display) {
        self.add(what, Outcome::Note(text.to_string()));
    }

    pub(super) fn bad(&mut self, what: impl Display, problem: impl Display) {
        self.add(what, Outcome::Bad(problem.to_string()));
    }

    /// Good with what `result` has, or bad with its error. Answers with what it has.
    pub(super) fn look<T, E: Display>(
        &mut self,
        what: impl Display,
        result: Result<T, E>,
        how: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.good(what, how(&value));
                Some(value)
            }
            Err(error) => {
                self.bad(what, error);
                None
            }
        }
    }

    fn add(&mut self, what: impl Display, result: Outcome) {
        self.lines.push(Line { what: what.to_string(), result });
    }

    fn failures(&self) -> Vec<String> {
        let failure = |line: &Line| match &line.result {
            Outcome::Bad(problem) => Some(format!("{}: {problem}", line.what.trim_start())),
            Outcome::Good(_) | Outcome::Note(_) => None,
        };
        self.lines.iter().filter_map(failure).collect()
    }

    pub(super) fn json(&self) -> Value {
        let mut value = self.facts.clone();
        let failures = self.failures();
        value["name"] = json!(self.name);
        value["good"] = json!(failures.is_empty());
        value["failures"] = json!(failures);
        value["checks"] = self
            .lines
            .iter()
            .map(|line| {
                let (result, text) = match &line.result {
                    Outcome::Good(text) => ("good", text),
                    Outcome::Note(text) => ("note", text),
                    Outcome::Bad(text) => ("bad", text),
                };
                json!({ "what": line.what.trim_start(), "result": result, "text": text })
            })
            .collect();
        value
    }

    pub(super) fn text(&self) -> String {
        let width = self.lines.iter().map(|line| line.what.chars().count()).max().unwrap_or(0);
        let line = |line: &Line| {
            let (mark, text) = match &line.result {
                Outcome::Good(text) => ("good", text),
                Outcome::Note(text) => ("    ", text),
                Outcome::Bad(text) => ("BAD ", text),
            };
            format!("  {mark}  {:<width$}  {text}\n", line.what)
        };
        format!("{}\n{}", self.name, self.lines.iter().map(line).collect::<String>())
    }

    /// Status 3 if anything is wrong.
    pub(super) fn verdict(&self) -> CommandResult {
        let failures = self.failures();
        let Some(first) = failures.first() else { return Ok(()) };
        Err(match failures.len() {
            1 => CommandError::refused(format_args!("{}: {first}", self.name)),
            more => CommandError::refused(format_args!(
                "{}: {} failed, the first of them {first}",
                self.name,
                count(more as u64, "check")
            )),
        })
    }
}
