//! The composefs dump format: a tree as text, one line for each name.
//!
//! What `composefs-info dump` prints and `mkcomposefs --from-file` takes; specified in
//! composefs's `man/composefs-dump.md`, and here in `docs/formats/dump.md`.

mod build;
mod escape;
mod line;
mod write;

pub use build::Builder;
pub use escape::{Also, escape};
pub use write::write;

use crate::tree::{Tree, TreeError};

/// The longest line that is read, in bytes. A line holds a path, a payload, an inline content
/// and attributes; paths are the only part without a limit of its own.
pub const LINE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// How closely a dump must keep to its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Exactly what the format is: every line ended by a newline, all eleven fields, plain
    /// decimal numbers in range, a symbolic link's size that of its target.
    #[default]
    Strict,
    /// What `mkcomposefs` takes without `CFS_PARSE_STRICT`: the last newline may be missing,
    /// numbers may be signed and are cut to their width as C does it, sizes of symbolic links
    /// and device numbers of what is no device are ignored, paths may have repeated or
    /// no leading slashes and end at a NUL.
    Lenient,
}

/// Reads a whole dump. For one that comes in pieces, see [`Builder`].
///
/// # Errors
/// The first line that is wrong, with what is wrong with it.
pub fn parse(bytes: &[u8], mode: Mode) -> Result<Tree, DumpError> {
    let mut builder = Builder::new(mode);
    builder.push(bytes)?;
    builder.finish()
}

/// What is wrong with a dump, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct DumpError {
    /// The number of the line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: LineError,
}

/// What is wrong with a line of a dump.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// No line at all.
    #[error("the dump has no entries")]
    Empty,
    /// The last line is cut off.
    #[error("the newline at the end is missing; the dump may be cut off")]
    NoNewline,
    /// A line of more than [`LINE_MAX_BYTES`].
    #[error("the line has more than 16 MiB")]
    TooLong,
    /// A NUL byte as it is.
    #[error("there is a NUL byte at position {0} of the line; it must be written \\x00")]
    Nul(usize),
    /// Fewer than eleven fields.
    #[error("the field {0} is missing")]
    MissingField(&'static str),
    /// A backslash with something unknown behind it.
    #[error(
        "the field {field} has a bad escape at position {position}; \\\\, \\n, \\r, \\t and \\xHH are known"
    )]
    Escape {
        /// The field.
        field: &'static str,
        /// The position of the backslash in the field.
        position: usize,
    },
    /// A field with a NUL byte that ends it in C.
    #[error("the field {0} has a NUL byte")]
    EscapedNul(&'static str),
    /// Not a number, or one out of range.
    #[error("the field {field} must be a number{range}, not {text:?}")]
    Number {
        /// The field.
        field: &'static str,
        /// Which numbers are possible.
        range: &'static str,
        /// What stands there, with odd bytes escaped, cut after 64 bytes.
        text: String,
    },
    /// A mode without a known file type.
    #[error("the mode {0:o} has no known file type")]
    FileType(u64),
    /// A path that does not start with a slash, or has empty names in it.
    #[error("the path must start with a slash and have no empty names")]
    Path,
    /// A first line that is not that of the root directory.
    #[error("the root directory / must come first")]
    RootMissing,
    /// A second root.
    #[error("there is a second root directory /")]
    SecondRoot,
    /// A root that is something else.
    #[error("the root / must be a directory")]
    RootType,
    /// A path below something that has not been there.
    #[error("the directory {0:?} must come before what is in it")]
    ParentMissing(String),
    /// A path below something that is no directory.
    #[error("{0:?} is not a directory")]
    ParentType(String),
    /// A name that cannot be, or is there already.
    #[error(transparent)]
    Name(#[from] TreeError),
    /// An inline content whose length is not the file's size.
    #[error("the inline content has {content_bytes} bytes, but the size is {size}")]
    ContentSize {
        /// Bytes of the content.
        content_bytes: usize,
        /// The stated size.
        size: u64,
    },
    /// An inline content beyond the format's limit.
    #[error("the inline content has {0} bytes; at most 5000 can be inline")]
    ContentLimit(usize),
    /// A file outside the image whose table of chunks would be too large.
    #[error("the size {0} is too large; files of more than 2^53 bytes cannot be described")]
    FileSize(u64),
    /// A size that would change the inode of something that has no content.
    #[error("the size {0} is too large for something that has no content")]
    NoContentSize(u64),
    /// A payload beyond PATH_MAX.
    #[error("the payload has {0} bytes; at most 4095 are possible")]
    PayloadLimit(usize),
    /// A symbolic link without a target.
    #[error("a symbolic link needs its target as payload")]
    TargetMissing,
    /// A symbolic link whose size is not its target's.
    #[error("the size of a symbolic link must be that of its target, {target_bytes}, not {size}")]
    TargetSize {
        /// Bytes of the target.
        target_bytes: usize,
        /// The stated size.
        size: u64,
    },
    /// A symbolic link with an inline content.
    #[error("a symbolic link cannot have content")]
    TargetContent,
    /// A device number on what is no device.
    #[error("only devices can have a device number")]
    DeviceNumber,
    /// A digest that is not 64 or 128 hex digits.
    #[error("the digest must have 64 or 128 hex digits")]
    Digest,
    /// An attribute without `=`.
    #[error("the attribute {0:?} has no = between its name and its value")]
    XattrEquals(String),
    /// An attribute's name that is empty or too long.
    #[error("the name of an attribute must have 1 to 255 bytes, not {0}")]
    XattrName(usize),
    /// An attribute's value that is too long.
    #[error("the value of attribute {name:?} has {bytes} bytes; at most 65535 are possible")]
    XattrValue {
        /// The attribute's name, with odd bytes escaped.
        name: String,
        /// Bytes of the value.
        bytes: usize,
    },
    /// Attributes beyond what the format leaves for them.
    #[error("the attributes take more than 32767 bytes together")]
    XattrLimit,
    /// A hard link to a directory.
    #[error("a directory cannot be a hard link")]
    DirectoryLink,
    /// A hard link without a target.
    #[error("a hard link needs its target as payload")]
    LinkTargetMissing,
    /// A hard link to something that the dump does not have.
    #[error("there is no {0:?} to be a hard link to")]
    LinkTarget(String),
    /// A hard link that leads to itself.
    #[error("the hard link to {0:?} leads back to itself")]
    LinkLoop(String),
}

/// Bytes for an error message: odd ones escaped, cut after 64.
fn shown(bytes: &[u8]) -> String {
    bytes.get(..64).unwrap_or(bytes).escape_ascii().to_string()
}
