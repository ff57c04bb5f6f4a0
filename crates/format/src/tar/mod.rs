//! Reads tar streams of every common form: v7, ustar, GNU and PAX (POSIX.1-2017, `pax`,
//! "ustar Interchange Format" and "pax Interchange Format"; the GNU tar manual, "Tar Internals").
//!
//! [`Reader`] does no I/O: bytes are pushed in as they come, [`Event`]s are pulled out, and the
//! data of files is handed through as slices of the caller's buffer. Memory stays below a few
//! times the [`Limits`], whatever the stream holds.
//!
//! Where readers differ from each other on odd input, this one reads what Go's `archive/tar`, and
//! with it containerd and Docker, would read, or refuses. `docs/formats/tar.md` has the list.

mod error;
mod header;
mod member;
mod names;
mod number;
mod pax;
mod reader;
mod sparse;

pub use error::{Error, ErrorKind, NameProblem, NumberProblem, SparseProblem};
pub use reader::Reader;

use crate::tree::{Time, Xattrs};

/// What comes next in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// The input is used up; nothing is known before there is more of it.
    NeedInput,
    /// A member begins. Its contents follow, then [`Event::MemberEnd`], whatever its kind.
    Member(Member),
    /// The next bytes of the member's contents, never none. Only regular files have any.
    Data(&'a [u8]),
    /// So many zero bytes come next in the member's contents: a hole of a sparse file, never empty.
    Hole(u64),
    /// The member is complete: data and holes add up to its size.
    MemberEnd,
    /// The two blocks of zeros that end an archive. What follows is taken and ignored.
    End,
}

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The path as it is in the archive: not empty, without NUL bytes, and nothing else is promised.
    /// Directories usually have a slash at the end.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub permissions: u16,
    /// Owner. Names of users are not looked at.
    pub uid: u32,
    /// Group. Names of groups are not looked at.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Time,
    /// Size of a regular file's contents in bytes, holes included; 0 for everything else.
    pub size: u64,
    /// Extended attributes, with the names that they have in a file system.
    pub xattrs: Xattrs,
    /// Where the member's first header (an extended one, if it has any) starts in the stream, in bytes.
    pub offset: u64,
}

/// What a member is. Targets of links are not empty and have no NUL bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    Regular,
    /// A further name of the member with this path.
    HardLink(Vec<u8>),
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// A directory.
    Directory,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// How much a stream may ask for. More is an error ([`ErrorKind::Limit`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of a path or of a link's target, in bytes.
    pub path_bytes: usize,
    /// Length of one extended header (PAX, GNU long name), in bytes.
    pub extended_header_bytes: usize,
    /// Number of extended attributes of one member.
    pub xattrs: usize,
    /// Length of one extended attribute's value, in bytes.
    pub xattr_value_bytes: usize,
    /// Number of data regions of one sparse file.
    pub sparse_regions: usize,
    /// Length of all holes of all sparse files of the stream, in bytes: a hole costs a few bytes
    /// in the stream and much more where it is hashed.
    pub hole_bytes: u64,
}

impl Default for Limits {
    /// Above what Linux allows and real archives hold, and 1 TiB of holes.
    fn default() -> Self {
        Self {
            path_bytes: 64 * 1024,
            extended_header_bytes: 1024 * 1024,
            xattrs: 1024,
            xattr_value_bytes: 64 * 1024,
            sparse_regions: 128 * 1024,
            hole_bytes: 1 << 40,
        }
    }
}
