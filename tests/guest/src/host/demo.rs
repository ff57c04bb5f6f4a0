//! For the demo: a sealed host that comes up, containers on it, and what root tries there.

use super::build::{self, Workshop};
use super::machine::{Machine, Start};
use super::run::why_not;
use super::task::Task;
use crate::kernels::Generation;
use crate::programs;
use crate::report::{Line, Row};
use anyhow::{Result, ensure};
use std::fs;

/// So many lines of the console are shown, up to the login prompt.
const LINES: usize = 24;

/// What the demo shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demo {
    /// What the console showed, and what was tried, in order.
    Shown(Vec<String>, Vec<Row>),
    /// Why no host could be booted.
    Skipped(String),
}

/// Makes a host, boots it, and has root try what it can.
///
/// # Errors
/// If something is missing, or the host does not get to the demo's end; the message has its log.
pub fn demo(generation: Generation) -> Result<Demo> {
    if let Some(why) = why_not() {
        return Ok(Demo::Skipped(why));
    }
    let programs = programs::build()?;
    let work = build::work()?;
    let Some(workshop) = Workshop::new(generation, &programs, work.path())? else {
        return Ok(Demo::Skipped(format!("Debian has no stock kernel {} to fetch", generation.name())));
    };
    let disk = workshop.disk_for_containers()?;
    let registry = workshop.publish_for_containers()?;
    let dir = workshop.file("shown");
    fs::create_dir(&dir)?;
    let machine = Machine::new(&dir, &disk, &workshop.variables()?)?;
    let task = Some(Task { demo: true, ..Task::checks(&[]) });
    let ended = machine.run(&Start { task, registry: Some(registry.host()), ..Start::default() }, |_| {})?;
    ensure!(ended.lines.last() == Some(&Line::Done), "the host did not get to the end:\n{}", ended.log);
    let row = |line| if let Line::Row(row) = line { Some(row) } else { None };
    Ok(Demo::Shown(console(&ended.log), ended.lines.into_iter().filter_map(row).collect()))
}

/// What Sealpack and systemd said on the console, up to the login prompt, without the kernel's own lines.
fn console(log: &str) -> Vec<String> {
    let lines: Vec<String> = log.lines().map(plain).collect();
    let prompt = lines.iter().position(|line| line.contains(" login: "));
    let lines = &lines[..prompt.map_or(lines.len(), |prompt| prompt + 1)];
    let is_shown = |line: &&String| {
        let is_ours = line.contains("] sealpack") && !line.contains("audit");
        is_ours
            || line.contains("[  OK  ] Reached target")
            || line.contains("Welcome to")
            || line.contains(" login: ")
    };
    let mut shown: Vec<String> = lines.iter().filter(is_shown).cloned().collect();
    if let Some(last) = shown.last_mut()
        && let Some(place) = last.find(" login: ")
    {
        // What the kernel said afterwards is in the same line.
        last.truncate(place + " login:".len());
    }
    let drop = shown.len().saturating_sub(LINES);
    shown.split_off(drop)
}

/// A line without what colours it and moves the cursor (ECMA-48, control sequences).
fn plain(line: &str) -> String {
    let (mut text, mut characters) = (String::new(), line.chars());
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            text.push(character);
            continue;
        }
        if characters.next() == Some('[') {
            // Parameters and intermediate characters come before the one that ends it.
            _ = characters.by_ref().find(|character| ('@'..='~').contains(character));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_shown_up_to_the_prompt_without_colours_and_the_kernels_lines() {
        let log = "[    5.6] sealpack: the policy host 1.0.0 is enforced\n[    5.7] audit: sealpack\n\
                   [\u{1b}[0;32m  OK  \u{1b}[0m] Reached target \u{1b}[0;1;39mgetty.target\u{1b}[0m - Login Prompts.\n\
                   [    9.0] audit: type=1130\nsealed login: [   39.1] audit: type\nmore\n";
        let shown = console(log);
        assert_eq!(
            shown,
            [
                "[    5.6] sealpack: the policy host 1.0.0 is enforced",
                "[  OK  ] Reached target getty.target - Login Prompts.",
                "sealed login:"
            ]
        );
    }
}
