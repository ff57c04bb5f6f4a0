//! What is mounted: `/proc/PID/mountinfo` (Documentation/filesystems/proc.rst, section 3.5).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::io::Errno;

/// A mount, one line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount's number, unique while it lives; `STATX_MNT_ID` gives the same.
    pub id: u64,
    /// The number of the mount that this one is on.
    pub parent_id: u64,
    /// Major and minor number of the filesystem's device (`st_dev`).
    pub device: (u32, u32),
    /// What of the filesystem is mounted: `/` unless this is a bind mount.
    pub root: PathBuf,
    /// Where it is mounted, as seen from the root directory of the process.
    pub mount_point: PathBuf,
    /// Attributes of the mount, separated by commas: `ro,nosuid,nodev`.
    pub attributes: OsString,
    /// `shared:N`, `master:N` and the like, separated by spaces.
    pub propagation: OsString,
    /// The filesystem's type: `overlay`, `erofs`.
    pub fs_type: OsString,
    /// What was mounted: a device's path, or whatever name whoever mounted it gave.
    pub source: OsString,
    /// The filesystem's own options, separated by commas and still escaped: a comma in a value
    /// is `\054`. Use [`Mount::option`].
    pub raw_options: OsString,
}

impl Mount {
    /// Whether the mount has the attribute `name`, for example `ro`.
    #[must_use]
    pub fn has_attribute(&self, name: &str) -> bool {
        self.attributes.as_bytes().split(|byte| *byte == b',').any(|word| word == name.as_bytes())
    }

    /// The value of the filesystem's first option `key`: empty for a flag, `None` if it is not
    /// there.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<OsString> {
        self.options(key).next()
    }

    /// The values of all of the filesystem's options `key`, as [`option`](Self::option) has the first.
    pub fn options<'m>(&'m self, key: &'m str) -> impl Iterator<Item = OsString> + 'm {
        self.raw_options.as_bytes().split(|byte| *byte == b',').filter_map(move |option| {
            let value = option.strip_prefix(key.as_bytes())?;
            match value.split_first() {
                None => Some(OsString::new()),
                Some((b'=', value)) => Some(OsString::from_vec(unescape(value))),
                Some(_) => None,
            }
        })
    }
}

/// A line of mountinfo that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mountinfo, line {line}: {field} is missing or malformed")]
pub struct ParseError {
    /// The line's number, from 1.
    pub line: usize,
    /// Which field.
    pub field: &'static str,
}

/// Parses all of a mountinfo file.
///
/// # Errors
/// Names the first line and field that cannot be parsed.
pub fn parse(bytes: &[u8]) -> Result<Vec<Mount>, ParseError> {
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| parse_line(line).map_err(|field| ParseError { line: index + 1, field }))
        .collect()
}

/// Why a mountinfo file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        error: io::Error,
    },
    /// It cannot be parsed.
    #[error("{}: {error}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: ParseError,
    },
}

impl ReadError {
    /// The error number, when it cannot be read.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Io { error, .. } => Errno::from_io_error(error),
            Self::Parse { .. } => None,
        }
    }
}

/// The mounts that the calling thread sees.
///
/// # Errors
/// When `/proc` is not mounted, among others.
pub fn read_own() -> Result<Vec<Mount>, ReadError> {
    // Not /proc/self: that is the first thread of the process, and mount namespaces are a
    // thread's.
    read("/proc/thread-self/mountinfo".into())
}

/// The mounts that the process `pid` sees.
///
/// # Errors
/// `ENOENT` or `ESRCH` when there is no such process (any more), `EINVAL` for one that is just
/// ending, `EACCES` for a process of another user without `CAP_SYS_PTRACE`.
pub fn read_process(pid: u32) -> Result<Vec<Mount>, ReadError> {
    read(format!("/proc/{pid}/mountinfo").into())
}

fn read(path: PathBuf) -> Result<Vec<Mount>, ReadError> {
    match std::fs::read(&path) {
        Ok(bytes) => parse(&bytes).map_err(|error| ReadError::Parse { path, error }),
        Err(error) => Err(ReadError::Io { path, error }),
    }
}

/// Parses one line. An error is the name of the field.
fn parse_line(line: &[u8]) -> Result<Mount, &'static str> {
    // Strictly one space between fields: a source may be empty.
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = |name: &'static str| fields.next().ok_or(name);
    let id = number(next("the mount's number")?).ok_or("the mount's number")?;
    let parent_id = number(next("the parent's number")?).ok_or("the parent's number")?;
    let device = device(next("the device")?).ok_or("the device")?;
    let root = text(next("the root")?).into();
    let mount_point = text(next("the mount point")?).into();
    let attributes = text(next("the attributes")?);
    let mut propagation = Vec::new();
    loop {
        match next("the separator")? {
            b"-" => break,
            word => propagation.push(word),
        }
    }
    Ok(Mount {
        id,
        parent_id,
        device,
        root,
        mount_point,
        attributes,
        propagation: text(&propagation.join(&b' ')),
        fs_type: text(next("the type")?),
        source: text(next("the source")?),
        raw_options: OsStr::from_bytes(next("the options")?).to_owned(),
    })
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    let digits = field.iter().all(u8::is_ascii_digit);
    str::from_utf8(field).ok().filter(|_| digits)?.parse().ok()
}

fn device(field: &[u8]) -> Option<(u32, u32)> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    Some((number(&field[..colon])?, number(&field[colon + 1..])?))
}

fn text(field: &[u8]) -> OsString {
    OsString::from_vec(unescape(field))
}

/// Resolves `\ooo`, which the kernel writes for spaces, tabs, newlines, backslashes and `#`
/// (fs/proc_namespace.c, `mangle`) and in options for commas too. Anything else stays as it is.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn one(line: &[u8]) -> Mount {
        let mut mounts = parse(line).unwrap();
        assert_eq!(mounts.len(), 1);
        mounts.remove(0)
    }

    #[test]
    fn every_field_of_the_documented_example_is_read() {
        let mount =
            one(b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n");
        let expected = Mount {
            id: 36,
            parent_id: 35,
            device: (98, 0),
            root: "/mnt1".into(),
            mount_point: "/mnt2".into(),
            attributes: "rw,noatime".into(),
            propagation: "master:1 shared:2".into(),
            fs_type: "ext3".into(),
            source: "/dev/root".into(),
            raw_options: "rw,errors=continue".into(),
        };
        assert_eq!(mount, expected);
        assert!(mount.has_attribute("noatime") && !mount.has_attribute("no"));
        assert_eq!(mount.option("errors"), Some("continue".into()));
        assert_eq!(mount.option("rw"), Some(OsString::new()));
        assert_eq!(mount.option("error"), None);
    }

    #[test]
    fn escapes_are_resolved_and_any_bytes_survive() {
        let mount =
            one(b"1 1 0:1 / /a\\040b\\134\\012\\9\xff rw - overlay a\\011b rw,upperdir=/x\\054y\\040z");
        assert_eq!(mount.mount_point.as_os_str().as_bytes(), b"/a b\\\n\\9\xff");
        assert_eq!(mount.source, "a\tb");
        assert_eq!(mount.option("upperdir"), Some("/x,y z".into()));
    }

    #[test]
    fn an_empty_source_does_not_shift_the_options() {
        let mount = one(b"1 1 0:1 / / rw - tmpfs  rw,size=1k");
        assert_eq!((mount.source.len(), mount.option("size")), (0, Some("1k".into())));
    }

    #[test]
    fn a_malformed_line_is_named_with_its_field() {
        let field = |line: &[u8]| {
            let error = parse(&[b"1 1 0:1 / / rw - t s o\n", line].concat()).unwrap_err();
            assert_eq!(error.line, 2);
            error.field
        };
        assert_eq!(field(b"x"), "the mount's number");
        assert_eq!(field(b"+1 2 0:1 / / rw - t s o"), "the mount's number");
        assert_eq!(field(b"1"), "the parent's number");
        assert_eq!(field(b"1 2 01 / / rw - t s o"), "the device");
        assert_eq!(field(b"1 2 0:1 / / rw t s o"), "the separator");
        assert_eq!(field(b"1 2 0:1 / / rw - t s"), "the options");
    }

    #[test]
    fn the_mounts_of_this_thread_can_be_read() {
        let mounts = read_own().unwrap();
        assert!(mounts.iter().any(|mount| mount.mount_point == Path::new("/proc")));
        assert!(!read_process(std::process::id()).unwrap().is_empty());
        assert_eq!(read_process(u32::MAX).unwrap_err().errno(), Some(Errno::NOENT));
    }
}
