//! The difference of two directory trees as a tar layer, with the whiteouts of the OCI image specification.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{run, run_with_input};

/// Times later than this are set to it, in seconds since 1970, so that a layer does not depend on when it was made.
pub const EPOCH_SECONDS: u32 = 1_750_000_000;

/// Writes to `layer` the tar of what must be put over `lower` to obtain `upper`; all of it without `lower`.
///
/// Directories come before what is in them, names in the order of their bytes.
///
/// # Errors
/// If a tree cannot be read, or tar fails.
pub fn write_layer(lower: Option<&Path>, upper: &Path, layer: &Path) -> Result<()> {
    let mut changes = Changes::default();
    changes.compare(lower, upper, Path::new(""))?;
    let whiteouts = tempfile::tempdir()?;
    for removed in &changes.removed {
        let marker = whiteouts.path().join(whiteout(removed));
        fs::create_dir_all(marker.parent().context("a whiteout has a directory")?)?;
        fs::File::create(&marker)?;
    }
    let _ = fs::remove_file(layer);
    let removed: Vec<_> = changes.removed.iter().map(|path| whiteout(path)).collect();
    let everything = changes.present.iter().map(PathBuf::as_path);
    append(layer, upper, everything)?;
    append(layer, whiteouts.path(), removed.iter().map(PathBuf::as_path))
}

/// Appends `paths` below `dir` to the archive, each by itself.
fn append<'a>(archive: &Path, dir: &Path, paths: impl Iterator<Item = &'a Path>) -> Result<()> {
    let mut list = tempfile::tempfile()?;
    for path in paths {
        list.write_all(b"./")?;
        list.write_all(path.as_os_str().as_bytes())?;
        list.write_all(b"\0")?;
    }
    std::io::Seek::rewind(&mut list)?;
    let mut tar = Command::new("tar");
    tar.arg("--append")
        .arg("--file")
        .arg(archive)
        // Before the list, to whose names it applies.
        .arg("--directory")
        .arg(dir)
        .args(["--no-recursion", "--null", "--verbatim-files-from", "--files-from=-"])
        .args(["--format=pax", "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f"])
        .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "--clamp-mtime"])
        .arg(format!("--mtime=@{EPOCH_SECONDS}"));
    run_with_input(&mut tar, list).map(drop)
}

/// `a/.wh.b` for `a/b`.
fn whiteout(path: &Path) -> PathBuf {
    let mut name = OsString::from(".wh.");
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

/// Copies the tree at `from`, which must be a whole root directory, to the empty directory `to`.
///
/// # Errors
/// If tar or cp fails.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    run(Command::new("cp").args(["--archive", "--no-target-directory"]).arg(from).arg(to)).map(drop)
}

/// What differs, as paths relative to the trees' roots.
#[derive(Debug, Default)]
struct Changes {
    present: Vec<PathBuf>,
    removed: Vec<PathBuf>,
}

impl Changes {
    /// Compares the directory `at` of both trees, its own metadata included.
    fn compare(&mut self, lower: Option<&Path>, upper: &Path, at: &Path) -> Result<()> {
        let here = upper.join(at);
        let below = lower.map(|lower| lower.join(at)).filter(|dir| is_directory(dir));
        if below.as_deref().is_none_or(|below| differs(below, &here).unwrap_or(true)) {
            self.present.push(at.to_path_buf());
        }
        let names = names(&here)?;
        for name in &names {
            let path = at.join(name);
            if is_directory(&upper.join(&path)) {
                self.compare(lower, upper, &path)?;
            } else if match lower {
                Some(lower) => differs(&lower.join(&path), &upper.join(&path))?,
                None => true,
            } {
                self.present.push(path);
            }
        }
        if let Some(below) = below {
            let gone = self::names(&below)?.into_iter().filter(|name| !names.contains(name));
            self.removed.extend(gone.map(|name| at.join(name)));
        }
        Ok(())
    }
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

fn names(dir: &Path) -> Result<BTreeSet<OsString>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

/// Whether two paths differ in anything that a layer records.
fn differs(old: &Path, new: &Path) -> Result<bool> {
    let (Ok(a), b) = (old.symlink_metadata(), new.symlink_metadata()?) else { return Ok(true) };
    let facts = |m: &Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.rdev());
    if facts(&a) != facts(&b) || xattrs(old)? != xattrs(new)? {
        return Ok(true);
    }
    let kind = a.file_type();
    if kind.is_symlink() {
        return Ok(fs::read_link(old)? != fs::read_link(new)?);
    }
    if kind.is_dir() || kind.is_fifo() || kind.is_char_device() || kind.is_block_device() || kind.is_socket()
    {
        return Ok(false);
    }
    Ok(a.len() != b.len() || !same_bytes(old, new)?)
}

fn same_bytes(old: &Path, new: &Path) -> Result<bool> {
    let open = |path: &Path| -> Result<_> {
        Ok(BufReader::new(fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?))
    };
    let (mut a, mut b) = (open(old)?, open(new)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = a.read(&mut left)?;
        if read == 0 {
            return Ok(b.read(&mut right)? == 0);
        }
        if b.read_exact(&mut right[..read]).is_err() || left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

/// The names and values of a path's extended attributes.
fn xattrs(path: &Path) -> Result<Vec<(OsString, Vec<u8>)>> {
    let mut list = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut list)
        .with_context(|| format!("cannot list the extended attributes of {}", path.display()))?;
    let mut found = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        let mut value = vec![0; 1 << 16];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(length);
        found.push((OsString::from_vec(name.as_bytes().to_vec()), value));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::stdout;

    #[test]
    fn a_layer_has_what_changed_and_a_whiteout_for_what_is_gone() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (lower, upper, layer) =
            (dir.path().join("lower"), dir.path().join("upper"), dir.path().join("layer.tar"));
        for name in ["same", "other", "gone/a", "kept/gone", "turned/file"] {
            fs::create_dir_all(lower.join(name).parent().unwrap())?;
            fs::write(lower.join(name), name)?;
        }
        copy(&lower, &upper)?;
        fs::write(upper.join("other"), "OTHER")?;
        fs::remove_dir_all(upper.join("gone"))?;
        fs::remove_file(upper.join("kept/gone"))?;
        fs::remove_dir_all(upper.join("turned"))?;
        std::os::unix::fs::symlink("same", upper.join("turned"))?;
        run(Command::new("touch").args(["--date=@1600000000"]).arg(upper.join("kept")).arg(&upper))?;
        write_layer(Some(&lower), &upper, &layer)?;
        let listed = stdout(Command::new("tar").arg("-tf").arg(&layer))?;
        let names: BTreeSet<_> = listed.lines().map(|name| name.trim_end_matches('/')).collect();
        assert_eq!(
            names,
            BTreeSet::from([".", "./other", "./kept", "./turned", "./.wh.gone", "./kept/.wh.gone"])
        );
        Ok(())
    }
}
