//! What images, servers and the names of files say is shown on a terminal, and never obeyed by it.

use crate::support::*;
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Fault, Image, ImageLayer};
use sealpack_tests::command::find;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::architecture;
use sealpack_tests::skip;
use std::process::Command;

/// Characters that are not seen, or turn what is around them: C0, C1, directions, joiners, tags.
const ACTING: [char; 12] = [
    '\u{7}',
    '\u{1b}',
    '\u{7f}',
    '\u{9b}',
    '\u{202e}',
    '\u{2066}',
    '\u{2069}',
    '\u{200b}',
    '\u{200f}',
    '\u{feff}',
    '\u{ad}',
    '\u{e0041}',
];

fn acting() -> String {
    ACTING.iter().collect()
}

/// What the command shows on a terminal, all of it; nothing where there is no program that makes one.
fn on_a_terminal(desk: &Desk, arguments: &[&str]) -> Result<Option<String>> {
    on_a_terminal_of(80, desk, arguments)
}

/// The same, on one of so many columns.
pub(crate) fn on_a_terminal_of(columns: usize, desk: &Desk, arguments: &[&str]) -> Result<Option<String>> {
    if find("script").is_none() {
        skip("script is not installed");
        return Ok(None);
    }
    let program = desk.sealpack.command(arguments);
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    let quoted: Vec<String> =
        words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))).collect();
    let mut script = Command::new("script");
    let command = format!("stty cols {columns} rows 24; exec {}", quoted.join(" "));
    script.args(["-qec", &command, "/dev/null"]).current_dir(desk.dir.path());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let output = script.stdin(std::process::Stdio::null()).output()?;
    Ok(Some(String::from_utf8(output.stdout).context("not UTF-8")?))
}

/// That none of the characters is in what a command shows, except those that the program itself moves the cursor with.
fn shows_none(desk: &Desk, arguments: &[&str]) -> Result<String> {
    let Some(shown) = on_a_terminal(desk, arguments)? else { return Ok(String::new()) };
    for acting in ACTING.into_iter().filter(|acting| *acting != '\u{1b}') {
        ensure!(!shown.contains(acting), "{arguments:?}: {acting:?} in {shown:?}");
    }
    // Bars are drawn with `ESC [`; this sequence is the image's.
    ensure!(!shown.contains("\u{1b}]0;"), "{arguments:?}: {shown:?}");
    Ok(shown)
}

/// An image with files of such names, and a config that says such things of itself.
fn acting_image() -> Image {
    let name = format!("name-{}-\u{1b}]0;title", acting());
    let layer = ImageLayer::plain(&archive(&[
        Entry::new(&name, Member::File(b"content".to_vec())),
        Entry::new("turned-\u{202e}cba", Member::File(b"content".to_vec())),
        Entry::new("link", Member::Symlink(name.clone())),
    ]));
    Image::new(&format!("linux/{}", architecture()), vec![layer])
}

#[test]
fn names_of_files_do_nothing_to_a_terminal() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &acting_image());
    shows_none(&desk, &["pull", &source])?;
    desk.succeeds(&["pull", &source])?;
    let other = desk.serve("two", &image(2));
    desk.succeeds(&["pull", &other])?;
    for arguments in [
        &["ls", "-R", &source][..],
        &["ls", "-l", &source],
        &["diff", &source, &other],
        &["inspect", &source],
        &["images"],
        &["history", &source],
        &["verify", &source],
        &["--json", "ls", &source],
        &["--json", "diff", &source, &other],
    ] {
        shows_none(&desk, arguments)?;
    }
    let shown = shows_none(&desk, &["ls", &source])?;
    ensure!(shown.is_empty() || shown.contains("turned-\\u{202e}cba"), "the name is not shown: {shown}");
    Ok(())
}

#[test]
fn what_servers_answer_does_nothing_to_a_terminal() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &image(1));
    let said =
        format!("{{\"errors\":[{{\"code\":\"DENIED\",\"message\":\"no{}\\u202e\u{1b}]0;t\"}}]}}", acting());
    desk.registry.fault(Fault::answer("/manifests/", 404, ("content-type", "application/json"), &said));
    for verb in [&["pull", &source][..], &["copy", &source, "oci:x"], &["--json", "pull", &source]] {
        shows_none(&desk, verb)?;
    }
    Ok(())
}

#[test]
fn what_is_given_on_the_command_line_does_nothing_to_a_terminal() -> Result<()> {
    let desk = Desk::new()?;
    let given = format!("app{}:\u{1b}]0;t", acting());
    for arguments in [
        &["pull", &given][..],
        &["inspect", &given],
        &["tag", "a", &given],
        &["doctor", "--require", &given],
        &["pull", &format!("--{given}")],
        &[&given],
        &["key", "show", &given],
        &["pull", &format!("oci:{given}")],
        &["policy", "explain", &given],
    ] {
        shows_none(&desk, arguments)?;
    }
    Ok(())
}

/// Whoever wants a file's bytes gets them.
#[test]
fn cat_gives_bytes_as_they_are() -> Result<()> {
    let desk = Desk::new()?;
    let bytes = acting();
    let layer = ImageLayer::plain(&archive(&[Entry::new("file", Member::File(bytes.clone().into_bytes()))]));
    let source = desk.serve("one", &Image::new(&format!("linux/{}", architecture()), vec![layer]));
    desk.succeeds(&["pull", &source])?;
    if let Some(shown) = on_a_terminal(&desk, &["cat", &source, "/file"])? {
        ensure!(shown == bytes, "{shown:?}");
    }
    Ok(())
}

/// Machines get every character, in JSON that is the same wherever it goes.
#[test]
fn json_names_such_characters_by_number_and_means_them() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &acting_image());
    desk.succeeds(&["pull", &source])?;
    let output = desk.attempt(&["--json", "ls", "-R", &source])?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(ACTING.iter().all(|acting| !text.contains(*acting)), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text)?;
    ensure!(value.to_string().contains('\u{202e}') || text.contains("202e"), "{text}");
    Ok(())
}
