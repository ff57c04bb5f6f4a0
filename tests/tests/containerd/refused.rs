//! What the snapshotter is started with, or asked for, and cannot be: one error each, which names it.

use crate::can_run;
use anyhow::{Context, Result, ensure};
use prost::Message;
use sealpack_test_cri::connection::{Connection, Empty};
use sealpack_tests::command::attempt;
use sealpack_tests::containerd::{Enclosure, served};
use sealpack_tests::program;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use tonic::Code;

/// Has the program start with settings, end by itself, and say these words in one line.
fn is_not_started(enclosure: &Enclosure, settings: &str, words: &[&str]) -> Result<()> {
    let file = enclosure.data("bad.toml");
    fs::write(&file, settings)?;
    let mut command = enclosure.command("timeout");
    command.args(["--kill-after=5", "60"]).arg(program::snapshotter_under_test()?);
    program::isolate(&mut command);
    command.env_remove("SEALPACK_TRUST").arg("--config").arg(&file);
    let output = attempt(&mut command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{settings}: {}: {said}", output.status);
    let line = said.lines().find(|line| line.contains("level=error"));
    let line = line.with_context(|| format!("{settings}: no error in {said}"))?;
    let missing = words.iter().find(|word| !line.contains(**word));
    ensure!(missing.is_none(), "{settings}: {missing:?} is missing in {line}");
    Ok(())
}

#[test]
fn a_snapshotter_that_cannot_serve_ends_with_one_error() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let enclosure = Enclosure::new()?;
    let running = served::start_alone(&enclosure)?;
    let (store, socket) = (served::store(&enclosure), served::socket(&enclosure));
    let another = enclosure.data("another");
    let bad = |text: String, words: &[&str]| is_not_started(&enclosure, &text, words);
    bad(format!("store = {store:?}\n[snapshotter]\nsocket = \"/run/x.sock\"\n"), &["state.redb", "in use"])?;
    bad(
        format!("store = {another:?}\n[snapshotter]\nsocket = {socket:?}\n"),
        &[&socket.display().to_string(), "in use: another program serves there"],
    )?;
    let precious = enclosure.data("precious");
    fs::write(&precious, "precious")?;
    bad(format!("store = {another:?}\n[snapshotter]\nsocket = {precious:?}\n"), &["precious is no socket"])?;
    assert_eq!(fs::read_to_string(&precious)?, "precious");
    bad("stroe = \"/s\"\n".to_owned(), &["bad.toml", "line 1", "stroe"])?;
    bad("[snapshotter]\nsocket = \"here.sock\"\n".to_owned(), &["snapshotter.socket", "absolute"])?;
    bad("[registry.helpers]\nvault = \"vault\"\n".to_owned(), &["registry.helpers.vault", "absolute"])?;
    bad(format!("store = {another:?}\n[snapshotter]\nmounts = \"/run/a,b\"\n"), &["/run/a,b"])?;
    bad(format!("store = {precious:?}\n"), &["precious"])?;
    // Whoever was there goes on.
    running.stop()
}

/// The first fields of requests for snapshots, behind `snapshotter`.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "2")]
    key: String,
    #[prost(string, tag = "3")]
    parent: String,
}

#[test]
fn what_snapshots_cannot_be_is_answered_with_the_code_that_containerd_wants() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let enclosure = Enclosure::new()?;
    let running = served::start_alone(&enclosure)?;
    let mut connection = Connection::new(&served::socket(&enclosure))?;
    let mut ask = |method: &str, key: &str, parent: &str| {
        let request = Request { key: key.to_owned(), parent: parent.to_owned() };
        let method = format!("containerd.services.snapshots.v1.Snapshots/{method}");
        connection.call::<_, Empty>(&method, request)
    };
    ask("Prepare", "ns/1/here", "")?;
    let refused = [
        ("Prepare", "ns/1/here", "", Code::AlreadyExists, "ns/1/here"),
        ("Prepare", "ns/2/new", "ns/1/nowhere", Code::NotFound, "ns/1/nowhere"),
        ("Prepare", "ns/2/new", "ns/1/here", Code::FailedPrecondition, "ns/1/here"),
        ("View", "ns/2/new", "ns/1/nowhere", Code::NotFound, "ns/1/nowhere"),
        ("Prepare", "", "", Code::InvalidArgument, "key"),
        ("Mounts", "ns/1/nowhere", "", Code::NotFound, "ns/1/nowhere"),
        ("Remove", "ns/1/nowhere", "", Code::NotFound, "ns/1/nowhere"),
    ];
    for (method, key, parent, code, word) in refused {
        let status = ask(method, key, parent).err().with_context(|| format!("{method} {key} was done"))?;
        ensure!(status.code() == code, "{method} {key:?} {parent:?}: {status:?}");
        let is_one_line = !status.message().contains('\n');
        ensure!(status.message().contains(word) && is_one_line, "{method} {key}: {}", status.message());
    }
    running.stop()
}

/// `containerd` as it would be installed, of which only the version is asked.
#[test]
fn a_containerd_that_is_too_old_or_none_gets_no_configuration() -> Result<()> {
    let place = tempfile::tempdir()?;
    let program = place.path().join("containerd");
    let configure = |says: &str| -> Result<(Option<i32>, String)> {
        fs::write(&program, format!("#!/bin/sh\necho '{says}'\n"))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let file = place.path().join("config.toml");
        let mut command: Command = program::start(program::under_test()?);
        command
            .args(["containerd", "configure", "--write", "--program"])
            .arg(&program)
            .arg("--file")
            .arg(&file);
        let output = attempt(&mut command)?;
        ensure!(!file.exists(), "a file was written for {says}");
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    for (says, word) in [
        ("containerd github.com/containerd/containerd 1.5.13 x", "1.5 is too old: 1.6 is the first"),
        ("containerd github.com/containerd/containerd/v2 3.0.0 x", "3.0 is newer"),
        ("something else", "is not what containerd says"),
    ] {
        let (status, said) = configure(says)?;
        ensure!(status == Some(1) && said.contains(word), "{says}: {status:?}: {said}");
    }
    let mut command = program::start(program::under_test()?);
    let output = attempt(command.args(["containerd", "configure", "--program", "/nowhere/containerd"]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    ensure!(said.contains("/nowhere/containerd") && said.contains("hint: --program"), "{said}");
    Ok(())
}
