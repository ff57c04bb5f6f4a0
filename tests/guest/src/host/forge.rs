//! UKIs that nobody should start: signed all the same, or changed after they were signed.

use crate::keys::Key;
use anyhow::{Context, Result, ensure};
use sealpack_format::pe::{self, Image, NewSection};
use sealpack_tests::command::run;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The word of the command line that names the root hash.
const ROOT: &[u8] = b"sealpack.root=";

/// Writes a UKI whose command line, and the copy of that in the initramfs, is changed without becoming longer or shorter, and
/// that is signed by `key`: what a builder would make who knows no better.
///
/// # Errors
/// If `uki` is none; what `change` says; if sbsign fails.
pub fn with_command_line(
    uki: &Path,
    stub: &[u8],
    key: &Key,
    change: &dyn Fn(&[u8]) -> Result<Vec<u8>>,
    target: &Path,
) -> Result<()> {
    let bytes = fs::read(uki)?;
    let image = Image::parse(&bytes)?;
    let stub = Image::parse(stub)?;
    let mut sections = Vec::new();
    for section in image.sections() {
        let name = section.name.as_str();
        if stub.section(name).is_some() {
            continue;
        }
        let content = image.section(name).with_context(|| format!("there is no section {name}"))?;
        let content = match name {
            ".cmdline" => change(content)?,
            ".initrd" => zstd::encode_all(change(&zstd::decode_all(content)?)?.as_slice(), 3)?,
            _ => content.to_vec(),
        };
        sections.push((name, content));
    }
    let sections: Vec<NewSection<'_>> = sections
        .iter()
        .map(|(name, content)| NewSection { name, content, is_code: *name == ".linux" })
        .collect();
    let unsigned = target.with_extension("unsigned");
    fs::write(&unsigned, pe::append_sections(&stub, &sections)?)?;
    let mut sbsign = Command::new("sbsign");
    sbsign.arg("--key").arg(key.key()).arg("--cert").arg(key.certificate());
    run(sbsign.arg("--output").arg(target).arg(unsigned)).map(drop)
}

/// Writes a UKI with one changed bit in its command line.
///
/// # Errors
/// If `uki` is none.
pub fn with_changed_byte(uki: &Path, target: &Path) -> Result<()> {
    let mut bytes = fs::read(uki)?;
    let image = Image::parse(&bytes)?;
    let line = image.sections().iter().find(|section| section.name == ".cmdline");
    let line = line.context("there is no command line")?.file.clone();
    let place = line.start + find(&bytes[line], ROOT).context("no root hash is named")? + ROOT.len();
    bytes[place] ^= 1;
    fs::write(target, bytes).with_context(|| format!("cannot write {}", target.display()))
}

/// The text with `from`, which has to be there, exchanged for `to`, which is as long.
///
/// # Errors
/// It is not there.
pub fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Result<Vec<u8>> {
    let place = find(text, from).context("what is to be exchanged is not there")?;
    let mut text = text.to_vec();
    text[place..place + from.len()].copy_from_slice(to);
    Ok(text)
}

/// The text with another digit in the root hash.
///
/// # Errors
/// It names none.
pub fn another_root(text: &[u8]) -> Result<Vec<u8>> {
    let mut text = text.to_vec();
    let place = find(&text, ROOT).context("no root hash is named")? + ROOT.len();
    let digit = text.get_mut(place).context("the root hash is cut short")?;
    ensure!(digit.is_ascii_hexdigit(), "the root hash is no digest");
    *digit = if *digit == b'0' { b'1' } else { b'0' };
    Ok(text)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
