//! The demo's end: a stock kernel that enforces, as a table.

use crate::demo::step;
use crate::packages::{self, Missing};
use anyhow::Result;
use sealpack_guest::host;
use sealpack_guest::kernels::Generation;
use sealpack_guest::report::Row;
use sealpack_guest::run::{self, Demo};
use std::path::Path;

/// The widths of the columns in characters.
const WIDTHS: [usize; 3] = [34, 26, 50];

/// Boots the kernel, with the store `pulled` on its disk, and prints what was tried there and what came of it.
pub(crate) fn show(generation: Generation, pulled: Option<&Path>) -> Result<()> {
    step("the Debian packages that booting a kernel needs");
    packages::provide_for_guest(Missing::InstallOrSay)?;
    if run::why_not().is_none() {
        step("static programs for the booted machine");
        sealpack_guest::programs::build()?;
        step("that machine's kernel and disk");
    }
    println!("# A stock Debian kernel is booted, with an IPE policy that lets only signed devices execute.");
    match run::demo(generation, pulled)? {
        Demo::Skipped(why) => println!("# skipped: {why}"),
        Demo::Shown(version, rows) => {
            println!("# What Linux {version} said there:");
            print!("{}", table(&rows));
        }
    }
    Ok(())
}

/// Boots a sealed host, and prints how it came up, the containers on it, and what root tried there.
pub(crate) fn show_host(generation: Generation) -> Result<()> {
    step("the Debian packages that a sealed host needs");
    packages::provide_for_guest(Missing::InstallOrSay)?;
    step("a sealed host: a Debian with systemd in an OCI image, sealed, on a disk with its UKI");
    match host::demo::demo(generation)? {
        host::demo::Demo::Skipped(why) => println!("# skipped: {why}"),
        host::demo::Demo::Shown(console, rows) => {
            println!("# Firmware with Secure Boot started it, and nothing but what was signed runs there:");
            console.iter().for_each(|line| println!("  {line}"));
            println!("# Then containerd ran containers on it, and root tried to get out of all that:");
            print!("{}", table_of(["what was tried", "what came of it", "what is there for it"], &rows));
        }
    }
    Ok(())
}

fn table(rows: &[Row]) -> String {
    table_of(["what was tried", "what the kernel said", "its audit record, explained"], rows)
}

fn table_of(head: [&str; 3], rows: &[Row]) -> String {
    let head = head.map(str::to_owned);
    let line = WIDTHS.map(|width| "-".repeat(width));
    let rows = rows.iter().map(|row| [row.tried.clone(), row.said.clone(), row.explained.clone()]);
    [head, line.clone()].into_iter().chain(rows).chain([line]).map(|cells| lines(&cells)).collect()
}

/// A row, its cells broken into lines of their columns' widths.
fn lines(cells: &[String; 3]) -> String {
    let mut wrapped = [0, 1, 2].map(|column| wrap(&cells[column], WIDTHS[column]).into_iter());
    let mut text = String::new();
    loop {
        let line = wrapped.each_mut().map(Iterator::next);
        if line.iter().all(Option::is_none) {
            return text;
        }
        let padded = [0, 1, 2].map(|column| {
            let (cell, width) = (line[column].as_deref().unwrap_or_default(), WIDTHS[column]);
            format!("{cell:width$}")
        });
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
}

/// `text` in lines of at most `width` characters, broken at blanks where that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let mut word: Vec<char> = word.chars().collect();
            if !line.is_empty() && line.chars().count() + 1 + word.len() > width {
                lines.push(std::mem::take(&mut line));
            }
            while word.len() > width {
                lines.push(word.drain(..width).collect());
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_broken_at_blanks_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("a\nb", 3), ["a", "b"]);
        assert!(wrap("", 3).is_empty());
    }

    #[test]
    fn a_row_is_as_high_as_its_highest_cell() {
        let row = Row { tried: "x".into(), said: "y".into(), explained: "word ".repeat(20) };
        let text = table(&[row]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3 + 2);
        assert!(lines[2].starts_with('x') && lines[2].ends_with("word"), "{text}");
        assert!(lines[3].starts_with("  ") && lines[3].ends_with("word"), "{text}");
    }
}
