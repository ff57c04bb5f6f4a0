//! Lines on standard error, as the journal takes them: the level in front (sd-daemon(3)) where the journal reads them.

use std::io::Write;

/// How much a line matters.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    Error,
    Warning,
    Info,
}

/// Says a line.
pub(crate) fn say(level: Level, text: &str) {
    let (number, word) = match level {
        Level::Error => (3, "error"),
        Level::Warning => (4, "warning"),
        Level::Info => (6, "info"),
    };
    let mut line = String::new();
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        line.push_str(&format!("<{number}>"));
    }
    line.push_str(&format!("sealpack-snapshotter: level={word} {text}\n"));
    // Nobody to tell it to is no reason to stop.
    _ = std::io::stderr().write_all(line.as_bytes());
}
