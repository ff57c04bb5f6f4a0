//! docs/everyday.md: every command that needs no kernel which enforces.

use crate::page::blocks;
use crate::site::Site;
use anyhow::Result;
use sealpack_tests::command::is_root;
use sealpack_tests::skip;

#[test]
fn the_commands_of_the_page_about_every_day_do_what_it_says() -> Result<()> {
    if !is_root() {
        skip("mounting needs the superuser");
        return Ok(());
    }
    Site::new()?.follow(&blocks("docs/everyday.md")?)
}
