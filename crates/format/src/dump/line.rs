//! One line of a dump.

use std::borrow::Cow;

use super::escape::unescape;
use super::{LineError, Mode, shown};
use crate::digest::ObjectId;
use crate::erofs::INLINE_CONTENT_MAX_BYTES;
use crate::erofs::inode::{Chunks, FileType};
use crate::tree::{Content, Directory, Inode, Kind, Metadata, Time, Xattrs};

/// The longest payload: PATH_MAX without its NUL.
const PAYLOAD_MAX_BYTES: usize = 4095;

/// What all attributes of a file may take, by composefs's own count (`LCFS_INODE_EXTERNAL_XATTR_MAX`).
const XATTRS_MAX_BYTES: usize = 32_767;

/// The longest rest of a line that holds attributes.
const XATTRS_TEXT_MAX_BYTES: usize = 65_535;

/// A line, parsed.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) path: Cow<'a, [u8]>,
    pub(super) what: What<'a>,
}

/// What a line describes.
#[derive(Debug)]
pub(super) enum What<'a> {
    /// An inode.
    Inode(Inode),
    /// A further name of what is at this path.
    HardLink(Cow<'a, [u8]>),
}

/// The fields of a line, still escaped.
struct Fields<'a> {
    rest: &'a [u8],
    mode: Mode,
    /// Whether the line ended before the field that is next.
    ended: bool,
}

impl<'a> Fields<'a> {
    /// The next field. In C, what is missing is empty.
    fn next(&mut self, name: &'static str) -> Result<&'a [u8], LineError> {
        if self.ended && self.mode == Mode::Strict {
            return Err(LineError::MissingField(name));
        }
        let (field, rest) = match self.rest.iter().position(|byte| *byte == b' ') {
            Some(blank) => {
                let (field, rest) = self.rest.split_at_checked(blank).unwrap_or_default();
                (field, rest.get(1..).unwrap_or_default())
            }
            None => {
                self.ended = true;
                (self.rest, &b""[..])
            }
        };
        self.rest = rest;
        Ok(field)
    }
}

impl<'a> Line<'a> {
    pub(super) fn parse(text: &'a [u8], mode: Mode) -> Result<Self, LineError> {
        // Searching is several times as fast as finding the position.
        if text.contains(&0) {
            let position = text.iter().take_while(|byte| **byte != 0).count();
            return Err(LineError::Nul(position));
        }
        let mut fields = Fields { rest: text, mode, ended: false };
        let path = string(fields.next("PATH")?, "PATH", mode)?;
        if path.is_empty() {
            return Err(LineError::Path);
        }
        let size_field = fields.next("SIZE")?;
        let mode_field = fields.next("MODE")?;
        let (linked, mode_field) = match mode_field {
            [b'@', rest @ ..] => (true, rest),
            field => (false, field),
        };
        let full_mode = number(mode_field, "MODE", 8, mode)?;
        let low_mode = u16::try_from(full_mode & 0xffff).unwrap_or_default();
        let file_type = FileType::from_mode(low_mode).ok_or(LineError::FileType(full_mode))?;
        let permissions = low_mode & 0o7777;
        if linked {
            return Ok(Self { path, what: hard_link(fields, file_type)? });
        }
        let numbers = Numbers {
            size: number(size_field, "SIZE", 10, mode)?,
            links: narrow(fields.next("NLINK")?, "NLINK", mode)?,
            uid: narrow(fields.next("UID")?, "UID", mode)?,
            gid: narrow(fields.next("GID")?, "GID", mode)?,
            rdev: narrow(fields.next("RDEV")?, "RDEV", mode)?,
        };
        let mtime = time(fields.next("MTIME")?, mode)?;
        let payload = optional_string(fields.next("PAYLOAD")?, "PAYLOAD", mode)?;
        let content = optional(fields.next("CONTENT")?, "CONTENT")?;
        let digest = fields.next("DIGEST")?;
        let kind = kind(file_type, &numbers, payload, content, digest, mode)?;
        let xattrs = xattrs(fields.rest, mode)?;
        let metadata = Metadata { permissions, uid: numbers.uid, gid: numbers.gid, mtime, xattrs };
        let mut inode = Inode::new(metadata, kind);
        if file_type != FileType::Directory && numbers.links != 1 {
            inode.stated_links = Some(numbers.links);
        }
        Ok(Self { path, what: What::Inode(inode) })
    }
}

struct Numbers {
    size: u64,
    links: u32,
    uid: u32,
    gid: u32,
    rdev: u32,
}

/// Of a hard link's line, only path and payload count.
fn hard_link<'a>(mut fields: Fields<'a>, file_type: FileType) -> Result<What<'a>, LineError> {
    if file_type == FileType::Directory {
        return Err(LineError::DirectoryLink);
    }
    for name in ["NLINK", "UID", "GID", "RDEV", "MTIME"] {
        fields.next(name)?;
    }
    let target = optional_string(fields.next("PAYLOAD")?, "PAYLOAD", fields.mode)?;
    Ok(What::HardLink(target.ok_or(LineError::LinkTargetMissing)?))
}

fn kind(
    file_type: FileType,
    numbers: &Numbers,
    payload: Option<Cow<'_, [u8]>>,
    content: Option<Cow<'_, [u8]>>,
    digest: &[u8],
    mode: Mode,
) -> Result<Kind, LineError> {
    let strict = mode == Mode::Strict;
    if let Some(payload) = payload.as_ref().filter(|payload| payload.len() > PAYLOAD_MAX_BYTES) {
        return Err(LineError::PayloadLimit(payload.len()));
    }
    if let Some(content) = &content {
        let content_bytes = content.len();
        if u64::try_from(content_bytes) != Ok(numbers.size) {
            return Err(LineError::ContentSize { content_bytes, size: numbers.size });
        }
        if content_bytes > INLINE_CONTENT_MAX_BYTES && file_type != FileType::Symlink {
            return Err(LineError::ContentLimit(content_bytes));
        }
    }
    let is_device = matches!(file_type, FileType::CharDevice | FileType::BlockDevice);
    if strict && numbers.rdev != 0 && !is_device {
        return Err(LineError::DeviceNumber);
    }
    if strict {
        parse_digest(digest)?;
    }
    let without_content = |kind| match kind {
        // C judges by the stated size whether the inode may be compact, except of a whiteout.
        Kind::CharDevice(0) => Ok(kind),
        _ if numbers.size > u32::MAX.into() => Err(LineError::NoContentSize(numbers.size)),
        kind => Ok(kind),
    };
    match file_type {
        FileType::Directory => Ok(Kind::Directory(Directory::default())),
        FileType::Regular => regular(numbers.size, payload, content, digest).map(Kind::Regular),
        FileType::Symlink => symlink(numbers.size, payload, content, strict).map(Kind::Symlink),
        FileType::CharDevice => without_content(Kind::CharDevice(numbers.rdev)),
        FileType::BlockDevice => without_content(Kind::BlockDevice(numbers.rdev)),
        FileType::Fifo => without_content(Kind::Fifo),
        FileType::Socket => without_content(Kind::Socket),
    }
}

fn regular(
    size: u64,
    payload: Option<Cow<'_, [u8]>>,
    content: Option<Cow<'_, [u8]>>,
    digest: &[u8],
) -> Result<Content, LineError> {
    if size == 0 {
        return Ok(Content::Inline(Box::default()));
    }
    if let Some(content) = content {
        return Ok(Content::Inline(content.into()));
    }
    if Chunks::of(size).is_none() {
        return Err(LineError::FileSize(size));
    }
    let path = payload.unwrap_or_default();
    Ok(Content::outside(size, path.into(), parse_digest(digest)?))
}

fn symlink(
    size: u64,
    payload: Option<Cow<'_, [u8]>>,
    content: Option<Cow<'_, [u8]>>,
    strict: bool,
) -> Result<Box<[u8]>, LineError> {
    let target = payload.filter(|target| !target.is_empty()).ok_or(LineError::TargetMissing)?;
    if strict && u64::try_from(target.len()) != Ok(size) {
        return Err(LineError::TargetSize { target_bytes: target.len(), size });
    }
    if strict && content.is_some_and(|content| !content.is_empty()) {
        return Err(LineError::TargetContent);
    }
    Ok(target.into())
}

/// A digest of either case, or none.
fn parse_digest(field: &[u8]) -> Result<Option<ObjectId>, LineError> {
    if field == b"-" {
        return Ok(None);
    }
    let parse = |text: &[u8]| str::from_utf8(text).ok().and_then(|hex| hex.parse().ok());
    let digest = match parse(field) {
        Some(digest) => digest,
        None => parse(&unescape(field, "DIGEST")?.to_ascii_lowercase()).ok_or(LineError::Digest)?,
    };
    Ok(Some(digest))
}

/// The attributes in the rest of a line.
fn xattrs(mut rest: &[u8], mode: Mode) -> Result<Xattrs, LineError> {
    if rest.len() > XATTRS_TEXT_MAX_BYTES {
        return Err(LineError::XattrLimit);
    }
    let mut xattrs = Xattrs::default();
    let mut counted: usize = 0;
    while !rest.is_empty() {
        let mut parts = rest.splitn(2, |byte| *byte == b' ');
        let text = parts.next().unwrap_or_default();
        rest = parts.next().unwrap_or_default();
        let mut parts = text.splitn(2, |byte| *byte == b'=');
        let key = string(parts.next().unwrap_or_default(), "XATTRS", mode)?;
        let value = parts.next().ok_or_else(|| LineError::XattrEquals(shown(text)))?;
        let value = unescape(value, "XATTRS")?;
        if !(1..=255).contains(&key.len()) {
            return Err(LineError::XattrName(key.len()));
        }
        if value.len() > usize::from(u16::MAX) {
            return Err(LineError::XattrValue { name: shown(&key), bytes: value.len() });
        }
        // composefs counts an entry's header twice, less one, for the worst alignment.
        let room = |value: &[u8]| key.len().saturating_add(value.len()).saturating_add(7);
        counted = match (xattrs.get(&key), xattrs.len()) {
            (None, 0) | (Some(_), 1) => 12,
            (Some(former), _) => counted.saturating_sub(room(former)),
            (None, _) => counted,
        }
        .saturating_add(room(&value));
        if counted > XATTRS_MAX_BYTES {
            return Err(LineError::XattrLimit);
        }
        xattrs.insert(&key, &value);
    }
    Ok(xattrs)
}

/// A field, unescaped; none if it is `-`.
fn optional<'a>(field: &'a [u8], name: &'static str) -> Result<Option<Cow<'a, [u8]>>, LineError> {
    if field == b"-" { Ok(None) } else { unescape(field, name).map(Some) }
}

/// A field that is a C string: it ends at a NUL, which only the lenient mode lets pass.
fn string<'a>(field: &'a [u8], name: &'static str, mode: Mode) -> Result<Cow<'a, [u8]>, LineError> {
    let mut text = unescape(field, name)?;
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        if mode == Mode::Strict {
            return Err(LineError::EscapedNul(name));
        }
        text.to_mut().truncate(end);
    }
    Ok(text)
}

fn optional_string<'a>(
    field: &'a [u8],
    name: &'static str,
    mode: Mode,
) -> Result<Option<Cow<'a, [u8]>>, LineError> {
    if field == b"-" { Ok(None) } else { string(field, name, mode).map(Some) }
}

/// A number of up to 64 bits; in lenient mode as `strtoull` reads it.
fn number(field: &[u8], name: &'static str, base: u8, mode: Mode) -> Result<u64, LineError> {
    let error = || LineError::Number { field: name, range: "", text: shown(field) };
    if mode == Mode::Strict {
        return digits(field, base).ok_or_else(error);
    }
    let blanks = field.iter().take_while(|byte| matches!(byte, b'\t' | 0x0b | 0x0c | b'\r')).count();
    let (negative, text) = match field.get(blanks..).unwrap_or_default() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let is_number =
        !text.is_empty() && text.iter().all(|byte| (b'0'..b'0'.saturating_add(base)).contains(byte));
    match digits(text, base) {
        Some(value) if negative => Ok(value.wrapping_neg()),
        Some(value) => Ok(value),
        None if is_number => Ok(u64::MAX),
        None => Err(error()),
    }
}

/// A number of 32 bits; in lenient mode, higher bits are lost.
fn narrow(field: &[u8], name: &'static str, mode: Mode) -> Result<u32, LineError> {
    let value = number(field, name, 10, mode)?;
    match u32::try_from(value) {
        Ok(value) => Ok(value),
        Err(_) if mode == Mode::Lenient => Ok(u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default()),
        Err(_) => Err(LineError::Number { field: name, range: " up to 4294967295", text: shown(field) }),
    }
}

/// Seconds, which may be negative, a dot, and nanoseconds.
fn time(field: &[u8], mode: Mode) -> Result<Time, LineError> {
    const RANGE: &str = " of seconds, a dot and up to 999999999 nanoseconds";
    let error = || LineError::Number { field: "MTIME", range: RANGE, text: shown(field) };
    let mut parts = field.splitn(2, |byte| *byte == b'.');
    let (seconds, nanoseconds) = (parts.next().unwrap_or_default(), parts.next().ok_or_else(error)?);
    let seconds = match (mode, seconds) {
        (Mode::Lenient, _) => number(seconds, "MTIME", 10, mode)?.cast_signed(),
        (Mode::Strict, [b'-', rest @ ..]) => {
            digits(rest, 10).and_then(|value| 0_i64.checked_sub_unsigned(value)).ok_or_else(error)?
        }
        (Mode::Strict, _) => {
            digits(seconds, 10).and_then(|value| i64::try_from(value).ok()).ok_or_else(error)?
        }
    };
    let nanoseconds = u32::try_from(number(nanoseconds, "MTIME", 10, mode)?).map_err(|_| error())?;
    if nanoseconds > 999_999_999 {
        return Err(error());
    }
    Ok(Time { seconds, nanoseconds })
}

/// A number of digits only; none if there are none, others, or too many.
fn digits(text: &[u8], base: u8) -> Option<u64> {
    let digit = |byte: &u8| byte.checked_sub(b'0').filter(|digit| *digit < base);
    let (first, rest) = text.split_first()?;
    rest.iter().try_fold(u64::from(digit(first)?), |value, byte| {
        value.checked_mul(base.into())?.checked_add(digit(byte)?.into())
    })
}
