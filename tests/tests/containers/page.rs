//! The commands of the pages about containers, as somebody types them who reads those.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, run};
use sealpack_tests::layer_tar::{Entry, Member};
use sealpack_tests::program::under_test;
use sealpack_tests::{paths, skip};

use crate::support::{Desk, can_run, entries, settings};

/// The commands of a page in docs/.
fn commands(page: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(paths::workspace().join("docs").join(page))?;
    let commands: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect();
    ensure!(!commands.is_empty(), "{page} has no commands");
    Ok(commands)
}

/// A store with an image `debian:12`, in a directory where `sealpack` works on it.
fn reader() -> Result<Desk> {
    let desk = Desk::empty()?;
    let mut entries = entries(&["proc", "sys", "dev", "tmp", "run", "var", "var/tmp"])?;
    entries.push(Entry::new("./etc/os-release", Member::File(b"ID=debian\n".to_vec())));
    desk.add("debian", &settings(), &entries)?;
    desk.sealpack.run(["tag", "debian", "debian:12"])?;
    let program = desk.dir.path().join("bin/sealpack");
    fs::create_dir(desk.dir.path().join("bin"))?;
    let line = format!(
        "#!/bin/sh\nexec {} --store {} \"$@\"\n",
        under_test()?.display(),
        desk.sealpack.store().display()
    );
    fs::write(&program, line)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(desk)
}

/// Has podman keep what it knows in a place of this test's own, and ask for no more than this machine gives.
fn podmans_settings(desk: &Desk) -> Result<[(&'static str, PathBuf); 2]> {
    let at = |name: &str| desk.dir.path().join(name);
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = {:?}\nrunroot = {:?}\n",
        at("podman"),
        at("podman-run")
    );
    // Its usual limits are higher than those of a machine's containers may be; crun knows no cgroups of both versions.
    let settings = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
                    [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\n";
    fs::write(at("storage.conf"), storage)?;
    fs::write(at("containers.conf"), settings)?;
    Ok([("CONTAINERS_STORAGE_CONF", at("storage.conf")), ("CONTAINERS_CONF", at("containers.conf"))])
}

/// What a command prints, which must succeed.
fn typed(desk: &Desk, command: &str) -> Result<String> {
    let path = std::env::var("PATH").context("there is a path")?;
    let own = desk.dir.path().join("bin").display().to_string();
    let mut shell = Command::new("sh");
    shell.args(["-euc", command]).current_dir(desk.dir.path());
    // As the program's other tests: nobody's own configuration plays a part.
    shell
        .env("SEALPACK_TRUST", paths::target().join("tmp/empty-trust.d"))
        .env("PATH", format!("{own}:{path}:/usr/sbin"));
    shell.envs(podmans_settings(desk)?);
    let output = run(&mut shell).with_context(|| command.to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

#[test]
fn the_commands_of_the_page_about_containers_do_what_it_says() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = reader()?;
    fs::create_dir_all(paths::target().join("tmp/empty-trust.d"))?;
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let resolver = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let expected = [
        ("os-release", "ID=debian"),
        ("GREETING", "hello\n1000\n/tmp"),
        ("sh -s", "from the input"),
        ("/etc/hostname", name.trim_end()),
        ("--memory", "limited"),
        ("--network", resolver.trim_end()),
        ("sealpack bundle", "config.json: written"),
        ("runc run", "from a bundle"),
        ("umount", "rootfs: unmounted"),
    ];
    let commands = commands("containers.md")?;
    ensure!(commands.len() == expected.len(), "{commands:?}");
    for (command, (word, said)) in commands.iter().zip(expected) {
        ensure!(command.contains(word), "{command}: not the command with {word}");
        let output = typed(&desk, command)?;
        ensure!(output.contains(said), "{command}: {output}");
    }
    desk.has_nothing_left()
}

#[test]
fn the_commands_of_the_page_about_podman_do_what_it_says() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    if find("podman").is_none() {
        skip("podman is not installed");
        return Ok(());
    }
    let desk = reader()?;
    fs::create_dir_all(paths::target().join("tmp/empty-trust.d"))?;
    let mut said = Vec::new();
    for command in commands("podman.md")? {
        let output = typed(&desk, &command);
        if output.is_err() {
            let _ = typed(&desk, "sealpack umount --lazy root");
        }
        said.push(output?);
    }
    ensure!(said.iter().any(|output| output.contains("from podman")), "{said:?}");
    ensure!(fs::read_dir(desk.dir.path().join("root"))?.count() == 0, "it is still mounted");
    Ok(())
}
