//! The tarball for machines that take no Debian package: a static program, to be unpacked into /usr/local or anywhere.

use super::manual::{self, Manual};
use super::programs::Static;
use super::tree::{self, Entry, Node};
use super::{Release, contents, licences};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{run, stdout};
use sealpack_tests::paths;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Writes the one for `machine`, as the kernel calls it, into `output`, with `work` as its directory meanwhile.
pub(super) fn write(
    release: &Release,
    machine: &str,
    programs: &Static,
    manual: &Manual,
    work: &Path,
    output: &Path,
) -> Result<()> {
    for program in [&programs.sealpack, &programs.init] {
        check_static(program)?;
    }
    let name = format!("sealpack-{}-{machine}-linux", release.version.upstream());
    tree::write(&work.join(&name), &entries(release, programs, manual)?)?;
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--format=ustar", "--owner=0", "--group=0", "--numeric-owner"])
        .arg(format!("--mtime=@{}", release.version.seconds()))
        .arg("--directory")
        .arg(work)
        .arg(&name);
    let packed = tree::gzip(&run(&mut tar)?.stdout)?;
    fs::write(output.join(format!("{name}.tar.gz")), packed).context("cannot write the tarball")
}

fn entries(release: &Release, programs: &Static, manual: &Manual) -> Result<Vec<Entry>> {
    let text = |path: &str| -> Result<Node> {
        Ok(Node::File(
            fs::read(paths::workspace().join(path)).with_context(|| format!("cannot read {path}"))?,
        ))
    };
    let mut entries = vec![
        ("bin/sealpack".to_owned(), Node::Program(programs.sealpack.clone())),
        ("sbin/mount.sealpack".to_owned(), Node::Link("../bin/sealpack")),
        ("lib/sealpack/init".to_owned(), Node::Program(programs.init.clone())),
        ("share/doc/sealpack/copyright".to_owned(), Node::File(licences::copyright()?.into_bytes())),
        ("share/doc/sealpack/third-party".to_owned(), Node::File(release.notices.clone())),
        ("share/doc/sealpack/LICENSE-APACHE".to_owned(), text("LICENSE-APACHE")?),
        ("share/doc/sealpack/CHANGELOG.md".to_owned(), text("CHANGELOG.md")?),
        ("share/doc/sealpack/install.md".to_owned(), text("docs/install.md")?),
    ];
    // Below a prefix of its own all paths are without one.
    let own = manual.entries("", manual::ZSH, false);
    entries.extend(own.into_iter().map(|(path, node)| (path.trim_start_matches('/').to_owned(), node)));
    for (path, node) in contents::of_contrib("sealpack")? {
        entries.push((path.trim_start_matches("usr/").to_owned(), node));
    }
    Ok(entries)
}

/// Refuses a program that would look for libraries.
fn check_static(program: &Path) -> Result<()> {
    // objdump knows this machine's programs only.
    let said =
        stdout(Command::new("readelf").args(["--wide", "--program-headers", "--dynamic"]).arg(program))?;
    ensure!(
        said.contains("LOAD") && !said.contains("NEEDED") && !said.contains("INTERP"),
        "{} is not static",
        program.display()
    );
    Ok(())
}
