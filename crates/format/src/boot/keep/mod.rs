//! What a sealed host keeps of `/etc` over a reboot: a list in its image, `/usr/lib/sealpack/etc.keep`.
//!
//! One line is one path: `/etc/NAME` a file, `/etc/NAME/` with a slash at its end a directory with all that is in it. Blank
//! lines, and those that begin with `#`, say nothing. There are no patterns.
//!
//! A persistent `/etc` is persistent root: what says which programs run would run again at each boot. So a list cannot
//! name such places, nor a directory that has one in it, and whoever copies a directory asks for each of its files again
//! ([`EtcPath::join`]). It is a list of what is known, not of all that could be: keep little.

use std::fmt;
use std::path::{Path, PathBuf};

mod places;
#[cfg(test)]
mod tests;

/// Where the list is in an image.
pub const LIST_PATH: &str = "/usr/lib/sealpack/etc.keep";
/// The largest list that is read, in bytes.
pub const LIST_MAX_BYTES: usize = 64 * 1024;
/// The largest file that is kept, in bytes: all that is kept goes through memory, and `/etc` is in memory.
pub const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// The most bytes that all kept files may have together.
pub const TOTAL_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The most files that are kept.
pub const FILES_MAX: usize = 1024;
/// The longest path, in bytes, `/etc/` not counted.
const PATH_MAX_BYTES: usize = 1024;
/// The longest name in a path, in bytes: that of Linux.
const NAME_MAX_BYTES: usize = 255;
/// The deepest path below `/etc`, so that who walks along one needs no more descriptors than that.
pub const DEPTH_MAX: usize = 16;

/// What is kept where an image has no list.
const BUILT_IN: &str = "\
/etc/machine-id
/etc/hostname
/etc/hosts
/etc/resolv.conf
/etc/ssh/ssh_host_rsa_key
/etc/ssh/ssh_host_rsa_key.pub
/etc/ssh/ssh_host_ecdsa_key
/etc/ssh/ssh_host_ecdsa_key.pub
/etc/ssh/ssh_host_ed25519_key
/etc/ssh/ssh_host_ed25519_key.pub
/etc/passwd
/etc/group
/etc/shadow
/etc/gshadow
/etc/subuid
/etc/subgid
/etc/systemd/network/
/etc/NetworkManager/system-connections/
/etc/netplan/
";

/// A path below `/etc` that may be kept: without `.`, `..`, empty or overlong names, and no place from which programs are
/// run or that says which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtcPath(String);

/// Why a path is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EtcPathError {
    /// It does not begin with `/etc/`, or names nothing in there.
    #[error("it is not a path below /etc")]
    Outside,
    /// It has a name in it that stands for none of its own.
    #[error("it has an empty name, `.` or `..` in it")]
    Name,
    /// It has characters that would be read as a pattern, or that nobody sees.
    #[error("it has a character in it that such paths may not have (there are no patterns)")]
    Character,
    /// It, one of its names, or its depth is beyond the limits.
    #[error("it is too long, or has more than {DEPTH_MAX} names")]
    Long,
    /// What is there is run, or says what is run.
    #[error("programs are run from there, or it says which are: kept, it would be run again at each boot")]
    Runs,
    /// It is a directory with such a place in it.
    #[error("it is a directory that has places in it which are never kept, such as /etc/{0}")]
    Around(&'static str),
}

impl EtcPath {
    /// The path of a file, `/etc/…`.
    ///
    /// # Errors
    /// If it is none, or not kept.
    pub fn new(path: &str) -> Result<Self, EtcPathError> {
        let below = path.strip_prefix("/etc/").filter(|below| !below.is_empty());
        Self::below(below.ok_or(EtcPathError::Outside)?)
    }

    /// What has the name `name` in this directory.
    ///
    /// # Errors
    /// If it is not kept.
    pub fn join(&self, name: &str) -> Result<Self, EtcPathError> {
        if name.contains('/') {
            return Err(EtcPathError::Name);
        }
        Self::below(&format!("{}/{name}", self.0))
    }

    fn below(path: &str) -> Result<Self, EtcPathError> {
        let is_plain = |character: char| {
            !character.is_control() && !character.is_whitespace() && !"*?[]{}\\\"'`$~".contains(character)
        };
        let mut depth: usize = 0;
        for name in path.split('/') {
            depth = depth.saturating_add(1);
            if matches!(name, "" | "." | "..") {
                return Err(EtcPathError::Name);
            }
            if !name.chars().all(is_plain) {
                return Err(EtcPathError::Character);
            }
            if name.len() > NAME_MAX_BYTES {
                return Err(EtcPathError::Long);
            }
        }
        if depth > DEPTH_MAX || path.len() > PATH_MAX_BYTES {
            return Err(EtcPathError::Long);
        }
        if places::runs(path) { Err(EtcPathError::Runs) } else { Ok(Self(path.to_owned())) }
    }

    /// The path without `/etc/`: where it is in any directory that stands for `/etc`.
    #[must_use]
    pub fn in_etc(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The whole path.
    #[must_use]
    pub fn absolute(&self) -> PathBuf {
        Path::new("/etc").join(&self.0)
    }
}

/// As `/etc/…`.
impl fmt::Display for EtcPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/etc/{}", self.0)
    }
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// One file.
    File(EtcPath),
    /// A directory, with all that is in it and may be kept.
    Directory(EtcPath),
}

impl Entry {
    fn parse(line: &str) -> Result<Self, EtcPathError> {
        let Some(directory) = line.strip_suffix('/') else { return EtcPath::new(line).map(Self::File) };
        let path = EtcPath::new(directory)?;
        match places::inside(&path.0) {
            Some(place) => Err(EtcPathError::Around(place)),
            None => Ok(Self::Directory(path)),
        }
    }

    /// The path that it names.
    #[must_use]
    pub const fn path(&self) -> &EtcPath {
        match self {
            Self::File(path) | Self::Directory(path) => path,
        }
    }
}

/// What is kept of `/etc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepList(Vec<Entry>);

/// Why a text is no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeepListError {
    /// It is larger than any list.
    #[error("the list has more than {LIST_MAX_BYTES} bytes")]
    Large,
    /// It is no UTF-8.
    #[error("line {line}: it is not UTF-8")]
    Text {
        /// Which line, from 1.
        line: usize,
    },
    /// A line names what is not kept.
    #[error("line {line}, {text:?}: {source}")]
    Path {
        /// Which line, from 1.
        line: usize,
        /// The line.
        text: String,
        /// Why.
        source: EtcPathError,
    },
}

impl KeepList {
    /// Reads the list in an image.
    ///
    /// # Errors
    /// The first line that is wrong, and why. Nothing of such a list counts.
    pub fn parse(text: &[u8]) -> Result<Self, KeepListError> {
        if text.len() > LIST_MAX_BYTES {
            return Err(KeepListError::Large);
        }
        let mut entries = Vec::new();
        for (line, text) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let text = str::from_utf8(text).map_err(|_| KeepListError::Text { line })?.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let failed = |source| KeepListError::Path { line, text: text.to_owned(), source };
            entries.push(Entry::parse(text).map_err(failed)?);
        }
        Ok(Self(entries))
    }

    /// What is kept where the image has no list: the machine's identity, its keys for SSH, its users and its network.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN.as_bytes()).expect("the text above is a list; a test reads it")
    }

    /// The lines, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether a file is named, or is in a directory that is.
    #[must_use]
    pub fn has(&self, path: &EtcPath) -> bool {
        self.0.iter().any(|entry| match entry {
            Entry::File(file) => file == path,
            Entry::Directory(directory) => path != directory && path.in_etc().starts_with(directory.in_etc()),
        })
    }
}
