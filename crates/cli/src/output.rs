//! What commands print: text for people, one JSON value for machines.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use indicatif::MultiProgress;

use sealpack_format::text::acts;
pub(crate) use sealpack_format::text::{count, size};
use sealpack_node::Remark;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::hint;
use crate::journal;
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
        if !self.json {
            return self.text(&text);
        }
        self.text_as_it_is(&visible_json(&text))
    }

    /// Prints lines: what there is into a file or a pipe, on a terminal what can be seen there.
    pub(crate) fn text(self, text: &str) -> Result<(), CommandError> {
        match io::stdout().is_terminal() {
            true => self.text_as_it_is(&visible(text)),
            false => self.text_as_it_is(text),
        }
    }

    fn text_as_it_is(self, text: &str) -> Result<(), CommandError> {
        if text.is_empty() {
            return Ok(());
        }
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        written(write!(io::stdout().lock(), "{text}{newline}"))
    }

    /// Prints bytes as they are, on a terminal too: for commands whose purpose that is.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
    }

    /// A remark on standard error, for people who did not ask for quiet.
    pub(crate) fn remark(self, text: &str) {
        if !self.quiet && !self.json {
            beside_bars(|| {
                // Nobody is left to tell when standard error is closed.
                _ = writeln!(io::stderr().lock(), "{}", visible(text));
            });
        }
    }

    /// Has the user who interrupts the command told what became of what it did so far.
    pub(crate) fn when_interrupted(self, what_stays: &'static str) {
        let told = sealpack_kernel::interrupt::before_it_ends(move || {
            let text = format!("interrupted: {what_stays}");
            self.event(|| serde_json::json!({ "event": "interrupted", "what_stays": what_stays }), || text);
        });
        // Without a thread for it the command ends as silently as it would.
        _ = told;
    }

    /// Something that happens meanwhile: a line, or for machines a JSON value on one.
    pub(crate) fn event(self, value: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        match (self.json, self.quiet) {
            (true, _) => Self::json_line(value()),
            (false, true) => {}
            (false, false) => self.remark(&text()),
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
        let mut of_node = self.remarks();
        move |remark| match remark {
            sealpack_gate::Remark::Node(remark) => of_node(remark),
            remark => self.remark(&remark.to_string()),
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
        if error.is_refusal() {
            journal::refused(self.verb, error);
        }
        let mut stderr = io::stderr().lock();
        let written = if self.json {
            let error = Self::error_line(error.kind_name(), &error.message(), error.hint_text());
            writeln!(stderr, "{}", visible_json(&error.to_string()))
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
        _ = writeln!(io::stderr().lock(), "{}", visible_json(&parts::versioned(value).to_string()));
    }

    /// Whether moving progress bars make sense.
    pub(crate) fn wants_bars(self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }
}

/// The progress bars of this process: it has one terminal.
pub(crate) fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Writes to the terminal between the bars that there may be.
fn beside_bars(write: impl FnOnce()) {
    bars().suspend(write);
}

/// JSON in which every character that would act on a terminal is written as its number, which means the same.
fn visible_json(json: &str) -> Cow<'_, str> {
    let acts = |character: char| acts(character) && character != '\n';
    if !json.contains(acts) {
        return Cow::Borrowed(json);
    }
    // They are in strings only: JSON has no other place for them.
    let mut visible = String::with_capacity(json.len());
    for character in json.chars() {
        if acts(character) {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().for_each(|unit| visible += &format!("\\u{unit:04x}"));
        } else {
            visible.push(character);
        }
    }
    Cow::Owned(visible)
}

/// A text with everything escaped that a terminal would act upon: registries, images, seals and policies choose parts
/// of what is said about them.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let acts = |character: char| acts(character) && !matches!(character, '\n' | '\t');
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_command_the_terminal() {
        assert_eq!(visible("plain: ä\nhint: 漢"), "plain: ä\nhint: 漢");
        assert_eq!(visible("\u{1b}[2Jgone\r\u{9b}31m"), "\\u{1b}[2Jgone\\r\\u{9b}31m");
    }

    #[test]
    fn what_is_not_seen_or_turns_what_is_around_it_is_shown_as_a_number() {
        for acting in
            "\u{202e}\u{2066}\u{2069}\u{200b}\u{200d}\u{feff}\u{ad}\u{85}\u{e0041}\u{fe0f}\u{61c}\u{2028}"
                .chars()
        {
            let number = u32::from(acting);
            assert_eq!(visible(&format!("a{acting}b")), format!("a\\u{{{number:x}}}b"));
            let json = Value::from(format!("a{acting}b")).to_string();
            let shown = visible_json(&json);
            assert!(shown.is_ascii(), "{shown}");
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), format!("a{acting}b"));
        }
        assert_eq!(visible("日本語 עברית العربية 🦀"), "日本語 עברית العربية 🦀");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "1".into()], vec!["longer".into(), "2".into()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME    N\na       1\nlonger  2\n");
    }
}
