//! Packages in a clean Debian system, from their installation to their end.

use crate::built::{Built, why_not};
use crate::machine::Machine;
use anyhow::{Context, Result, ensure};
use sealpack_tests::images;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::registry::Registry;
use sealpack_tests::{paths, skip};
use std::fs;

const PACKAGES: [&str; 3] = ["sealpack", "sealpack-snapshotter", "sealpack-host"];

#[test]
fn debian_12_installs_the_packages_uses_them_and_is_rid_of_all_but_the_store() -> Result<()> {
    live("bookworm")
}

#[test]
fn debian_13_does_too() -> Result<()> {
    if !sealpack_tests::all() {
        skip("packages are tried in Debian 13 by `cargo xtask test --all`");
        return Ok(());
    }
    live("trixie")
}

fn live(release: &str) -> Result<()> {
    if let Some(why) = why_not()? {
        skip(why);
        return Ok(());
    }
    let built = Built::new()?;
    let machine = Machine::new(release)?;
    let before = machine.everything()?;
    install(&machine, &built)?;
    documents(&machine)?;
    units(&machine, release)?;
    pulls(&machine)?;
    completes(&machine)?;
    upgrades(&machine, &built)?;
    purge(&machine)?;
    let after = machine.everything()?;
    let left: Vec<_> = after.difference(&before).collect();
    ensure!(left.is_empty(), "after the packages were purged there is still {left:?}");
    ensure!(machine.path("/var/lib/sealpack/meta.json").exists(), "the store went with the packages");
    Ok(())
}

/// dpkg itself sees to it that what they depend on is there.
fn install(machine: &Machine, built: &Built) -> Result<()> {
    let mut words = vec!["dpkg".to_owned(), "--install".to_owned()];
    for name in PACKAGES {
        let to = format!("/tmp/{name}.deb");
        machine.put(&built.deb(name)?, &to)?;
        words.push(to);
    }
    machine.run(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    ensure!(machine.run(&["sealpack", "--version"])?.starts_with("sealpack 0."), "no version");
    ensure!(
        machine.run(&["sealpack-snapshotter", "--version"])?.starts_with("sealpack-snapshotter 0."),
        "no version"
    );
    let helper = fs::read_link(machine.path("/usr/sbin/mount.sealpack"))?;
    ensure!(helper.ends_with("bin/sealpack"), "mount(8) would start {}", helper.display());
    let doctor = machine.attempt(&["sealpack", "doctor"])?;
    ensure!(!doctor.stdout.is_empty(), "{}", String::from_utf8_lossy(&doctor.stderr));
    // With keys in tokens: what is asked for is a module, not another program.
    let token = machine.attempt(&["sealpack", "key", "show", "pkcs11:token=none?module-path=/none.so"])?;
    let said = String::from_utf8_lossy(&token.stderr);
    ensure!(said.contains("/none.so"), "{said}");
    machine
        .run(&["sh", "-c", "! dpkg --verify sealpack sealpack-snapshotter sealpack-host | grep ."])
        .map(drop)
}

fn documents(machine: &Machine) -> Result<()> {
    for page in ["sealpack", "sealpack-pull", "sealpack.toml", "sealpack-rules.toml", "sealpack-snapshotter"]
    {
        let shown = machine.run(&["man", page])?;
        ensure!(shown.contains("NAME"), "{page}: {shown}");
    }
    for name in PACKAGES {
        let directory = format!("/usr/share/doc/{name}");
        let copyright = fs::read_to_string(machine.path(&format!("{directory}/copyright")))?;
        ensure!(copyright.contains("License: MIT or Apache-2.0"), "{copyright}");
        for file in ["changelog.gz", "changelog.Debian.gz", "third-party.gz"] {
            let text = machine.run(&["zcat", &format!("{directory}/{file}")])?;
            ensure!(text.len() > 100, "{name}: {file}");
        }
    }
    let parties = machine.run(&["zcat", "/usr/share/doc/sealpack/third-party.gz"])?;
    ensure!(
        parties.contains("aws-lc-rs") && parties.contains("Permission is hereby granted"),
        "notices are missing"
    );
    ensure!(machine.path("/etc/sealpack/trust.d").is_dir(), "no trust store");
    ensure!(machine.run(&["sealpack", "trust", "list"]).is_ok(), "the trust store cannot be listed");
    Ok(())
}

fn units(machine: &Machine, release: &str) -> Result<()> {
    let directory = machine.path("/usr/lib/systemd/system");
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().into_string().ok().context("a unit's name")?;
        let kind = name.rsplit_once('.').map(|(_, kind)| kind);
        if name.starts_with("sealpack")
            && kind.is_some_and(|kind| ["service", "socket", "timer"].contains(&kind))
        {
            names.push(name);
        }
    }
    ensure!(names.len() >= 9, "{names:?}");
    let mut words = vec!["systemd-analyze", "verify"];
    words.extend(names.iter().map(String::as_str));
    let said = machine.attempt(&words)?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let about = said.lines().filter(|line| line.contains("sealpack"));
    // A key that sealed hosts' systemd knows, which is that of Debian 13 or later.
    let about: Vec<_> =
        about.filter(|line| release != "bookworm" || !line.contains("'WantsMountsFor'")).collect();
    ensure!(about.is_empty(), "{about:?}");
    for name in &names {
        let state = machine.attempt(&["systemctl", "is-enabled", name])?;
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        let wanted: &[&str] = match name.as_str() {
            "sealpack-keep.service" => &["enabled"],
            _ => &["disabled", "static"],
        };
        ensure!(wanted.contains(&state.as_str()), "{name} is {state}");
    }
    Ok(())
}

/// By a host's name, from the machine's own registry.
fn pulls(machine: &Machine) -> Result<()> {
    let registry = registry()?;
    let port = registry.host().rsplit_once(':').context("a port")?.1.to_owned();
    machine.run(&["sealpack", "pull", "--quiet", &format!("localhost:{port}/prod/app:1")])?;
    let listed = machine.run(&["sealpack", "ls", &format!("localhost:{port}/prod/app:1")])?;
    ensure!(listed.contains("greeting"), "{listed}");
    Ok(())
}

/// A registry with the image `prod/app:1`.
pub(crate) fn registry() -> Result<Registry> {
    let registry = Registry::start(&paths::fixtures())?;
    let place = tempfile::tempdir()?;
    let layer = archive(&[Entry::new("greeting", Member::File(b"hello".repeat(100)))]);
    registry.push(&images::at(&place.path().join("app"), &[(layer, Packing::Gzip)])?, "prod/app:1")?;
    Ok(registry)
}

/// As bash does when somebody presses Tab.
fn completes(machine: &Machine) -> Result<()> {
    for path in [
        "bash-completion/completions/sealpack",
        "zsh/vendor-completions/_sealpack",
        "fish/vendor_completions.d/sealpack.fish",
    ] {
        let script = fs::read_to_string(machine.path(&format!("/usr/share/{path}")))?;
        ensure!(script.contains("SEALPACK_COMPLETE"), "{path}: {script}");
    }
    let ask = r#"
        . /usr/share/bash-completion/bash_completion
        _completion_loader sealpack || _comp_load sealpack
        COMP_LINE="sealpack mount local" COMP_POINT=20 COMP_WORDS=(sealpack mount local) COMP_CWORD=2
        _sealpack sealpack local mount
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let said = machine.attempt(&["bash", "-c", ask])?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.starts_with("localhost:") && said.ends_with("/prod/app:1\n"), "{said:?}");
    Ok(())
}

/// What the administrator changed, and enabled, stays through the next installation.
fn upgrades(machine: &Machine, built: &Built) -> Result<()> {
    let settings = machine.path("/etc/sealpack/sealpack.toml");
    let text = fs::read_to_string(&settings)?;
    fs::write(&settings, format!("{text}\nstore = \"/var/lib/sealpack\"\n"))?;
    machine.run(&["systemctl", "enable", "sealpack-gc.timer"])?;
    machine.run(&["systemctl", "disable", "sealpack-keep.service"])?;
    machine.put(&built.deb("sealpack")?, "/tmp/sealpack.deb")?;
    machine.run(&["dpkg", "--install", "/tmp/sealpack.deb", "/tmp/sealpack-host.deb"])?;
    ensure!(
        fs::read_to_string(&settings)?.ends_with("store = \"/var/lib/sealpack\"\n"),
        "the settings were replaced"
    );
    for (unit, wanted) in [("sealpack-gc.timer", "enabled"), ("sealpack-keep.service", "disabled")] {
        let state = machine.attempt(&["systemctl", "is-enabled", unit])?;
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        ensure!(state == wanted, "{unit} is {state} after an upgrade");
    }
    Ok(())
}

fn purge(machine: &Machine) -> Result<()> {
    fs::write(machine.path("/etc/sealpack/trust.d/rules.toml"), "default = \"allow\"\n")?;
    let mut words = vec!["dpkg", "--purge"];
    words.extend(PACKAGES.iter().rev());
    machine.run(&words).map(drop)
}
