//! Man pages and completions, which the program writes itself.

use super::tree::{Entry, Node};
use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::{files, program};
use std::fs;
use std::path::Path;

/// Where shells look for what completes `sealpack`, below share/. zsh has several places: [`DEBIAN_ZSH`], [`ZSH`].
const SHELLS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/sealpack"),
    ("fish", "fish/vendor_completions.d/sealpack.fish"),
    ("zsh", ZSH),
];
/// Debian's zsh looks for completions of packages here.
pub(super) const DEBIAN_ZSH: &str = "zsh/vendor-completions/_sealpack";
/// Every zsh looks here, below its prefix.
pub(super) const ZSH: &str = "zsh/site-functions/_sealpack";

/// Files by their paths below share/, with [`ZSH`] for zsh.
pub(crate) struct Manual {
    files: Vec<(String, Vec<u8>)>,
}

impl Manual {
    /// What `program` writes, by way of the directory `place`, which is made.
    pub(crate) fn of(program: &Path, place: &Path) -> Result<Self> {
        fs::create_dir_all(place)?;
        run(program::start(program).args(["generate", "man"]).arg(place))?;
        let mut files = Vec::new();
        for path in files::below(place)? {
            let name = path.file_name().and_then(|name| name.to_str()).context("a page's name")?;
            let (_, section) = name.rsplit_once('.').context("a page has a section")?;
            files.push((format!("man/man{section}/{name}"), fs::read(&path)?));
        }
        for (shell, path) in SHELLS {
            let said = run(program::start(program).args(["generate", "completions", shell]))?;
            files.push((path.to_owned(), said.stdout));
        }
        Ok(Self { files })
    }

    /// Files by their paths below share/, of nobody's.
    #[cfg(test)]
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        Self {
            files: files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect(),
        }
    }

    /// The files by their paths below a prefix.
    pub(crate) fn files(&self) -> impl Iterator<Item = (String, &[u8])> {
        self.files.iter().map(|(path, content)| (format!("share/{path}"), content.as_slice()))
    }

    /// The same below `prefix`, with zsh's at `zsh`, and pages compressed where that is wanted.
    pub(super) fn entries(&self, prefix: &str, zsh: &str, compressed: bool) -> Vec<Entry> {
        let entry = |(path, content): &(String, Vec<u8>)| {
            let path = if path == ZSH { zsh } else { path };
            if compressed && path.starts_with("man/") {
                (format!("{prefix}/share/{path}.gz"), Node::Compressed(content.clone()))
            } else {
                (format!("{prefix}/share/{path}"), Node::File(content.clone()))
            }
        };
        self.files.iter().map(entry).collect()
    }
}
