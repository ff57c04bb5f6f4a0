//! README.md's ten commands.

use crate::page::{Block, blocks};
use crate::site::Site;
use anyhow::{Result, ensure};
use sealpack_tests::command::is_root;
use sealpack_tests::skip;

#[test]
fn the_ten_commands_of_the_readme_do_what_it_says() -> Result<()> {
    let blocks = blocks("README.md")?;
    let count = |block: &Block| match block {
        Block::Commands { commands, .. } => commands.len(),
        Block::File { .. } | Block::Pipeline { .. } | Block::NotRun { .. } => 0,
    };
    let commands: usize = blocks.iter().map(count).sum();
    ensure!(commands == 10, "{commands} commands");
    if !is_root() {
        skip("mounting needs the superuser");
        return Ok(());
    }
    Site::new()?.follow(&blocks)
}
