//! Random trees through C composefs's `mkcomposefs`, where it is installed.
//!
//! `PROPTEST_CASES` sets the number of trees.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip; the helpers are shared with other tests"
)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sealpack_format::dump::{self, Mode};
use sealpack_format::erofs::FormatVersion;

/// Runs `mkcomposefs` on a dump. `None` when it is not installed.
fn mkcomposefs(dump: &[u8], options: &[&str]) -> Option<Result<Vec<u8>, String>> {
    let child = Command::new("mkcomposefs")
        .args(options)
        .args(["--from-file", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("cannot start mkcomposefs: {error}"),
    };
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // What it refuses early, it does not read to the end.
        scope.spawn(move || drop(stdin.write_all(dump)));
        child.wait_with_output().unwrap()
    });
    Some(if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

#[test]
fn random_trees_give_the_image_that_mkcomposefs_writes() {
    if mkcomposefs(b"", &[]).is_none() {
        println!("skipped: there is no mkcomposefs (Debian package composefs) in PATH");
        return;
    }
    let mut runner = TestRunner::new(Config::default());
    let versions: [(Option<FormatVersion>, &[&str]); 3] = [
        (None, &[]),
        (Some(FormatVersion::V0), &["--min-version=0", "--max-version=0"]),
        (Some(FormatVersion::V1), &["--min-version=1", "--max-version=1"]),
    ];
    runner
        .run(&(common::tree(40), 0..3_usize), |(tree, choice)| {
            let dump = common::dump(&tree);
            let (version, options) = versions[choice];
            let theirs = mkcomposefs(&dump, options).unwrap();
            let parsed = dump::parse(&dump, Mode::Strict);
            if theirs.as_ref().is_err_and(|error| error.contains("Numerical result out of range")) {
                // Its count of attribute bytes wraps when it replaces an attribute that was not
                // counted: a mark of whiteouts that the directory has itself, with a value.
                return Ok(());
            }
            prop_assert_eq!(parsed.is_ok(), theirs.is_ok(), "{:?} / {:?}", parsed.err(), theirs.err());
            let (Ok(parsed), Ok(theirs)) = (parsed, theirs) else { return Ok(()) };
            let version = version.unwrap_or(FormatVersion::lowest_for(&parsed));
            let ours = common::image(&parsed, version);
            if ours != theirs {
                let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
                for (name, bytes) in [("dump", &dump), ("ours", &ours), ("theirs", &theirs)] {
                    fs::write(kept.join(name), bytes).unwrap();
                }
                let offset = ours.iter().zip(&theirs).take_while(|(one, other)| one == other).count();
                prop_assert!(false, "the images differ at {offset}; see {}", kept.display());
            }
            prop_assert!(common::image(&tree, version) == theirs);
            Ok(())
        })
        .unwrap();
}
