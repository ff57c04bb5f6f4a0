//! Directories that are no store, or none for this program or this user.

use crate::support::*;
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{is_root, run};
use sealpack_tests::refusal::{Exit, judge};
use sealpack_tests::skip;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const NOBODY: u32 = 65534;

/// Every command that uses a store, with a directory to mount on and a source to pull from.
fn every_command<'a>(dir: &'a str, source: &'a str) -> Vec<Vec<&'a str>> {
    vec![
        vec!["pull", source, "--name", "other"],
        vec!["images"],
        vec!["inspect", "good"],
        vec!["tag", "good", "better"],
        vec!["rm", "good"],
        vec!["mount", "good", dir],
        vec!["ls", "good"],
        vec!["cat", "good", "/etc/motd"],
        vec!["diff", "good", "good"],
        vec!["gc"],
        vec!["fsck"],
    ]
}

/// All commands must fail so, and leave the files of the store alone.
fn all_fail(case: &Case, words: &[&str], except: &[&str]) -> Result<()> {
    let dir = case.directory("mnt")?;
    let (dir, source) = (dir.to_string_lossy().into_owned(), case.layout(&good_image())?);
    for arguments in every_command(&dir, &source) {
        if !except.contains(&arguments[0]) {
            case.sealpack.fails(Exit::Failed, arguments, words)?;
        }
    }
    Ok(())
}

/// Changes `meta.json` of the store.
fn with_meta(case: &Case, change: impl FnOnce(&mut Value)) -> Result<()> {
    let path = case.sealpack.store().join("meta.json");
    let mut meta: Value = serde_json::from_slice(&fs::read(&path)?)?;
    change(&mut meta);
    fs::remove_file(&path)?;
    Ok(fs::write(&path, meta.to_string())?)
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() -> Result<()> {
    let case = Case::new()?;
    with_meta(&case, |meta| meta["version"] = 2.into())?;
    let store = case.sealpack.store();
    all_fail(&case, &[&store.to_string_lossy(), "version 2", "newer sealpack"], &[])
}

#[test]
fn a_store_with_features_that_are_not_known_is_left_alone() -> Result<()> {
    let case = Case::new()?;
    with_meta(&case, |meta| meta["incompat"] = serde_json::json!(["folding", "spindling"]))?;
    let store = case.sealpack.store();
    all_fail(&case, &[&store.to_string_lossy(), "folding, spindling", "newer sealpack"], &[])
}

#[test]
fn a_store_with_features_that_can_be_ignored_is_used() -> Result<()> {
    let case = Case::new()?;
    with_meta(&case, |meta| {
        meta["compat"] = serde_json::json!(["decoration"]);
        meta["remark"] = "of a later program".into();
    })?;
    case.sealpack.state().map(drop)
}

#[test]
fn a_store_whose_description_is_damaged_is_left_alone() -> Result<()> {
    for broken in ["", "{", "[]", r#"{"format":"something else","version":1}"#] {
        let case = Case::new()?;
        let path = case.sealpack.store().join("meta.json");
        fs::remove_file(&path)?;
        fs::write(&path, broken)?;
        all_fail(&case, &[&path.to_string_lossy(), "damaged"], &[])?;
    }
    Ok(())
}

#[test]
fn a_store_of_somebody_else_is_left_alone() -> Result<()> {
    if !is_root() {
        skip("giving a store away needs the superuser");
        return Ok(());
    }
    let case = Case::new()?;
    std::os::unix::fs::chown(case.sealpack.store(), Some(NOBODY), None)?;
    let store = case.sealpack.store();
    all_fail(&case, &[&store.to_string_lossy(), "belongs to user 65534", "user 0"], &[])
}

/// `command` as the user nobody, in directories that are open to all.
fn as_nobody(command: &Command) -> Command {
    let mut other = Command::new("setpriv");
    let id = NOBODY.to_string();
    other.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
    other.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

/// Opens the way to the store for everybody; says so when nobody cannot get there all the same.
fn nobody_can_run(case: &Case) -> Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        skip("becoming another user needs the superuser");
        return Ok(false);
    }
    let store = case.sealpack.store();
    let above = store.parent().context("a store lies somewhere")?;
    fs::set_permissions(above, fs::Permissions::from_mode(0o755))?;
    let can = run(&mut as_nobody(&case.sealpack.command(["--version"]))).is_ok()
        && run(&mut as_nobody(Command::new("ls").arg(above))).is_ok();
    if !can {
        skip("the user nobody cannot run programs below the target directory");
    }
    Ok(can)
}

#[test]
fn a_store_of_root_is_refused_to_others_with_whose_it_is() -> Result<()> {
    let case = Case::new()?;
    if !nobody_can_run(&case)? {
        return Ok(());
    }
    let store = case.sealpack.store().to_string_lossy().into_owned();
    let words = [store.as_str(), "belongs to user 0", "user 65534"];
    let source = case.layout(&good_image())?;
    for arguments in every_command("/mnt", &source) {
        judge(&mut as_nobody(&case.sealpack.command(arguments)), Exit::Failed, &words)?;
    }
    case.sealpack.state().map(drop)
}

#[test]
fn a_store_that_may_not_be_made_is_named_with_the_reason() -> Result<()> {
    let case = Case::without_store()?;
    if !nobody_can_run(&case)? {
        return Ok(());
    }
    let registry = sealpack_test_registry::Registry::start();
    let source = serve(&registry, &good_image());
    let store = case.sealpack.store().to_string_lossy().into_owned();
    let mut command = as_nobody(&case.sealpack.command(["pull", &source]));
    judge(&mut command, Exit::Failed, &[&store, "permission denied"])
}

#[test]
fn a_user_without_privileges_can_do_everything_but_mount() -> Result<()> {
    let case = Case::without_store()?;
    if !nobody_can_run(&case)? {
        return Ok(());
    }
    let store = case.sealpack.store();
    fs::create_dir(&store)?;
    std::os::unix::fs::chown(&store, Some(NOBODY), Some(NOBODY))?;
    let registry = sealpack_test_registry::Registry::start();
    let source = serve(&registry, &good_image());
    let nobody = |arguments: &[&str]| as_nobody(&case.sealpack.command(arguments));
    run(&mut nobody(&["pull", &source, "--name", "good"]))?;
    let read = run(&mut nobody(&["cat", "good", "/etc/motd"]))?;
    assert_eq!(read.stdout, text(1, 5000).as_bytes());
    for arguments in [&["fsck"][..], &["gc"], &["doctor"], &["ls", "-R", "good"], &["tag", "good", "better"]]
    {
        run(&mut nobody(arguments))?;
    }
    judge(&mut nobody(&["mount", "good", "/mnt"]), Exit::Failed, &["root"])
}

#[test]
fn a_directory_with_something_else_in_it_is_left_alone() -> Result<()> {
    let case = Case::without_store()?;
    let store = case.sealpack.store();
    fs::create_dir(&store)?;
    fs::write(store.join("precious"), "data")?;
    all_fail(&case, &[&store.to_string_lossy(), "not a store", "precious"], &[])?;
    ensure!(fs::read_dir(&store)?.count() == 1, "something was put beside it");
    Ok(())
}

#[test]
fn a_file_where_the_store_should_be_is_left_alone() -> Result<()> {
    let case = Case::without_store()?;
    let store = case.sealpack.store();
    fs::write(&store, "data")?;
    let source = case.layout(&good_image())?;
    for arguments in every_command("/mnt", &source) {
        judge(&mut case.sealpack.command(arguments), Exit::Failed, &[&store.to_string_lossy(), "directory"])?;
    }
    assert_eq!(fs::read_to_string(&store)?, "data");
    Ok(())
}

#[test]
fn only_a_pull_makes_a_store() -> Result<()> {
    let case = Case::without_store()?;
    let store = case.sealpack.store();
    all_fail(&case, &["no store at", &store.to_string_lossy(), "first pull"], &["pull", "images"])?;
    ensure!(!store.exists(), "a command that is no pull has made a store");
    Ok(())
}

/// A store keeps its algorithm for ever: one that a mistyped name has made would be in the way of the second try.
#[test]
fn a_first_pull_that_fails_makes_no_store() -> Result<()> {
    let case = Case::without_store()?;
    let registry = sealpack_test_registry::Registry::start();
    let source = format!("{}/no/such:image", registry.host());
    judge(&mut case.sealpack.command(["pull", &source]), Exit::Failed, &["does not exist"])?;
    let store = case.sealpack.store();
    ensure!(!store.exists(), "there is a store now: {:?}", case.sealpack.listing()?);
    let source = case.layout(&good_image())?;
    case.sealpack.run(["pull", "--digest", "sha512", &source, "--name", "good"])?;
    case.sealpack.state().map(drop)
}

#[test]
fn a_store_keeps_the_algorithm_that_it_was_made_with() -> Result<()> {
    let case = Case::new()?;
    let source = case.layout(&good_image())?;
    let words = ["sha256", "sha512", "another directory"];
    case.sealpack.refuses(Exit::Failed, ["pull", "--digest", "sha512", &source, "--name", "other"], &words)
}

#[test]
fn two_stores_know_nothing_of_each_other() -> Result<()> {
    let (one, other) = (Case::new()?, Case::new()?);
    one.sealpack.run(["tag", "good", "only-here"])?;
    other.sealpack.refuses(Exit::Failed, ["inspect", "only-here"], &["no image", "only-here"])?;
    other.sealpack.run(["rm", "good"])?;
    other.sealpack.run(["gc"])?;
    one.sealpack.state()?;
    assert_eq!(one.sealpack.run(["cat", "good", "/etc/motd"])?.stdout, text(1, 5000).as_bytes());
    Ok(())
}

/// Replaces the only file of the store whose path is so by another with a byte changed.
fn damage(case: &Case, wanted: impl Fn(&Path) -> bool) -> Result<()> {
    let path = case.sealpack.files()?.into_iter().find(|path| wanted(path)).context("no such file")?;
    let path = case.sealpack.store().join(path);
    let mut bytes = fs::read(&path)?;
    let at = bytes.len() - 2;
    bytes[at] ^= 1;
    fs::remove_file(&path)?;
    Ok(fs::write(&path, bytes)?)
}

#[test]
fn a_damaged_metadata_image_is_refused_by_all_that_read_it() -> Result<()> {
    let case = Case::new()?;
    damage(&case, |path| path.starts_with("images"))?;
    let dir = case.directory("mnt")?;
    let dir = dir.to_string_lossy();
    let words = ["images/", "fs-verity digest"];
    for arguments in [&["ls", "good"][..], &["cat", "good", "/etc/tiny"], &["diff", "good", "good"]] {
        case.sealpack.fails(Exit::Refused, arguments, &words)?;
    }
    if is_root() {
        case.sealpack.fails(Exit::Refused, ["mount", "good", &dir], &words)?;
    } else {
        skip("mounting needs the superuser");
    }
    let fsck = case.sealpack.attempt(["fsck"])?;
    assert_eq!(fsck.status.code(), Some(3));
    Ok(())
}

#[test]
fn nothing_is_printed_of_a_damaged_file() -> Result<()> {
    let case = Case::new()?;
    let digest = case.sealpack.json(["ls", "good", "/etc/motd"])?["files"][0]["fsverity_digest"]
        .as_str()
        .map(str::to_owned);
    let digest = digest.context("the file has no object")?;
    let (fan, rest) = digest.split_at(2);
    damage(&case, |path| path == Path::new("objects").join(fan).join(rest))?;
    case.sealpack.fails(Exit::Refused, ["cat", "good", "/etc/motd"], &[&digest])?;
    assert_eq!(case.sealpack.run(["cat", "good", "/usr/large"])?.stdout.len(), 300_000);
    Ok(())
}

#[test]
fn a_pull_mends_what_is_damaged_in_the_store() -> Result<()> {
    let case = Case::new()?;
    damage(&case, |path| path.starts_with("objects"))?;
    assert_eq!(case.sealpack.attempt(["fsck"])?.status.code(), Some(3));
    case.sealpack.run(["pull", &case.layout(&good_image())?, "--name", "good"])?;
    case.sealpack.state().map(drop)
}
