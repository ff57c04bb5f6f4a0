//! Lines on standard error, as the journal takes them: each is fields `key=value`, after the level in front (sd-daemon(3)) where the
//! journal reads them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use sealpack_node::journal::{Entry, Happening, Journal, SOCKET};
use sealpack_snapshotter::Code;
use sealpack_snapshotter::event::Event;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What every call leads to.
    Debug,
    Info,
    Warning,
    Error,
}

impl Level {
    /// Its number for the journal, and its name.
    const fn names(self) -> (u8, &'static str) {
        match self {
            Self::Debug => (7, "debug"),
            Self::Info => (6, "info"),
            Self::Warning => (4, "warning"),
            Self::Error => (3, "error"),
        }
    }
}

/// Says something, with what there is to know of it.
pub(crate) fn say(level: Level, message: &str, fields: &[(&str, String)]) {
    let (number, word) = level.names();
    let mut line = String::new();
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        line.push_str(&format!("<{number}>"));
    }
    line.push_str(&text(word, message, fields));
    // Nobody to tell it to is no reason to stop.
    _ = std::io::stderr().write_all(line.as_bytes());
}

fn text(level: &str, message: &str, fields: &[(&str, String)]) -> String {
    let mut line = format!("level={level} msg={message:?}");
    for (key, value) in fields {
        let is_plain = !value.is_empty()
            && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\'));
        // Writing to a text does not fail.
        _ = if is_plain { write!(line, " {key}={value}") } else { write!(line, " {key}={value:?}") };
    }
    line.push('\n');
    line
}

/// Says what happened, if it matters at least as much as `from`.
pub(crate) fn event(from: Level, event: &Event) {
    let (level, message, fields) = match event {
        Event::Answered { call, of, took, problem } => {
            let mut fields = vec![("call", (*call).to_owned()), ("of", of.clone())];
            fields.push(("took_ms", took.as_millis().to_string()));
            let Some((code, why)) = problem else { return say_from(from, Level::Debug, "answered", &fields) };
            fields.extend([("code", code.name().to_owned()), ("why", why.clone())]);
            (of_code(*code), "refused", fields)
        }
        Event::Refused { .. } => return tell(event),
        Event::TakenIn { snapshot } => {
            (Level::Info, "took in what containerd had unpacked", vec![("snapshot", snapshot.clone())])
        }
        Event::Recovered { snapshot } => {
            (Level::Info, "has layers again that were lost", vec![("snapshot", snapshot.clone())])
        }
        Event::Lost { snapshot, why } => (
            Level::Error,
            "layers are lost; remove the image, and pull it again",
            vec![("snapshot", snapshot.clone()), ("why", why.clone())],
        ),
        Event::Stays { snapshot, why } => (
            Level::Warning,
            "what containerd unpacked stays a directory",
            vec![("snapshot", snapshot.clone()), ("why", why.clone())],
        ),
    };
    say_from(from, level, message, &fields);
}

/// Tells the journal what was refused, so that it is found by what it is: the line about the call is for whoever reads the log.
fn tell(event: &Event) {
    let given = std::env::var_os("SEALPACK_JOURNAL");
    let socket = given.as_deref().map_or(Path::new(SOCKET), Path::new);
    if let Some(entry) = entry_of(event).filter(|_| !socket.as_os_str().is_empty()) {
        // Who cannot be told misses it.
        _ = Journal::at(socket, "sealpack-snapshotter").send(&entry);
    }
}

/// What the journal is told of an event.
fn entry_of(event: &Event) -> Option<Entry> {
    let Event::Refused { call, of, reason, why } = event else { return None };
    let entry = Entry::new(Happening::Refused, format!("containerd's {call} of {of}: refused: {why}"));
    Some(entry.with("VERB", call).with("REASON", why).with("KIND", reason).with("SNAPSHOT", of))
}

fn say_from(from: Level, level: Level, message: &str, fields: &[(&str, String)]) {
    if level >= from {
        say(level, message, fields);
    }
}

/// Much that is refused is how containerd finds out what there is.
const fn of_code(code: Code) -> Level {
    match code {
        Code::AlreadyExists | Code::NotFound | Code::Unimplemented => Level::Debug,
        Code::FailedPrecondition | Code::InvalidArgument => Level::Info,
        Code::Unavailable | Code::ResourceExhausted => Level::Warning,
        Code::DataLoss | Code::Internal => Level::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_quotes_where_they_would_be_taken_for_more() {
        let fields = [("a", "plain/1".to_owned()), ("b", "two words\n".to_owned()), ("c", String::new())];
        assert_eq!(
            text("info", "hello", &fields),
            "level=info msg=\"hello\" a=plain/1 b=\"two words\\n\" c=\"\"\n"
        );
    }
}
