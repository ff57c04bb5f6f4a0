//! docs/kubernetes.md: every command, on a desk and on a node that has nothing of sealpack's.

use crate::page::{Block, Typed, blocks};
use anyhow::{Context, Result, bail, ensure};
use sealpack_tests::command::{attempt, find, quote, run};
use sealpack_tests::containerd::{Enclosure, Engine, Runtime, images, why_not};
use sealpack_tests::layer_tar::{Entry, Member};
use sealpack_tests::program::{self, isolate};
use sealpack_tests::registry::Registry;
use sealpack_tests::{paths, skip};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = "docs/kubernetes.md";

/// What the page calls the registry.
const REGISTRY: &str = "registry.example.org";

/// What makes a namespace of mounts a machine of its own: nothing of what is written to these places is the machine's that the
/// test runs on. What the store and containerd have is on a disk, since an overlay does not take changes on an overlay.
const MACHINE: &str = r#"
    for place in etc usr/bin; do
        mkdir -p "$1/changes/$place" "$1/work/$place"
        mount -t overlay -o "lowerdir=/$place,upperdir=$1/changes/$place,workdir=$1/work/$place" overlay "/$place"
    done
    rm -rf /etc/sealpack /etc/containerd /etc/crictl.yaml
    mount -t tmpfs -o mode=755 tmpfs /var/lib
    for name in sealpack containerd; do
        mkdir -p "/var/lib/$name" "$1/lib/$name"
        mount --bind "$1/lib/$name" "/var/lib/$name"
    done
    mkdir -p /etc/containerd /etc/systemd/system
    cp "$1/config.toml" /etc/containerd/config.toml
"#;

/// What systemd would do with the units, and with containerd's own.
const SYSTEMCTL: &str = r#"#!/bin/sh
set -eu
of() { sed -n "s/^$2=//p" "/etc/systemd/system/$1"; }
case "$*" in
"enable --now sealpack-snapshotter.socket sealpack-snapshotter.service")
    socket=$(of sealpack-snapshotter.socket ListenStream)
    mkdir -p "$(dirname "$socket")"
    # shellcheck disable=SC2046
    HOME=/root setsid systemd-socket-activate --listen "$socket" $(of sealpack-snapshotter.service ExecStart) \
        </dev/null >>DATA/snapshotter.log 2>&1 &
    while ! test -S "$socket"; do sleep 0.05; done ;;
"restart containerd")
    setsid containerd </dev/null >>DATA/containerd.log 2>&1 &
    until ctr version >/dev/null 2>&1; do sleep 0.1; done ;;
*) echo "systemctl: not played here: $*" >&2; exit 1 ;;
esac
"#;

struct Cluster {
    registry: Registry,
    enclosure: Enclosure,
    /// Whose store and trust store are the desk's.
    desk: tempfile::TempDir,
    engine: Engine,
}

impl Cluster {
    fn new(engine: Engine) -> Result<Self> {
        let registry = Registry::start(&paths::fixtures())?;
        registry.push(&images::shell()?, "prod/shell:1")?;
        let place = tempfile::tempdir()?;
        for name in ["unsealed", "other"] {
            let entries = [Entry::new("name", Member::File(name.as_bytes().to_vec()))];
            registry.push(&images::of(&place.path().join(name), &entries)?, &format!("prod/{name}:1"))?;
        }
        let desk = tempfile::Builder::new().prefix("desk-").tempdir_in(paths::fixtures())?;
        symlink(images::pause()?.dir(), desk.path().join("pause"))?;
        let cluster = Self { registry, enclosure: Enclosure::new()?, desk, engine };
        cluster.furnish()?;
        Ok(cluster)
    }

    /// Has the node's namespaces be a machine, with containerd installed and set up for this one.
    fn furnish(&self) -> Result<()> {
        let data = |name: &str| self.enclosure.data(name);
        fs::create_dir_all(data("bin"))?;
        let programs = self.engine.programs()?;
        let own = format!(
            "version = 2\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nrestrict_oom_score_adj = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nBinaryName = {:?}\n",
            data("opt"),
            programs.runtime(Runtime::Runc)
        );
        fs::write(data("config.toml"), own)?;
        let played = SYSTEMCTL.replace("DATA", &data("").display().to_string());
        fs::write(data("bin/systemctl"), played)?;
        fs::set_permissions(data("bin/systemctl"), fs::Permissions::from_mode(0o755))?;
        symlink(program::build_crictl()?, data("bin/crictl"))?;
        // A checkout, with what `cargo build --release` makes.
        let built = data("checkout/target/release");
        fs::create_dir_all(&built)?;
        symlink(program::under_test()?, built.join("sealpack"))?;
        symlink(program::snapshotter_under_test()?, built.join("sealpack-snapshotter"))?;
        symlink(paths::workspace().join("contrib"), data("checkout/contrib"))?;
        let mut machine = self.enclosure.command("sh");
        run(machine.args(["-euc", MACHINE, "sh"]).arg(self.enclosure.data(""))).map(drop)
    }

    fn here(&self, text: &str) -> String {
        text.replace(REGISTRY, &self.registry.host())
    }

    /// The command that a shell of that machine's root runs.
    fn shell(&self, machine: &str, text: &str) -> Result<Command> {
        let path = std::env::var("PATH").context("there is a path")?;
        let mut shell = match machine {
            "desk" => Command::new("sh"),
            "node" => self.enclosure.command("sh"),
            other => bail!("there is no machine {other}"),
        };
        isolate(&mut shell);
        let place = match machine {
            "desk" => self.desk.path().to_owned(),
            _ => self.enclosure.data("checkout"),
        };
        // Who enters a namespace of mounts is in its root directory.
        shell.args(["-euc", &format!("cd {}; {}", quote(&place.display().to_string()), self.here(text))]);
        if machine == "desk" {
            let own = self.desk.path().join("bin");
            fs::create_dir_all(&own)?;
            if !own.join("sealpack").exists() {
                symlink(program::under_test()?, own.join("sealpack"))?;
            }
            shell.env("PATH", format!("{}:{path}", own.display()));
            shell.env("HOME", self.desk.path()).env("SEALPACK_STORE", self.desk.path().join("store"));
            let trust = self.desk.path().join("trust.d");
            fs::create_dir_all(&trust)?;
            shell.env("SEALPACK_TRUST", trust);
        } else {
            let own = self.enclosure.data("bin").display().to_string();
            let path = format!("{own}:{}", self.engine.programs()?.search_path());
            shell.env("PATH", path).env("HOME", "/root");
            // As on a machine of one's own: what is in /etc/sealpack counts.
            shell.env_remove("SEALPACK_TRUST").env_remove("SEALPACK_CONFIG");
            shell.env("CRICTL_TEST_CGROUP", format!("/{}", self.enclosure.name()));
        }
        Ok(shell)
    }

    fn enter(&self, machine: &str, typed: &Typed) -> Result<()> {
        let output = attempt(&mut self.shell(machine, &typed.text)?)?;
        let said =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
        let status = output.status.code();
        ensure!(
            status == Some(typed.status),
            "on the {machine}: {}: {status:?}\n{said}\n{}",
            typed.text,
            self.printed()
        );
        let mut lines = said.lines().map(str::trim);
        for line in &typed.prints {
            let line = self.here(line);
            ensure!(
                lines.any(|said| said == line),
                "on the {machine}: {}: no {line:?} in\n{said}",
                typed.text
            );
        }
        Ok(())
    }

    fn printed(&self) -> String {
        let log = |name: &str| fs::read_to_string(self.enclosure.data(name)).unwrap_or_default();
        log("snapshotter.log") + &log("containerd.log")
    }

    fn follow(&self, blocks: &[Block]) -> Result<()> {
        for block in blocks {
            match block {
                Block::Commands { machine, commands } => {
                    commands.iter().try_for_each(|typed| self.enter(machine, typed))?;
                    self.carry()?;
                }
                Block::File { machine, path, text } => {
                    let path = if Path::new(path).is_absolute() {
                        self.enclosure.seen(Path::new(path))
                    } else {
                        self.enclosure.data("checkout").join(path)
                    };
                    ensure!(machine == "node", "there are no files on the {machine}");
                    fs::create_dir_all(path.parent().context("a file is in a directory")?)?;
                    fs::write(&path, self.here(text)).with_context(|| path.display().to_string())?;
                }
                Block::Pipeline { name, .. } => bail!("{name} is no node's"),
                Block::NotRun { checks } => bail!("{checks:?} are not run"),
            }
        }
        Ok(())
    }

    /// Brings the certificate from the desk to the node.
    fn carry(&self) -> Result<()> {
        let certificate: PathBuf = self.desk.path().join("packs.crt");
        if certificate.exists() {
            fs::copy(certificate, self.enclosure.data("checkout/packs.crt"))?;
        }
        Ok(())
    }
}

fn is_followed(engine: Engine) -> Result<()> {
    let missing = ["curl", "systemd-socket-activate"].into_iter().find(|program| find(program).is_none());
    if let Some(why) = why_not().or(missing.map(|program| format!("{program} is not installed"))) {
        skip(&why);
        return Ok(());
    }
    let blocks = blocks(PAGE)?;
    let run = blocks.iter().filter(|block| matches!(block, Block::Commands { .. })).count();
    ensure!(run >= 6, "only {run} blocks are run");
    let cluster = Cluster::new(engine)?;
    cluster.follow(&blocks)?;
    // Nothing but the images is left.
    let listed =
        attempt(&mut cluster.shell("node", "crictl ps -a --name shell -q; crictl pods --name try -q")?)?;
    ensure!(String::from_utf8_lossy(&listed.stdout).trim().is_empty(), "{listed:?}");
    Ok(())
}

#[test]
fn the_page_about_kubernetes_takes_a_node_with_containerd_1_7_to_a_pod_of_sealed_images() -> Result<()> {
    is_followed(Engine::V1_7)
}

#[test]
fn the_page_about_kubernetes_takes_a_node_with_containerd_2_to_a_pod_of_sealed_images() -> Result<()> {
    is_followed(Engine::V2)
}
