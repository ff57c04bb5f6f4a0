//! What a command that fails must say, and what it must leave alone.

use crate::command::display;
use crate::program::Sealpack;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The exit status of a command that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It could not be done.
    Failed = 1,
    /// It was asked for wrongly.
    Usage = 2,
    /// Something is not what a digest, a size or a required level says.
    Refused = 3,
}

/// The files of a store by their paths in it: length and inode. Equal listings have the same files, none of
/// them written anew. Left out are `verified`, which remembers what was hashed, also of what is gone again, until
/// the next gc, and `facts`, which remembers what else was found out.
pub type Listing = BTreeMap<PathBuf, (u64, u64)>;

/// What can be seen of a store.
#[derive(Debug, PartialEq)]
pub struct State {
    images: Value,
    files: Listing,
}

impl Sealpack {
    /// What is in the store, which must be there and in order.
    ///
    /// # Errors
    /// If `images` or `fsck` fail.
    pub fn state(&self) -> Result<State> {
        self.run(["fsck"]).context("the store is not in order")?;
        Ok(State { images: self.json(["images"])?, files: self.listing()? })
    }

    /// The store's files, none if there is no store.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn listing(&self) -> Result<Listing> {
        if !self.store().exists() {
            return Ok(Listing::new());
        }
        let mut listing = Listing::new();
        let is_memory = |path: &PathBuf| ["verified", "facts"].iter().any(|name| path.as_os_str() == *name);
        for path in self.files()?.into_iter().filter(|path| !is_memory(path)) {
            let metadata = self.store().join(&path).symlink_metadata()?;
            listing.insert(path, (metadata.len(), metadata.ino()));
        }
        Ok(listing)
    }

    /// Runs a command that has to fail, [judges](judge) what it says, and compares the store before with the
    /// store after.
    ///
    /// # Errors
    /// If anything is not as it has to be.
    pub fn refuses<A: AsRef<OsStr>>(
        &self,
        exit: Exit,
        arguments: impl IntoIterator<Item = A>,
        words: &[&str],
    ) -> Result<()> {
        let before = self.state()?;
        self.fails(exit, arguments, words)?;
        self.is_as(&before)
    }

    /// As [`refuses`](Self::refuses), for a store that cannot be used, or is not there: only its files are
    /// compared.
    ///
    /// # Errors
    /// If anything is not as it has to be.
    pub fn fails<A: AsRef<OsStr>>(
        &self,
        exit: Exit,
        arguments: impl IntoIterator<Item = A>,
        words: &[&str],
    ) -> Result<()> {
        let before = self.listing()?;
        let mut command = self.command(arguments);
        judge(&mut command, exit, words)?;
        same_files(&before, &self.listing()?).with_context(|| display(&command))
    }

    /// Whether the store is in order and as it was.
    ///
    /// # Errors
    /// If not: what is different.
    pub fn is_as(&self, before: &State) -> Result<()> {
        let now = self.state()?;
        same_files(&before.files, &now.files)?;
        ensure!(now.images == before.images, "the images were {}, and are {}", before.images, now.images);
        Ok(())
    }
}

fn same_files(before: &Listing, now: &Listing) -> Result<()> {
    let only = |one: &Listing, other: &Listing| -> Vec<String> {
        let missing = one.iter().filter(|(path, facts)| other.get(*path) != Some(*facts));
        missing.map(|(path, (size_bytes, _))| format!("{} ({size_bytes} bytes)", path.display())).collect()
    };
    let (gone, new) = (only(before, now), only(now, before));
    ensure!(
        gone.is_empty() && new.is_empty(),
        "the store is not as it was\n  gone or changed: {gone:#?}\n  new or changed: {new:#?}"
    );
    Ok(())
}

/// Runs a command that has to fail and judges what it says; see [`judge_output`].
///
/// # Errors
/// If it cannot be started, or says something else.
pub fn judge(command: &mut Command, exit: Exit, words: &[&str]) -> Result<()> {
    command.stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot start {}", display(command)))?;
    judge_output(&output, exit, words).with_context(|| display(command))
}

/// Judges a failed command: its exit status; nothing on standard output; on standard error exactly one message,
/// which begins with `error: `, has all of `words`, is one line, and is followed by nothing but perhaps a hint
/// (or, from the parser of the command line, by the usage).
///
/// # Errors
/// If anything of that is not so.
pub fn judge_output(output: &Output, exit: Exit, words: &[&str]) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    ensure!(status.code() == Some(exit as i32), "it ended with {status}, not {}:\n{said}", exit as i32);
    ensure!(
        output.stdout.is_empty(),
        "standard output has {:?} beside the error:\n{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    let lines: Vec<&str> = said.lines().collect();
    let errors: Vec<usize> = (0..lines.len()).filter(|line| lines[*line].starts_with("error: ")).collect();
    let &[at] = errors.as_slice() else { bail!("{} messages of errors, not one:\n{said}", errors.len()) };
    if exit != Exit::Usage {
        let hint = match &lines[at + 1..] {
            [] => true,
            [hint] => hint.starts_with("hint: "),
            _ => false,
        };
        ensure!(hint, "something stands behind the error:\n{said}");
    }
    let message = lines[at..].join("\n");
    for word in words {
        ensure!(message.contains(word), "{word:?} is not in the message:\n{said}");
    }
    Ok(())
}
