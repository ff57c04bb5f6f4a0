//! docs/rollout.md: every command, on the machines that it speaks of.

use crate::page::{Block, blocks};
use crate::site::Site;
use anyhow::{Result, ensure};
use sealpack_tests::command::find;
use sealpack_tests::skip;

#[test]
fn the_commands_of_the_page_about_a_fleet_do_what_it_says() -> Result<()> {
    for program in ["openssl", "flock", "tar"] {
        if find(program).is_none() {
            skip(format!("{program} is not installed"));
            return Ok(());
        }
    }
    let blocks = blocks("docs/rollout.md")?;
    let run = blocks.iter().filter(|block| matches!(block, Block::Commands { .. })).count();
    ensure!(run > 12, "only {run} blocks are run");
    Site::new()?.follow(&blocks)
}
