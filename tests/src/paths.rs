//! Where things are: the workspace, its target directory, and what the fixtures keep there.

use std::path::{Path, PathBuf};

/// The workspace's root, as it was when this crate was compiled.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the workspace").to_path_buf()
}

/// The one target directory: `$CARGO_TARGET_DIR`, or `target` in the workspace.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Relative to where cargo was called; cargo runs tests and xtask from other directories, so only
        // an absolute one can be followed with certainty.
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// Where fixture images are kept between runs.
pub fn fixtures() -> PathBuf {
    target().join("fixtures")
}

/// Where tools that are compared with are installed (`bin/` below it holds the programs).
pub fn tools() -> PathBuf {
    target().join("tools")
}
