//! Lists of what a command is to do, from a file or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::CommandError;

/// More than any list has.
const LIST_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A line of a list: where it is, for messages, and its words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) place: String,
    pub(crate) words: Vec<String>,
}

/// Reads the list in a file, `-` for standard input: words with spaces between them. Lines that begin with `#`, and
/// empty ones, are passed over.
pub(crate) fn read_list(path: &Path) -> Result<Vec<Line>, CommandError> {
    let is_stdin = path == Path::new("-");
    let what = if is_stdin { PathBuf::from("standard input") } else { path.to_owned() };
    let failed = |error: io::Error| CommandError::failed(format_args!("{}: {error}", what.display()));
    let mut bytes = Vec::new();
    let from: Box<dyn Read> =
        if is_stdin { Box::new(io::stdin().lock()) } else { Box::new(File::open(path).map_err(failed)?) };
    from.take(LIST_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LIST_MAX_BYTES {
        return Err(CommandError::failed(format_args!("{}: it is longer than 16 MiB", what.display())));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| CommandError::failed(format_args!("{}: it is not UTF-8", what.display())))?;
    let lines = lines_of(&what.display().to_string(), &text);
    match lines.is_empty() {
        true => Err(CommandError::usage(format_args!("{}: the list is empty", what.display()))),
        false => Ok(lines),
    }
}

fn lines_of(what: &str, text: &str) -> Vec<Line> {
    let numbered = (1..).zip(text.lines());
    numbered
        .map(|(number, line): (usize, &str)| (number, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| Line {
            place: format!("{what}, line {number}"),
            words: line.split_whitespace().map(str::to_owned).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_thing_on_each_line_and_remarks_between_them() {
        let lines = lines_of("list", "# what\n\n one  two\t\r\n  # no\nthree#\n");
        let line = |number: u32, words: &[&str]| Line {
            place: format!("list, line {number}"),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        assert_eq!(lines, [line(3, &["one", "two"]), line(5, &["three#"])]);
    }
}
