//! docs/rollout.md: every command, on the machines that it speaks of.

use crate::page::{Block, blocks};
use crate::site::Site;
use anyhow::{Result, ensure};
use sealpack_tests::command::find;
use sealpack_tests::{paths, skip};
use std::fs;

const PAGE: &str = "docs/rollout.md";

#[test]
fn the_commands_of_the_page_about_a_fleet_do_what_it_says() -> Result<()> {
    for program in ["openssl", "flock", "tar"] {
        if find(program).is_none() {
            skip(format!("{program} is not installed"));
            return Ok(());
        }
    }
    let blocks = blocks(PAGE)?;
    let run = blocks.iter().filter(|block| matches!(block, Block::Commands { .. })).count();
    ensure!(run > 12, "only {run} blocks are run");
    Site::new()?.follow(&blocks)
}

#[test]
fn what_is_not_run_is_shown_by_checks_that_there_are() -> Result<()> {
    let mut checks = String::new();
    for list in ["tests/guest/src/checks.rs", "tests/guest/src/host/checks.rs"] {
        checks += &fs::read_to_string(paths::workspace().join(list))?;
    }
    let text = fs::read_to_string(paths::workspace().join(PAGE))?;
    let mut shown = 0;
    for block in blocks(PAGE)? {
        let Block::NotRun { checks: names } = block else { continue };
        for name in names {
            ensure!(checks.contains(&format!("\"{name}\"")), "there is no check {name}");
            ensure!(text.contains(&format!("`{name}`")), "readers are not told of {name}");
            shown += 1;
        }
    }
    ensure!(shown > 0, "nothing is left out, and this test has to go");
    Ok(())
}
