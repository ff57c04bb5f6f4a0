//! What each package is, and which file is in which.

use super::deb::Deb;
use super::manual::{self, Manual};
use super::programs::Programs;
use super::scripts::Units;
use super::tree::{Entry, Node};
use super::{Release, needs};
use anyhow::{Context, Result, ensure};
use sealpack_tests::{files, paths};
use std::fs;
use std::path::Path;

const SEALPACK: &str = "sealpack";
const SNAPSHOTTER: &str = "sealpack-snapshotter";
const HOST: &str = "sealpack-host";

/// The one unit that is on once its package is installed: it does nothing on a host that is not sealed.
const ENABLED: &str = "sealpack-keep.service";

/// The packages for Debian.
pub(super) fn debs(release: &Release, programs: &Programs, manual: &Manual) -> Result<Vec<Deb>> {
    ensure!(std::env::consts::ARCH == "x86_64", "packages are made on x86-64 only");
    Ok(vec![sealpack(programs, manual)?, snapshotter(release, programs)?, host(release)?])
}

fn sealpack(programs: &Programs, manual: &Manual) -> Result<Deb> {
    let mut entries = vec![
        ("usr/bin/sealpack".to_owned(), Node::Program(programs.sealpack.clone())),
        ("usr/sbin/mount.sealpack".to_owned(), Node::Link("../bin/sealpack")),
        ("usr/lib/sealpack/init".to_owned(), Node::Program(programs.init.clone())),
        ("etc/sealpack/sealpack.toml".to_owned(), Node::File(settings()?.into_bytes())),
        ("etc/sealpack/trust.d".to_owned(), Node::Directory),
    ];
    entries.extend(manual.entries("usr", manual::DEBIAN_ZSH, true));
    entries.extend(of_contrib(SEALPACK)?);
    Ok(Deb {
        name: SEALPACK,
        architecture: "amd64",
        summary: "seal OCI images so that the kernel decides what may execute",
        description: "Pulls ordinary OCI images, seals and verifies them, and mounts them so that the\n\
                      kernel executes only what you signed: packs of layers on signed dm-verity\n\
                      devices, and a policy of its security module IPE.\n\n\
                      The broker, for mounts by ordinary users, and the timers are off until they are\n\
                      enabled.",
        relations: vec![
            ("Depends", needs::of_program(&programs.sealpack)?.join(", ")),
            ("Recommends", "ca-certificates".to_owned()),
            ("Suggests", "bash-completion, crun | runc, e2fsprogs, podman".to_owned()),
        ],
        conffiles: &["/etc/sealpack/sealpack.toml"],
        // The store stays: what is in it may be mounted, and is nobody's configuration.
        units: units(
            &entries,
            "rm -rf /etc/sealpack/trust.d\n    rmdir --ignore-fail-on-non-empty /etc/sealpack 2>/dev/null || true",
        )?,
        entries,
    })
}

fn snapshotter(release: &Release, programs: &Programs) -> Result<Deb> {
    let page = fs::read(paths::workspace().join("crates/snapshotter/man/sealpack-snapshotter.8"))?;
    let mut entries = vec![
        ("usr/bin/sealpack-snapshotter".to_owned(), Node::Program(programs.snapshotter.clone())),
        ("usr/share/man/man8/sealpack-snapshotter.8.gz".to_owned(), Node::Compressed(page)),
    ];
    entries.extend(of_contrib(SNAPSHOTTER)?);
    let mut depends = needs::of_program(&programs.snapshotter)?;
    depends.push(same_version(release));
    Ok(Deb {
        name: SNAPSHOTTER,
        architecture: "amd64",
        summary: "serves Sealpack's images to containerd",
        description: "A snapshotter and differ of containerd's, which mounts the images of Sealpack's\n\
                      store: for containers and Kubernetes, on hosts whose kernel enforces as well.\n\n\
                      Its socket is off until it is enabled; `sealpack containerd configure` sets\n\
                      containerd up.",
        relations: vec![("Depends", depends.join(", ")), ("Recommends", "containerd".to_owned())],
        conffiles: &[],
        units: units(&entries, ":")?,
        entries,
    })
}

fn host(release: &Release) -> Result<Deb> {
    let entries = of_contrib(HOST)?;
    Ok(Deb {
        name: HOST,
        architecture: "amd64",
        summary: "what the image of a sealed host has of Sealpack",
        description: "Units for the image of a host that starts from a sealed image: they keep what is\n\
                      to be kept of /etc, refuse a start that is not good, and, once enabled, go to\n\
                      the next version. On other hosts they do nothing.",
        relations: vec![
            ("Depends", same_version(release)),
            ("Recommends", "systemd (>= 257), systemd-boot-efi (>= 257)".to_owned()),
        ],
        conffiles: &[],
        units: units(&entries, "rm -f /etc/sealpack/no-upgrade")?,
        entries,
    })
}

fn same_version(release: &Release) -> String {
    format!("sealpack (= {})", release.version.debian())
}

/// The settings with everything that can be in them, and nothing said: the page about them has the lines.
fn settings() -> Result<String> {
    let page = fs::read_to_string(paths::workspace().join("docs/sealpack.toml.md"))?;
    let mut text =
        "# What the programs of this machine use where nobody says otherwise: sealpack.toml(5).\n\n"
            .to_owned();
    let lines = page.lines().skip_while(|line| !line.starts_with("    "));
    for line in lines.take_while(|line| line.is_empty() || line.starts_with("    ")) {
        let line = line.trim();
        text.push_str(&if line.is_empty() { "\n".to_owned() } else { format!("#{line}\n") });
    }
    ensure!(text.contains("#store = "), "docs/sealpack.toml.md does not begin with the settings");
    Ok(text.trim_end().to_owned() + "\n")
}

/// What is in contrib/ for a package.
pub(super) fn of_contrib(package: &str) -> Result<Vec<Entry>> {
    let contrib = paths::workspace().join("contrib");
    let mut entries = Vec::new();
    for (directory, target) in [
        ("systemd", "usr/lib/systemd/system"),
        ("tmpfiles.d", "usr/lib/tmpfiles.d"),
        ("sysusers.d", "usr/lib/sysusers.d"),
        ("catalog", "usr/lib/systemd/catalog"),
        ("prometheus", "usr/share/sealpack/prometheus"),
        ("grafana", "usr/share/sealpack/grafana"),
    ] {
        let directory = contrib.join(directory);
        if !directory.is_dir() {
            continue;
        }
        for path in files::below(&directory)? {
            let name = path.strip_prefix(&directory)?.to_str().context("a name that is no text")?.to_owned();
            if owner(&name) == package {
                let target = if is(&path, "preset") { "usr/lib/systemd/system-preset" } else { target };
                entries.push((format!("{target}/{name}"), Node::File(fs::read(&path)?)));
            }
        }
    }
    Ok(entries)
}

/// The package that a file of contrib/ is in.
fn owner(name: &str) -> &'static str {
    let of_host =
        ["boot-complete.target.d", "sealpack-host", "sealpack-keep", "sealpack-refuse", "sealpack-upgrade"];
    if of_host.iter().any(|prefix| name.starts_with(prefix)) {
        HOST
    } else if name.starts_with(SNAPSHOTTER) {
        SNAPSHOTTER
    } else {
        SEALPACK
    }
}

/// The units among `entries` that can be enabled.
fn units(entries: &[Entry], purged: &'static str) -> Result<Units> {
    let mut units = Units { purged, ..Units::default() };
    for (path, node) in entries {
        let Some(name) = path.strip_prefix("usr/lib/systemd/system/") else { continue };
        let Node::File(text) = node else { continue };
        if std::str::from_utf8(text)?.lines().any(|line| line == "[Install]") {
            if name == ENABLED { &mut units.on } else { &mut units.off }.push(name.to_owned());
        }
    }
    Ok(units)
}

fn is(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_in_the_package_of_what_they_start_and_off_but_for_one() -> Result<()> {
        let units = |package| units(&of_contrib(package)?, "");
        assert_eq!(units(HOST)?.on, ["sealpack-keep.service"]);
        assert_eq!(units(HOST)?.off, ["sealpack-upgrade.timer"]);
        assert_eq!(units(SNAPSHOTTER)?.off, ["sealpack-snapshotter.service", "sealpack-snapshotter.socket"]);
        let own = units(SEALPACK)?;
        assert!(own.on.is_empty() && own.off.contains(&"sealpack-gc.timer".to_owned()), "{own:?}");
        let preset = fs::read_to_string(paths::workspace().join("contrib/systemd/80-sealpack.preset"))?;
        for unit in own.off.iter().chain(&units(HOST)?.off).chain(&units(SNAPSHOTTER)?.off) {
            // Else a machine's first boot would enable it.
            assert!(preset.lines().any(|line| line == format!("disable {unit}")), "{unit}: {preset}");
        }
        Ok(())
    }

    #[test]
    fn what_explains_and_shows_what_happens_is_where_it_is_looked_for() -> Result<()> {
        let paths: Vec<String> = of_contrib(SEALPACK)?.into_iter().map(|(path, _)| path).collect();
        for path in [
            "usr/lib/systemd/catalog/sealpack.catalog",
            "usr/share/sealpack/prometheus/sealpack.rules.yml",
            "usr/share/sealpack/grafana/sealpack.json",
        ] {
            assert!(paths.iter().any(|found| found == path), "{path} is not in {paths:?}");
        }
        Ok(())
    }

    #[test]
    fn the_settings_that_are_installed_say_nothing() -> Result<()> {
        let text = settings()?;
        assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
        assert!(text.contains("\n#[snapshotter]\n#socket = "), "{text}");
        Ok(())
    }
}
