//! What the guest says about its checks: lines on a serial port of their own.

use std::fmt;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Outcome {
    /// As it should.
    Ok,
    /// There was nothing to check, and why.
    Skipped(String),
    /// What went wrong.
    Failed(String),
}

/// Something that the demo tried.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Row {
    /// What.
    pub tried: String,
    /// What the kernel said.
    pub said: String,
    /// The kernel's audit record in words; empty when there was none to expect.
    pub explained: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The check begins.
    Begin(String),
    /// The check ended.
    End(String, Outcome),
    /// The demo tried something.
    Row(Row),
    /// There are no more checks.
    Done,
}

const MARK: &str = "sealpack-guest: ";

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A text is one line whatever is in it.
        match self {
            Self::Begin(name) => write!(f, "{MARK}begin {name}"),
            Self::End(name, Outcome::Ok) => write!(f, "{MARK}ok {name}"),
            Self::End(name, Outcome::Skipped(why)) => write!(f, "{MARK}skipped {name} {why:?}"),
            Self::End(name, Outcome::Failed(why)) => write!(f, "{MARK}failed {name} {why:?}"),
            Self::Row(row) => {
                let json = serde_json::to_string(row).map_err(|_| fmt::Error)?;
                write!(f, "{MARK}row {json}")
            }
            Self::Done => write!(f, "{MARK}done"),
        }
    }
}

impl Line {
    /// Reads a line; `None` for anything else.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end().strip_prefix(MARK)?;
        if let Some(json) = line.strip_prefix("row ") {
            return serde_json::from_str(json).ok().map(Self::Row);
        }
        let mut words = line.splitn(3, ' ');
        let kind = words.next()?;
        if kind == "done" {
            return Some(Self::Done);
        }
        let name = words.next()?.to_owned();
        let why = words.next().map(unquote).unwrap_or_default();
        Some(match kind {
            "begin" => Self::Begin(name),
            "ok" => Self::End(name, Outcome::Ok),
            "skipped" => Self::End(name, Outcome::Skipped(why)),
            "failed" => Self::End(name, Outcome::Failed(why)),
            _ => return None,
        })
    }
}

/// Undoes what `{:?}` did to the characters that matter to a reader.
fn unquote(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(quoted);
    let (mut text, mut characters) = (String::new(), inner.chars());
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_the_serial_port() {
        let name = || "a_check".to_owned();
        for line in [
            Line::Begin(name()),
            Line::End(name(), Outcome::Ok),
            Line::End(name(), Outcome::Skipped("no \"such\" thing".into())),
            Line::End(name(), Outcome::Failed("two\nlines\tand \\n".into())),
            Line::Row(Row {
                tried: "this".into(),
                said: "no".into(),
                explained: "two\nlines \"quoted\"".into(),
            }),
            Line::Done,
        ] {
            assert_eq!(Line::parse(&format!("{line}\r\n")), Some(line));
        }
    }

    #[test]
    fn what_the_kernel_prints_is_no_report() {
        for line in ["", "[    1.0] sealpack-guest: ok x", "sealpack-guest: ", "sealpack-guest: maybe x"] {
            assert_eq!(Line::parse(line), None, "{line}");
        }
    }
}
