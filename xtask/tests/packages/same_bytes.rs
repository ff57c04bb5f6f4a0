//! That packages follow from the source alone.

use crate::built::{Built, make, why_not};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{run, run_with_input};
use sealpack_tests::{files, paths, skip};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// The places that a program could tell of where it was built.
fn places() -> Result<Vec<String>> {
    let home =
        std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    Ok(vec![paths::workspace().display().to_string(), home.context("no home")?])
}

#[test]
fn no_program_tells_where_it_was_built() -> Result<()> {
    if let Some(why) = why_not()? {
        skip(why);
        return Ok(());
    }
    let built = Built::new()?;
    let place = tempfile::tempdir()?;
    for name in ["sealpack", "sealpack-snapshotter", "sealpack-host"] {
        run(Command::new("dpkg-deb").arg("--extract").arg(built.deb(name)?).arg(place.path().join(name)))?;
    }
    let mut all = files::below(place.path())?;
    ensure!(all.iter().any(|path| path.ends_with("usr/lib/sealpack/init")), "{all:?}");
    if !sealpack_tests::all() {
        // The other programs of an ordinary run are the tests' own.
        all.retain(|path| path.ends_with("usr/lib/sealpack/init"));
    } else {
        let tarball = place.path().join("tarball");
        fs::create_dir(&tarball)?;
        let from = built.file("sealpack-", ".tar.gz")?;
        run(Command::new("tar").arg("--extract").arg("--file").arg(from).arg("--directory").arg(&tarball))?;
        all.extend(files::below(&tarball)?);
    }
    for path in all {
        let content = fs::read(&path)?;
        for named in places()? {
            let found = content.windows(named.len()).position(|bytes| bytes == named.as_bytes());
            ensure!(found.is_none(), "{} has {named} in it, at {found:?}", path.display());
        }
    }
    Ok(())
}

#[test]
fn a_second_build_in_another_directory_makes_the_same_files() -> Result<()> {
    if !sealpack_tests::all() {
        skip("packages are made twice by `cargo xtask test --all`");
        return Ok(());
    }
    if let Some(why) = why_not()? {
        skip(why);
        return Ok(());
    }
    let built = Built::new()?;
    let place = tempfile::Builder::new().prefix("second-").tempdir_in(paths::fixtures())?;
    let (copy, made) = (place.path().join("a/copy/of/it"), place.path().join("made"));
    copy_sources(&copy)?;
    let time =
        run(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(paths::workspace()))?.stdout;
    let mut xtask = Command::new("cargo");
    xtask
        .args(["run", "--quiet", "--package", "xtask", "--"])
        .current_dir(&copy)
        .env_remove("CARGO_TARGET_DIR");
    xtask.env("SOURCE_DATE_EPOCH", String::from_utf8(time)?.trim());
    // What tells the commit is not in a copy; the name stands in the changelogs.
    run(Command::new("cp").arg("-a").arg(paths::workspace().join(".git")).arg(&copy))?;
    make(&mut xtask, &made)?;
    let names = |directory: &Path| -> Result<Vec<_>> {
        let mut names =
            fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    };
    ensure!(names(&made)? == names(built.directory())?, "{:?}", names(&made)?);
    for name in names(&made)? {
        let (one, other) = (fs::read(built.directory().join(&name))?, fs::read(made.join(&name))?);
        ensure!(one == other, "{name:?} is another one");
    }
    Ok(())
}

/// What git has, as it is now.
fn copy_sources(to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(paths::workspace());
    let place = tempfile::tempdir()?;
    let (names, tar) = (place.path().join("names"), place.path().join("tar"));
    fs::write(&names, run(&mut list)?.stdout)?;
    let mut create = Command::new("tar");
    create.args(["--create", "--null", "--files-from"]).arg(&names).arg("--file").arg(&tar);
    run(create.current_dir(paths::workspace()))?;
    run_with_input(Command::new("tar").arg("--extract").current_dir(to), File::open(&tar)?).map(drop)
}
