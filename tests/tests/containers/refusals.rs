//! What cannot be run: one error each, the right status, and nothing left.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use sealpack_tests::layer_tar::{Entry, Member};
use serde_json::json;

use crate::support::{Desk, can_run, containers, entries, settings};

#[test]
fn what_the_image_does_not_have_is_named() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let before = containers()?.len();
    desk.refuses(125, &["-u", "nobody", "box"], &["no user \"nobody\"", "/etc/passwd", "hint: a number"])?;
    desk.refuses(125, &["-u", "web:staff", "box"], &["no group \"staff\"", "IMAGE /etc/group"])?;
    desk.refuses(
        127,
        &["box", "--", "frobnicate", "x"],
        &["no program \"frobnicate\"", "/bin/frobnicate, /sbin/frobnicate"],
    )?;
    desk.refuses(127, &["box", "--", "/opt/tool"], &["no program \"/opt/tool\""])?;
    desk.refuses(126, &["box", "--", "/etc/note"], &["\"/etc/note\" cannot be executed"])?;
    desk.refuses(126, &["box", "--", "/etc"], &["/etc in the image is no program"])?;
    desk.refuses(125, &["nothing"], &["nothing", "hint:", "--pull brings it first"])?;
    ensure!(containers()?.len() == before);
    Ok(())
}

#[test]
fn an_image_that_says_nothing_to_start_needs_a_command() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::with(&json!({}))?;
    desk.refuses(125, &["box"], &["neither an entrypoint nor a command", "hint: give one behind --"])?;
    ensure!(desk.says(&["box", "--", "/bin/sh", "-c", "echo $PATH"])?.starts_with("/usr/local/sbin:"));
    desk.add("odd", &json!({ "Cmd": "sh" }), &entries(&["odd"])?)?;
    desk.refuses(125, &["odd"], &["odd", "no config that a container can be made of", "invalid type"])?;
    desk.add("unstoppable", &json!({ "Cmd": ["sh"], "StopSignal": "SIGNOTHING" }), &entries(&["other"])?)?;
    desk.refuses(125, &["unstoppable"], &["stop signal", "SIGNOTHING"])?;
    desk.add("foreign", &json!({ "Cmd": ["sh"], "User": "nobody:staff" }), &entries(&["more"])?)?;
    desk.refuses(125, &["foreign"], &["no user \"nobody\"", "/etc/passwd", "hint: a number"])
}

#[test]
fn what_is_wanted_and_cannot_be_is_named() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let usage = |words: &[&str], said: &str| {
        let output = desk.attempt(words)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(2) && errors.contains(said),
            "{words:?}: {}: {errors}",
            output.status
        );
        Ok(())
    };
    usage(&["--memory", "1k", "box"], "no amount of memory")?;
    usage(&["--cpus", "none", "box"], "no number of processors")?;
    usage(&["--pids", "many", "box"], "no number of processes")?;
    usage(&["-v", "data:/data", "box"], "no named volumes")?;
    usage(&["--network", "bridge", "box"], "host")?;
    usage(&["--read-only", "--writable", "box"], "cannot be used with")?;
    desk.refuses(125, &["-v", "/nowhere/at/all:/data", "box"], &["volume /nowhere/at/all", "no such file"])?;
    desk.refuses(125, &["-w", "tmp", "box"], &["\"tmp\" is not an absolute path"])?;
    desk.refuses(125, &["--cap-add", "everything", "box"], &["\"everything\" is no capability"])?;
    desk.refuses(125, &["-v", "/etc:/data", "--tmpfs", "/data", "box"], &["two mounts are wanted at /data"])?;
    desk.refuses(125, &["--seccomp", "/etc/hostname", "box"], &["/etc/hostname", "seccomp profile"])?;
    desk.refuses(125, &["--seccomp", "/nowhere.json", "box"], &["/nowhere.json"])?;
    desk.refuses(125, &["--require", "signed", "box"], &["box"])
}

#[test]
fn a_runtime_that_is_none_or_fails_is_told() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    desk.refuses(125, &["--runtime", "no-such-runtime", "box"], &["no runtime no-such-runtime"])?;
    desk.refuses(125, &["--runtime", "/nowhere/runc", "box"], &["/nowhere/runc", "no such program"])?;
    desk.refuses(125, &["--runtime", "/bin/true", "box"], &["/bin/true", "does not say its version"])?;
    let fake = desk.dir.path().join("fake");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && echo runc version 1.3.6 && exit\n\
                  echo '{\"level\":\"error\",\"msg\":\"the moon is wrong\"}' > \"$4\"; exit 1\n";
    fs::write(&fake, script)?;
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755))?;
    let fake = fake.to_str().context("a path")?;
    desk.refuses(125, &["--runtime", fake, "box"], &["the container runtime: the moon is wrong"])?;
    ensure!(
        desk.says(&["--runtime", "runc", "box"])? == "the command of the image",
        "what failed is in nobody's way"
    );
    Ok(())
}

#[test]
fn a_machine_without_a_runtime_is_told_what_to_install() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    // A machine that has neither: nothing is where programs are, for this command.
    let nothing = desk.dir.path().join("nothing");
    fs::create_dir(&nothing)?;
    let hide = "for place in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin; do mount --bind \"$NOTHING\" $place; done";
    let run = desk.command(&["box"]);
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-euc", &format!("{hide}; exec \"$@\""), "sh"]);
    command.arg(run.get_program()).args(run.get_args()).env("NOTHING", &nothing);
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = sealpack_tests::command::attempt(&mut command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(125), "{}: {said}", output.status);
    for word in
        ["no container runtime: neither crun nor runc is installed", "hint: install the package crun or runc"]
    {
        ensure!(said.contains(word), "{word:?} is not in {said}");
    }
    desk.has_nothing_left()
}

/// Rules can have become stricter since an image came in.
#[test]
fn an_image_that_the_rules_no_longer_let_in_is_not_run() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let trust = desk.dir.path().join("trust.d");
    fs::create_dir(&trust)?;
    fs::write(trust.join("rules.toml"), "default = \"sealed\"\n")?;
    let mut command = desk.sealpack.command(["--trust".as_ref(), trust.as_os_str()]);
    let output = command.args(["run", "box"]).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(125) && errors.contains("seal"), "{errors}");
    fs::write(trust.join("rules.toml"), "default = \"refuse\"\n")?;
    let mut command = desk.sealpack.command(["--trust".as_ref(), trust.as_os_str()]);
    let output = command.args(["bundle", "box", "bundle"]).current_dir(desk.dir.path()).output()?;
    ensure!(output.status.code() == Some(3) && !desk.dir.path().join("bundle").exists(), "{output:?}");
    Ok(())
}

#[test]
fn an_image_is_pulled_first_where_that_is_wanted() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::empty()?;
    desk.add("box", &settings(), &entries(&["proc", "sys", "dev"])?)?;
    desk.sealpack.run(["rm", "box"])?;
    let registry = sealpack_test_registry::Registry::start();
    let there = format!("{}/team/box:1", registry.host());
    desk.sealpack.run(["copy", &desk.source("box"), &format!("docker://{there}")])?;
    desk.refuses(125, &[&there], &["--pull brings it first"])?;
    ensure!(desk.says(&["--quiet", "--pull", &there])? == "the command of the image");
    ensure!(desk.says(&[&there])? == "the command of the image");
    Ok(())
}

/// runc and crun read all of /proc to fill such a volume with it, as root of the host, until they come to something that
/// cannot be read.
#[test]
fn an_image_with_volumes_over_what_shows_the_machine_is_refused() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::empty()?;
    let directories = ["proc", "sys", "dev", "tmp", "run", "var", "var/tmp"];
    let with = |volume: &str| json!({ "Cmd": ["sh"], "Env": ["PATH=/bin"], "Volumes": { volume: {} } });
    let linked =
        [entries(&directories)?, vec![Entry::new("./data", Member::Symlink("/proc".to_owned()))]].concat();
    desk.add("linked", &with("/data"), &linked)?;
    desk.refuses(125, &["--read-only", "linked"], &["\"/data\"", "in /proc, /sys or /dev"])?;
    desk.add("below", &with("/proc/self"), &entries(&directories)?)?;
    desk.refuses(125, &["--read-only", "below"], &["\"/proc/self\""])?;
    // As with all engines, what every container has there is that volume.
    desk.add("same", &with("/proc"), &entries(&[&directories[..], &["more"]].concat())?)?;
    ensure!(desk.says(&["--read-only", "same", "--", "ls", "/proc/self/comm"])? == "/proc/self/comm");
    // What can be written to has none in memory.
    ensure!(desk.says(&["linked", "--", "ls", "/data/self/comm"])? == "/data/self/comm");
    Ok(())
}
