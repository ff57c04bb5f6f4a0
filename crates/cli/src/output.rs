//! What commands print: text for people, one JSON value for machines.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use sealpack_node::Remark;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::hint;
use crate::show::parts;

/// Where a command's results and remarks go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    /// The verb that runs, with those above it: `policy show`.
    pub(crate) verb: &'static str,
}

impl Output {
    /// Prints a command's result: the fields of `value` as a JSON document with its version and the verb, or else what
    /// `text` gives.
    /// A closed pipe is no error: its reader has what it wanted.
    pub(crate) fn result(self, value: &Value, text: impl FnOnce() -> String) -> Result<(), CommandError> {
        let document = || parts::with(parts::versioned(value.clone()), json!({ "verb": self.verb }));
        let text = if self.json { format!("{:#}", document()) } else { text() };
        if text.is_empty() {
            return Ok(());
        }
        // A file or a pipe gets what there is.
        let text = if io::stdout().is_terminal() { visible(&text) } else { Cow::Borrowed(text.as_str()) };
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        written(write!(io::stdout().lock(), "{text}{newline}"))
    }

    /// Prints bytes as they are.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
    }

    /// A remark on standard error, for people who did not ask for quiet.
    pub(crate) fn remark(self, text: &str) {
        if !self.quiet && !self.json {
            // Nobody is left to tell when standard error is closed.
            _ = writeln!(io::stderr().lock(), "{}", visible(text));
        }
    }

    /// Takes the remarks of a library.
    pub(crate) fn remarks(self) -> impl FnMut(Remark) {
        move |remark| {
            let text = hint::with_remark(&remark);
            match remark.is_detail() {
                true => self.detail(|| text),
                false => self.remark(&text),
            }
        }
    }

    /// Takes the remarks of the library of what comes in and goes out.
    pub(crate) fn gate_remarks(self) -> impl FnMut(sealpack_gate::Remark) {
        move |remark| match remark.is_detail() {
            true => self.detail(|| remark.to_string()),
            false => self.remark(&remark.to_string()),
        }
    }

    /// A remark for those who asked for more.
    pub(crate) fn detail(self, text: impl FnOnce() -> String) {
        if self.verbose {
            self.remark(&text());
        }
    }

    /// Says on standard error what went wrong.
    pub(crate) fn error(self, error: &CommandError) {
        let mut stderr = io::stderr().lock();
        let written = if self.json {
            let error = Self::error_line(error.kind_name(), &error.message(), error.hint_text());
            writeln!(stderr, "{error}")
        } else {
            let hint = error.hint_text().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            writeln!(stderr, "{}", visible(&format!("error: {}{hint}", error.message())))
        };
        // As above: nobody is left to tell.
        _ = written;
    }

    /// What machines get of an error.
    pub(crate) fn error_line(kind: &str, message: &str, hint: Option<&str>) -> Value {
        parts::versioned(json!({ "error": { "kind": kind, "message": message, "hint": hint } }))
    }

    /// One JSON object on a line of standard error.
    pub(crate) fn json_line(value: Value) {
        // As above: nobody is left to tell.
        _ = writeln!(io::stderr().lock(), "{}", parts::versioned(value));
    }

    /// Whether moving progress bars make sense.
    pub(crate) fn wants_bars(self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }
}

/// A text with everything escaped that a terminal would act upon: registries, images, seals and policies choose parts
/// of what is said about them.
fn visible(text: &str) -> Cow<'_, str> {
    let acts = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if acts(character) { visible.extend(character.escape_default()) } else { visible.push(character) }
    }
    Cow::Owned(visible)
}

fn written(result: io::Result<()>) -> Result<(), CommandError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::failed(format_args!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Columns of text, each as wide as its widest cell; the last is not padded.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut header.iter().copied());
    rows.iter().for_each(|row| text += &line(&mut row.iter().map(String::as_str)));
    text
}

/// A number of things: `1 layer`, `2 layers`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A size as people read it: `1.5 MB`, in powers of 1000.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_naturally_at_their_limits() {
        let shown = [0, 999, 1000, 1549, 999_949, 999_950, 1_500_000, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.5 kB", "999.9 kB", "1.0 MB", "1.5 MB", "18.4 EB"]);
    }

    #[test]
    fn a_message_cannot_command_the_terminal() {
        assert_eq!(visible("plain: ä\nhint: 漢"), "plain: ä\nhint: 漢");
        assert_eq!(visible("\u{1b}[2Jgone\r\u{9b}31m"), "\\u{1b}[2Jgone\\r\\u{9b}31m");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "1".into()], vec!["longer".into(), "2".into()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME    N\na       1\nlonger  2\n");
    }
}
