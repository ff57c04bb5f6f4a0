//! What a sealed host needs to run containers: Debian's containerd and crun with Sealpack as its snapshotter, and images in a
//! registry of the machine that emulates it.
//!
//! The host has the registry at a loopback address of its own, [`REGISTRY`]: what listens there passes connections on to
//! [`SERVER`], the only address in the machine's network, at which QEMU answers.

use super::build::with_key;
use super::image::{self, directory, program, unit};
use crate::keys::Key;
use crate::programs::Programs;
use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::containerd::images as shells;
use sealpack_tests::images::{Image, host};
use sealpack_tests::layer_tar::{Entry, Member};
use sealpack_tests::program::start;
use sealpack_tests::registry::Registry;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the host's image is called.
pub const IMAGE: &str = "sealpack.test/containers:1";

/// Where the machine reaches the registry.
pub const SERVER: &str = "10.0.2.100:5000";

/// What the host calls it.
pub const REGISTRY: &str = "127.0.0.1:5000";

/// An image that is sealed, in the [`REGISTRY`]: a shell, and [`PROGRAM`].
pub const SEALED: &str = "app:1";

/// Another, of which pods are made, and which nobody but containerd pulls.
pub const POD: &str = "pod:1";

/// The one that keeps a pod, sealed too.
pub const PAUSE: &str = shells::PAUSE;

/// One that is not.
pub const UNSEALED: &str = "other:1";

/// A program in both that waits for as many seconds as it is told, and has the C library as a shared one.
pub const PROGRAM: &str = "/bin/wait";

/// How the name of that library's file begins.
pub const LIBRARY: &str = "libc.so.6";

/// The packages that the image has besides. containerd wants runc too, which Debian's is not what runs under a policy. The last one
/// has the profile of system calls.
const PACKAGES: [&str; 4] = ["containerd", "crun", "libyajl2", "golang-github-containers-common"];

/// What `docs/containerd.md` has installed.
const SERVICE: &str = include_str!("../../../../../contrib/systemd/sealpack-snapshotter.service");
const SOCKET: &str = include_str!("../../../../../contrib/systemd/sealpack-snapshotter.socket");

/// The layer with the packages, as an image of one layer, built once and kept.
///
/// # Errors
/// If the packages cannot be fetched.
pub(super) fn engine() -> Result<Image> {
    image::of_packages("host-containers", &PACKAGES)
}

/// How the host is set up: who may have sealed what it runs, and what is started.
pub(super) fn setup(programs: &Programs, certificate: &Path) -> Result<Vec<Entry>> {
    let file = |path: &str, text: &str| Entry::new(path, Member::File(text.into()));
    let certificate = fs::read(certificate).with_context(|| format!("no {}", certificate.display()))?;
    let trust = "etc/sealpack/trust.d";
    let mut entries = unit("sealpack-snapshotter.service", SERVICE);
    entries.push(program("usr/bin/sealpack-snapshotter", &programs.snapshotter)?);
    entries.extend(["etc/sealpack/".to_owned(), format!("{trust}/")].map(|path| directory(&path)));
    for uses in ["packs", "statements"] {
        entries.push(directory(&format!("{trust}/{uses}/")));
        entries.push(Entry::new(format!("{trust}/{uses}/site.crt"), Member::File(certificate.clone())));
    }
    entries.push(file(&format!("{trust}/rules.toml"), include_str!("rules.toml")));
    // Pods get a copy of it.
    entries.push(file("etc/resolv.conf", ""));
    entries.push(directory("etc/containerd/"));
    entries.push(file("etc/containerd/config.toml", include_str!("config.toml")));
    entries.push(directory("etc/systemd/network/"));
    entries.push(file("etc/systemd/network/registry.network", include_str!("registry.network")));
    let units = "usr/lib/systemd/system";
    entries.push(file(&format!("{units}/sealpack-snapshotter.socket"), SOCKET));
    entries.push(file(&format!("{units}/registry.socket"), include_str!("registry.socket")));
    entries.push(file(&format!("{units}/registry.service"), include_str!("registry.service")));
    for name in
        ["containerd.service", "systemd-networkd.service", "registry.socket", "sealpack-snapshotter.socket"]
    {
        let wanted = format!("etc/systemd/system/multi-user.target.wants/{name}");
        entries.push(Entry::new(wanted, Member::Symlink(format!("/{units}/{name}"))));
    }
    Ok(entries)
}

/// A registry with all images, and the seals of three by `key`. Everything is made in `dir`, which is created.
///
/// # Errors
/// If the registry does not start, or `sealpack` fails.
pub(super) fn publish(programs: &Programs, key: &Key, dir: &Path) -> Result<Registry> {
    let registry = Registry::start(dir)?;
    let sealpack = || {
        let mut command = start(&programs.sealpack);
        command.arg("--store").arg(dir.join("store"));
        command
    };
    for (name, is_sealed) in [(SEALED, true), (POD, true), (PAUSE, true), (UNSEALED, false)] {
        let image =
            if name == PAUSE { shells::pause()? } else { image(name, &dir.join(name.replace(':', "-")))? };
        let host = registry.host();
        run(sealpack().args(["copy", &image.source(), &format!("docker://{host}/{name}")]))?;
        if is_sealed {
            let mut seal = sealpack();
            seal.args(["seal", &format!("{host}/{name}"), "--pull", "--push"]);
            // The host has it by another name than this machine.
            seal.args(["--name", &format!("{REGISTRY}/{name}")]);
            run(with_key(&mut seal, key))?;
        }
    }
    Ok(registry)
}

/// A shell, the program with its library, and a file that says which image it is.
fn image(name: &str, dir: &Path) -> Result<Image> {
    let libraries = "usr/lib/x86_64-linux-gnu";
    let library = |name: &str| of_debian(&format!("{libraries}/{name}"));
    let loader = "ld-linux-x86-64.so.2";
    let entries = [
        Entry::new(PROGRAM.trim_start_matches('/'), of_debian("usr/bin/sleep")?).mode(0o755),
        directory("lib/"),
        directory("lib/x86_64-linux-gnu/"),
        Entry::new(format!("lib/x86_64-linux-gnu/{LIBRARY}"), library(LIBRARY)?).mode(0o755),
        directory("lib64/"),
        Entry::new(format!("lib64/{loader}"), library(loader)?).mode(0o755),
        Entry::new("name", Member::File(name.into())),
    ];
    shells::of(dir, &entries)
}

/// A file of the Debian system that hosts are.
fn of_debian(path: &str) -> Result<Member> {
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--to-stdout").arg("--file").arg(host::layer()?).arg(format!("./{path}"));
    Ok(Member::File(run(&mut tar)?.stdout))
}
