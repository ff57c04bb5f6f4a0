//! Under which conditions what is in the packages may be used.

use super::sbom::Part;
use anyhow::{Context, Result};
use sealpack_tests::paths;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The file `copyright` of the packages, in Debian's format.
pub(super) fn copyright() -> Result<String> {
    let mit = fs::read_to_string(paths::workspace().join("LICENSE-MIT"))?;
    let holder =
        mit.lines().find(|line| line.starts_with("Copyright")).context("LICENSE-MIT names nobody")?;
    let holder = holder.trim_start_matches("Copyright").trim_start_matches(" (c)").trim();
    let mut text = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: Sealpack\n\n\
         Files: *\nCopyright: {holder}\nLicense: MIT or Apache-2.0\n\
         Comment: The programs are made of libraries by others, too, whose notices are in the file\n third-party beside this one.\n\n\
         License: Apache-2.0\n On Debian the text is in /usr/share/common-licenses/Apache-2.0.\n\n\
         License: MIT\n"
    );
    for line in mit.trim_end().lines() {
        text.push_str(&if line.trim().is_empty() { " .\n".to_owned() } else { format!(" {line}\n") });
    }
    Ok(text)
}

/// The notices of the libraries that are in the programs: each text once, with whose it is.
pub(super) fn notices(parts: &[Part]) -> Result<Vec<u8>> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut out =
        "Sealpack's programs have these libraries in them, under the conditions that stand beside each.\n\n"
            .to_owned();
    for part in parts.iter().filter(|part| !part.is_own()) {
        writeln!(out, "{} {}: {}", part.name, part.version, part.licence)?;
        for text in of_directory(&part.directory)? {
            texts.entry(text).or_default().push(format!("{} {}", part.name, part.version));
        }
    }
    let mut by_part: Vec<_> = texts.into_iter().map(|(text, parts)| (parts, text)).collect();
    by_part.sort();
    for (parts, text) in by_part {
        write!(out, "\n{}\n{}\n\n{text}\n", "-".repeat(72), parts.join(", "))?;
    }
    Ok(out.into_bytes())
}

/// The files of a library that have licences and notices, in the order of their names.
fn of_directory(directory: &Path) -> Result<Vec<String>> {
    let is_notice = |name: &str| {
        let name = name.to_ascii_uppercase();
        ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|word| name.starts_with(word))
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_str().is_some_and(is_notice) {
            found.push(entry.path());
        }
    }
    found.sort();
    let texts =
        found.iter().map(|path| Ok(String::from_utf8_lossy(&fs::read(path)?).trim_end().replace('\r', "")));
    texts.collect()
}
