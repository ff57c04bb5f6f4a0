//! Small images for the guest: a base layer with a dynamically linked busybox and its libraries, and a layer on
//! top of it for each image.

use crate::attacks;
use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::images::{self, Image};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `/bin/script` of the image `one` prints.
pub const SCRIPT_SAYS: &str = "a script of image one runs";

/// What `/bin/inline` of both images prints.
pub const INLINE_SAYS: &str = "an inline script runs";

/// What `/bin/script` of the image `two` prints.
pub const OTHER_SCRIPT_SAYS: &str = "a script of image two runs";

/// What `private/file` of both images begins with, a file that only root may read.
pub const SECRET: &str = "only for root ";

/// How often it is repeated there: an object, not inline.
const SECRET_REPEATED: usize = 20;

/// A library that both images have, in their common layer.
pub const LIBRARY: &str = "lib/x86_64-linux-gnu/libc.so.6";

/// The images `one` and `two`, in layouts below `dir`.
///
/// # Errors
/// If the packages that they are made of cannot be fetched.
pub fn pair(dir: &Path) -> Result<[(&'static str, Image); 2]> {
    fs::create_dir_all(dir)?;
    let base = archive(&base()?);
    let image = |name: &'static str, top: Vec<Entry>| -> Result<_> {
        let layers = [(base.clone(), Packing::Zstd), (archive(&top), Packing::Zstd)];
        Ok((name, images::at(&dir.join(name), &layers)?))
    };
    let program = dir.join("program");
    attacks::program(&program)?;
    let mut one = scripts(SCRIPT_SAYS);
    // Set-user-ID, to show whether that counts.
    one.push(Entry::new("bin/program", Member::File(fs::read(&program)?)).mode(0o4755));
    Ok([image("one", one)?, image("two", scripts(OTHER_SCRIPT_SAYS))?])
}

fn scripts(says: &str) -> Vec<Entry> {
    let long = format!("#!/bin/sh\n# Longer than what is stored inline: this is an object.\necho {says}\n");
    let inline = format!("#!/bin/sh\necho {INLINE_SAYS}\n");
    [("bin/script", long), ("bin/inline", inline)]
        .map(|(path, text)| Entry::new(path, Member::File(text.into_bytes())).mode(0o755))
        .into()
}

fn base() -> Result<Vec<Entry>> {
    let root = packages(&["libc6", "busybox"])?;
    let find = |paths: &[&str]| {
        let found = paths.iter().map(|path| root.join(path)).find(|path| path.exists());
        let path = found.with_context(|| format!("no package has {}", paths[0]))?;
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut entries: Vec<_> =
        ["bin", "lib", "lib/x86_64-linux-gnu", "lib64", "proc", "tmp", "usr", "usr/share"]
            .map(|path| Entry::new(path, Member::Directory))
            .into();
    for name in ["ld-linux-x86-64.so.2", "libc.so.6", "libresolv.so.2"] {
        let path = format!("lib/x86_64-linux-gnu/{name}");
        let content = find(&[&path, &format!("usr/{path}")])?;
        entries.push(Entry::new(path, Member::File(content)).mode(0o755));
    }
    let loader = "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2".to_owned();
    entries.push(Entry::new("lib64/ld-linux-x86-64.so.2", Member::Symlink(loader)));
    let busybox = find(&["bin/busybox", "usr/bin/busybox"])?;
    entries.push(Entry::new("bin/busybox", Member::File(busybox)).mode(0o755));
    // What only its owner may read, however the layers are mounted.
    entries.push(Entry::new("private", Member::Directory).mode(0o700));
    let secret = Member::File(SECRET.repeat(SECRET_REPEATED).into_bytes());
    entries.push(Entry::new("private/file", secret).mode(0o600));
    for name in ["sh", "cat", "cp", "ls"] {
        entries.push(Entry::new(format!("bin/{name}"), Member::Symlink("busybox".to_owned())));
    }
    Ok(entries)
}

/// Debian packages of the host's release, fetched once and unpacked without being installed.
fn packages(names: &[&str]) -> Result<PathBuf> {
    let place = crate::place().join("packages");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let lock = File::create(place.join("lock"))?;
    lock.lock().context("cannot lock the place of packages")?;
    let root = place.join(names.join("-"));
    if root.exists() {
        return Ok(root);
    }
    let work = tempfile::tempdir_in(&place)?;
    // apt gives the download to a user of its own, who must be able to write here.
    rustix::fs::chmod(work.path(), rustix::fs::Mode::from_raw_mode(0o777))?;
    run(Command::new("apt-get").args(["download", "--quiet"]).args(names).current_dir(&work))?;
    for entry in fs::read_dir(&work)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(path).arg(work.path().join("root")))?;
        }
    }
    fs::rename(work.path().join("root"), &root)?;
    Ok(root)
}
