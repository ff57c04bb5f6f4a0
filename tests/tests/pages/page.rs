//! A page's blocks of commands, and what is said of each in the comment before it.
//!
//! - `<!-- test: MACHINE -->`: the commands are run there, in the page's order;
//! - `<!-- test: MACHINE file PATH -->`: the block is a file there;
//! - `<!-- ci: NAME -->`: the block is that file of a system that builds images, which has its own test;
//! - `<!-- not run: CHECK… -->`: nobody runs them here; these checks of booted kernels show the same.

use anyhow::{Context, Result, bail, ensure};
use sealpack_tests::paths;
use std::fs;

/// A block that a comment is about.
#[derive(Debug)]
pub(crate) enum Block {
    Commands { machine: String, commands: Vec<Typed> },
    File { machine: String, path: String, text: String },
    Pipeline { name: String, text: String },
    NotRun { checks: Vec<String> },
}

/// One command, and what the page says comes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) text: String,
    /// The exit status: 0, or what the comment behind the command says, `# status N`.
    pub(crate) status: i32,
    /// Lines that it prints, in this order; others may be between them.
    pub(crate) prints: Vec<String>,
}

/// The blocks of a page, which is named by its path in the project.
///
/// # Errors
/// If a block of commands has no comment, or one that says nothing that is known.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>> {
    let text = fs::read_to_string(paths::workspace().join(page)).with_context(|| page.to_owned())?;
    parse(&text).with_context(|| format!("{page} cannot be tested"))
}

fn parse(page: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    let mut comment = None;
    while let Some((number, line)) = lines.next() {
        if let Some(said) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            ensure!(comment.is_none(), "line {number}: a comment that no block follows");
            comment = Some(said);
        } else if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            match comment.take() {
                Some(said) => {
                    blocks.push(block(said, &text).with_context(|| format!("line {number}: {said}"))?)
                }
                None => ensure!(language != "console", "line {}: nothing says who runs it", number + 1),
            }
        } else if comment.is_some() {
            bail!("line {}: a comment, and then no block", number + 1);
        }
    }
    Ok(blocks)
}

fn block(comment: &str, lines: &[&str]) -> Result<Block> {
    let words: Vec<&str> = comment.split_whitespace().collect();
    let text = || lines.iter().flat_map(|line| [*line, "\n"]).collect();
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    Ok(match words[..] {
        ["test:", machine] => Block::Commands { machine: machine.to_owned(), commands: commands(lines)? },
        ["test:", machine, "file", path] => {
            Block::File { machine: machine.to_owned(), path: path.to_owned(), text: text() }
        }
        ["ci:", name] => Block::Pipeline { name: name.to_owned(), text: text() },
        ["not", "run:", ..] if words.len() > 2 => Block::NotRun { checks: owned(&words[2..]) },
        _ => bail!("it says neither who runs the block nor who shows it"),
    })
}

fn commands(lines: &[&str]) -> Result<Vec<Typed>> {
    let mut commands: Vec<Typed> = Vec::new();
    for line in lines {
        if let Some(text) = line.strip_prefix("$ ") {
            let status = text.split_once(" # status ").map_or(Ok(0), |(_, status)| status.parse())?;
            commands.push(Typed { text: text.to_owned(), status, prints: Vec::new() });
        } else {
            let last = commands.last_mut().context("a block that does not begin with a command")?;
            last.prints.push(line.trim().to_owned());
        }
    }
    ensure!(!commands.is_empty(), "no commands");
    Ok(commands)
}

#[test]
fn a_block_of_commands_says_who_runs_it() {
    let page = "text\n\n<!-- test: desk -->\n```console\n$ false # status 1\nsays this\n$ true\n```\n";
    let blocks = parse(page).expect("it is a page");
    let [Block::Commands { machine, commands }] = &blocks[..] else { panic!("{blocks:?}") };
    let typed = |text: &str, status, prints: &[&str]| Typed {
        text: text.to_owned(),
        status,
        prints: prints.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(machine, "desk");
    assert_eq!(commands[..], [typed("false # status 1", 1, &["says this"]), typed("true", 0, &[])]);
}

#[test]
fn what_nobody_runs_and_nobody_shows_is_refused() {
    for page in [
        "```console\n$ true\n```\n",
        "<!-- not run: -->\n```console\n$ true\n```\n",
        "<!-- test: desk -->\n\n```console\n$ true\n```\n",
        "<!-- test: desk -->\n```console\nsays this\n```\n",
    ] {
        assert!(parse(page).is_err(), "{page}");
    }
}
