//! What the machine's journal is told, by a socket in its place.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, is_root, run, stdout};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::paths::{fixtures, workspace};
use sealpack_tests::program::Sealpack;
use sealpack_tests::{images, skip};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

/// The fields of an entry.
type Fields = BTreeMap<String, String>;

const PULLED: &str = "03fc888aff3e4aa88f513e847d3b0a02";
const REFUSED: &str = "7ddcf3821b864a4b86baec9948eba836";
const MOUNTED: &str = "db0358c7b35e464eac03404ab4f365c0";
const UNMOUNTED: &str = "ec11611456df44d19d939ed0ad8ae32e";

/// Somebody who listens where the journal would, and a program that tells it.
struct Machine {
    sealpack: Sealpack,
    journald: UnixDatagram,
    /// With a path that is as short as a socket's has to be.
    place: tempfile::TempDir,
    dir: tempfile::TempDir,
    image: String,
}

impl Machine {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("journal-").tempdir_in(fixtures())?;
        let layer = archive(&[Entry::new("file", Member::File(vec![7; 3000]))]);
        let image = images::at(&dir.path().join("image"), &[(layer, Packing::Gzip)])?.source();
        let place = tempfile::tempdir()?;
        let journald = UnixDatagram::bind(place.path().join("socket"))?;
        journald.set_nonblocking(true)?;
        fs::create_dir(dir.path().join("trust"))?;
        Ok(Self { sealpack: Sealpack::new()?, journald, place, dir, image })
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("socket")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sealpack.command(arguments.iter().copied());
        command.env("SEALPACK_JOURNAL", self.socket()).env("SEALPACK_TRUST", self.dir.path().join("trust"));
        command
    }

    /// What came since it was asked for last.
    fn entries(&self) -> Result<Vec<Fields>> {
        let mut bytes = vec![0; 1 << 20];
        let mut entries = Vec::new();
        while let Ok(size) = self.journald.recv(&mut bytes) {
            entries.push(read(&bytes[..size])?);
        }
        Ok(entries)
    }

    fn only(&self) -> Result<Fields> {
        let mut entries = self.entries()?;
        ensure!(entries.len() == 1, "{entries:#?}");
        Ok(entries.remove(0))
    }
}

/// Reads a datagram: each field with its length in front of the text, as they are written here.
fn read(mut bytes: &[u8]) -> Result<Fields> {
    let mut fields = Fields::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').context("a name without an end")?;
        let name = String::from_utf8(bytes[..end].to_vec())?;
        let (length, rest) = bytes[end + 1..].split_first_chunk::<8>().context("no length")?;
        let length = usize::try_from(u64::from_le_bytes(*length))?;
        ensure!(rest.get(length) == Some(&b'\n'), "{name} has another end");
        ensure!(name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{name:?} is no field's name");
        ensure!(fields.insert(name.clone(), String::from_utf8(rest[..length].to_vec())?).is_none(), "{name}");
        bytes = &rest[length + 1..];
    }
    Ok(fields)
}

fn catalog() -> PathBuf {
    workspace().join("contrib/catalog/sealpack.catalog")
}

/// The text of the catalogue about an identifier.
fn explained(id: &str) -> Result<String> {
    let text = fs::read_to_string(catalog())?;
    let about = text.split("\n-- ").find_map(|part| part.strip_prefix(id).map(str::to_owned));
    about.with_context(|| format!("the catalogue has nothing about {id}"))
}

/// That an entry is of a kind, and has all that the catalogue says of the kind.
fn check(entry: &Fields, id: &str, priority: &str) -> Result<()> {
    assert_eq!(entry["MESSAGE_ID"], id, "{entry:#?}");
    assert_eq!((entry["PRIORITY"].as_str(), entry["SYSLOG_IDENTIFIER"].as_str()), (priority, "sealpack"));
    let text = explained(id)?;
    for field in text.split('@').skip(1).step_by(2) {
        ensure!(entry.contains_key(field), "{field} is in the catalogue, and not in {entry:#?}");
    }
    Ok(())
}

#[test]
fn pulls_and_refusals_are_told_with_their_fields() -> Result<()> {
    let machine = Machine::new()?;
    run(&mut machine.command(&["pull", &machine.image, "--name", "one"]))?;
    let entry = machine.only()?;
    check(&entry, PULLED, "6")?;
    assert_eq!(entry["SEALPACK_IMAGE"], "docker.io/library/one:latest");
    ensure!(entry["SEALPACK_MANIFEST"].starts_with("sha256:"), "{entry:#?}");
    ensure!(entry["MESSAGE"].contains("without a seal that counts"), "{entry:#?}");

    fs::write(machine.dir.path().join("trust/rules.toml"), "default = \"refuse\"")?;
    let output = attempt(&mut machine.command(&["pull", &machine.image, "--name", "two"]))?;
    assert_eq!(output.status.code(), Some(3));
    let entry = machine.only()?;
    check(&entry, REFUSED, "4")?;
    assert_eq!(entry["SEALPACK_VERB"], "pull");
    ensure!(entry["SEALPACK_REASON"].contains("library/two:latest must not be pulled"), "{entry:#?}");

    // What fails otherwise, or looks only, is no news.
    let output = attempt(&mut machine.command(&["inspect", "three"]))?;
    assert_eq!(output.status.code(), Some(1));
    run(&mut machine.command(&["images"]))?;
    assert_eq!(machine.entries()?, []);
    Ok(())
}

#[test]
fn mounts_are_told_with_their_levels() -> Result<()> {
    if !is_root() {
        skip("mounting needs the superuser");
        return Ok(());
    }
    let machine = Machine::new()?;
    run(&mut machine.command(&["pull", &machine.image, "--name", "one"]))?;
    machine.only()?;
    let place = tempfile::tempdir()?;
    let target = place.path().to_str().context("UTF-8")?;
    run(&mut machine.command(&["mount", "one", target]))?;
    let entry = machine.only();
    run(&mut machine.command(&["umount", target]))?;
    let entry = entry?;
    check(&entry, MOUNTED, "6")?;
    ensure!(entry["MESSAGE"].ends_with(&entry["SEALPACK_LEVEL"]), "{entry:#?}");
    assert_eq!(entry["SEALPACK_TARGET"], target);
    let entry = machine.only()?;
    check(&entry, UNMOUNTED, "6")?;
    assert_eq!(entry["SEALPACK_TARGET"], target);
    Ok(())
}

/// A machine without a journal, one that listens no more, one that is no socket: nothing of that is a command's business.
#[test]
fn no_command_fails_where_nobody_can_be_told() -> Result<()> {
    let machine = Machine::new()?;
    let file = machine.dir.path().join("file");
    fs::write(&file, "")?;
    let nobody = machine.dir.path().join("nobody");
    drop(UnixDatagram::bind(machine.place.path().join("gone"))?);
    for socket in [file, nobody, machine.place.path().join("gone"), PathBuf::new()] {
        let mut command = machine.command(&["pull", &machine.image, "--name", "one"]);
        let output = run(command.env("SEALPACK_JOURNAL", &socket))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!said.contains("journal"), "{}: {said}", socket.display());
    }
    assert_eq!(machine.entries()?, []);
    Ok(())
}

#[test]
fn journalctl_takes_the_catalogue_and_finds_every_identifier() -> Result<()> {
    let root = tempfile::tempdir()?;
    for directory in ["usr/lib/systemd/catalog", "var/lib/systemd/catalog"] {
        fs::create_dir_all(root.path().join(directory))?;
    }
    fs::copy(catalog(), root.path().join("usr/lib/systemd/catalog/sealpack.catalog"))?;
    let journalctl = |option: &str| {
        let mut command = Command::new("journalctl");
        command.arg("--root").arg(root.path()).arg(option);
        command
    };
    let output = run(&mut journalctl("--update-catalog"))?;
    ensure!(output.stderr.is_empty(), "{output:?}");
    let listed = stdout(&mut journalctl("--list-catalog"))?;
    let code = fs::read_to_string(workspace().join("crates/node/src/journal.rs"))?;
    let code = code.split("#[cfg(test)]").next().context("code")?;
    let is_id = |word: &&str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let ids: Vec<&str> = code.split('"').filter(is_id).collect();
    assert_eq!((ids.len(), listed.lines().count()), (6, 6), "{listed}");
    let page = fs::read_to_string(workspace().join("docs/metrics.md"))?;
    for id in ids {
        ensure!(listed.contains(id) && page.contains(&format!("`{id}`")), "{id} is not in {listed}");
        // Whoever reads it is led to a page that there is.
        ensure!(explained(id)?.contains("Documentation: man:sealpack-"), "{id}");
    }
    Ok(())
}
