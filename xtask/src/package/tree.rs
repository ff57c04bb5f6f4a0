//! A directory that becomes a package or a tarball.

use anyhow::{Context, Result};
use sealpack_tests::command::run_with_input;
use std::fs::{self, File, Permissions};
use std::io::{Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a file in it is.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A program, copied from there.
    Program(PathBuf),
    /// A file that nobody executes.
    File(Vec<u8>),
    /// The same, which is kept compressed.
    Compressed(Vec<u8>),
    /// A link to that.
    Link(&'static str),
    /// A directory that may be empty.
    Directory,
}

/// A path without a slash in front, and what is there.
pub(super) type Entry = (String, Node);

/// Puts `entries` below `root`.
pub(super) fn write(root: &Path, entries: &[Entry]) -> Result<()> {
    for (path, node) in entries {
        let path = root.join(path);
        put(root, &path, node).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn put(root: &Path, path: &Path, node: &Node) -> Result<()> {
    let directory =
        if matches!(node, Node::Directory) { path } else { path.parent().context("no directory")? };
    make_directory(root, directory)?;
    match node {
        Node::Program(from) => {
            fs::copy(from, path)?;
            set_mode(path, 0o755)
        }
        Node::File(content) => {
            fs::write(path, content)?;
            set_mode(path, 0o644)
        }
        Node::Compressed(content) => {
            fs::write(path, gzip(content)?)?;
            set_mode(path, 0o644)
        }
        Node::Link(target) => Ok(symlink(target, path)?),
        Node::Directory => Ok(()),
    }
}

/// With the mode that packages have, whatever the umask is.
fn make_directory(root: &Path, directory: &Path) -> Result<()> {
    if !directory.is_dir() {
        if let Some(above) = directory.parent().filter(|_| directory != root) {
            make_directory(root, above)?;
        }
        fs::create_dir_all(directory)?;
        set_mode(directory, 0o755)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// With neither name nor time in it.
pub(super) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut input: File = tempfile::tempfile()?;
    input.write_all(content)?;
    input.rewind()?;
    Ok(run_with_input(Command::new("gzip").args(["-9", "--no-name", "--stdout"]), input)?.stdout)
}
