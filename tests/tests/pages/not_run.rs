//! What nobody types in these tests: it is shown by checks of booted kernels, and the pages say by which.

use crate::page::{Block, blocks};
use anyhow::{Result, ensure};
use sealpack_tests::paths;
use std::fs;

#[test]
fn what_is_not_run_is_shown_by_checks_that_there_are() -> Result<()> {
    let read = |path: &str| fs::read_to_string(paths::workspace().join(path));
    let checks = read("tests/guest/src/checks.rs")? + &read("tests/guest/src/host/checks.rs")?;
    let mut shown = 0;
    for page in ["README.md", "docs/everyday.md", "docs/rollout.md"] {
        let text = read(page)?;
        for block in blocks(page)? {
            let Block::NotRun { checks: names } = block else { continue };
            for name in names {
                ensure!(checks.contains(&format!("\"{name}\"")), "{page}: there is no check {name}");
                ensure!(text.contains(&format!("`{name}`")), "{page}: readers are not told of {name}");
                shown += 1;
            }
        }
    }
    ensure!(shown > 0, "nothing is left out, and this test has to go");
    Ok(())
}
