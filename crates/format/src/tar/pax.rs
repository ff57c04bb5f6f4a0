//! Extended headers: records `LENGTH KEY=VALUE\n` (POSIX.1-2017, `pax`, "pax Extended Header").

use super::Limits;
use super::error::{ErrorKind, NumberProblem, SparseProblem, beyond, quoted};
use super::names::name;
use super::number::{decimal, time};
use super::sparse::SparseMap;
use crate::tree::{Time, Xattrs};

/// The longest name of an extended attribute, in bytes (XATTR_NAME_MAX of Linux).
const XATTR_NAME_MAX_BYTES: usize = 255;

/// Whom an extended header is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The next member.
    Local,
    /// All members from here on.
    Global,
}

/// What extended headers say about a member. A record without value takes back what a global one said.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) device_major: Option<u32>,
    pub(super) device_minor: Option<u32>,
    pub(super) xattrs: Xattrs,
    pub(super) sparse: Option<Box<PaxSparse>>,
}

/// The GNU.sparse records.
#[derive(Debug, Clone, Default)]
pub(super) struct PaxSparse {
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    map: SparseMap,
    blocks: Option<u64>,
    /// The first half of a region of version 0.0.
    offset: Option<u64>,
}

/// Where the map of a sparse file in PAX form is.
pub(super) enum PaxMap {
    /// In the records: versions 0.0 and 0.1.
    Here(SparseMap),
    /// Before the data: version 1.0.
    InData,
}

impl PaxSparse {
    /// The map, if it is complete.
    pub(super) fn into_map(self) -> Result<PaxMap, ErrorKind> {
        match (self.major, self.minor) {
            (Some(1), Some(0)) => return Ok(PaxMap::InData),
            (None, None) | (Some(0), Some(0 | 1)) => {}
            _ => return Err(SparseProblem::Version.into()),
        }
        if self.offset.is_some() {
            return Err(SparseProblem::Malformed.into());
        }
        if self.blocks.is_some_and(|blocks| u64::try_from(self.map.stated()) != Ok(blocks)) {
            return Err(SparseProblem::Count.into());
        }
        Ok(PaxMap::Here(self.map))
    }

    /// Takes the record `GNU.sparse.KEY`.
    fn apply(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<(), ErrorKind> {
        let number = || decimal(value).map_err(|_| SparseProblem::Malformed);
        match key {
            b"name" => self.name = Some(name("path", value.to_vec(), limits)?),
            b"size" | b"realsize" => self.real_size = Some(number()?),
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"numblocks" => self.blocks = Some(number()?),
            b"map" => {
                self.map = SparseMap::default();
                if !value.is_empty() {
                    self.map.push_list(value, limits.sparse_regions)?;
                }
            }
            b"offset" if self.offset.is_none() => self.offset = Some(number()?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or(SparseProblem::Malformed)?;
                self.map.push(offset, number()?, limits.sparse_regions)?;
            }
            b"offset" => return Err(SparseProblem::Malformed.into()),
            _ => {}
        }
        Ok(())
    }
}

impl Pax {
    /// Takes the records of an extended header. Keys that no file system has a place for are ignored,
    /// later records win over earlier ones.
    pub(super) fn apply(&mut self, header: &[u8], scope: Scope, limits: &Limits) -> Result<(), ErrorKind> {
        let mut rest = header;
        while !rest.is_empty() {
            let at = header.len().saturating_sub(rest.len());
            let (record, after) = record(rest).map_err(|problem| ErrorKind::PaxRecord { at, problem })?;
            self.apply_record(record, scope, limits)?;
            rest = after;
        }
        Ok(())
    }

    fn apply_record(&mut self, record: Record<'_>, scope: Scope, limits: &Limits) -> Result<(), ErrorKind> {
        let Record { key, value } = record;
        let is_sparse = key.starts_with(b"GNU.sparse.");
        if scope == Scope::Global && (is_sparse || matches!(key, b"path" | b"linkpath" | b"size")) {
            return Err(value_error(key, "cannot hold for all members of an archive"));
        }
        match key {
            b"path" => self.path = unless_empty(value, |value| name("path", value.to_vec(), limits))?,
            b"linkpath" => {
                self.link_path = unless_empty(value, |value| name("link target", value.to_vec(), limits))?
            }
            b"size" => self.size = unless_empty(value, |value| number("size", value))?,
            b"uid" => self.uid = unless_empty(value, |value| number("uid", value))?,
            b"gid" => self.gid = unless_empty(value, |value| number("gid", value))?,
            b"mtime" => {
                self.mtime = unless_empty(value, |value| time(value).map_err(|problem| problem.of("mtime")))?;
            }
            b"SCHILY.devmajor" => {
                self.device_major = unless_empty(value, |value| number("device number", value))?;
            }
            b"SCHILY.devminor" => {
                self.device_minor = unless_empty(value, |value| number("device number", value))?;
            }
            b"GNU.volume.offset" => {
                return Err(value_error(key, "is of a file that began on another volume"));
            }
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.get_or_insert_default().apply(key, value, limits)?;
                } else if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.set_xattr(key, &unescape(name, |byte| matches!(byte, b'%' | b'=')), value, limits)?;
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let value = base64(value).ok_or_else(|| value_error(key, "is not in base64"))?;
                    self.set_xattr(key, &unescape(name, |_| true), &value, limits)?;
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, key: &[u8], name: &[u8], value: &[u8], limits: &Limits) -> Result<(), ErrorKind> {
        if name.is_empty() || name.len() > XATTR_NAME_MAX_BYTES || name.contains(&0) {
            return Err(value_error(key, "has a name that no extended attribute can have"));
        }
        if value.len() > limits.xattr_value_bytes {
            return Err(beyond("bytes in the value of an extended attribute", limits.xattr_value_bytes));
        }
        if self.xattrs.len() >= limits.xattrs && self.xattrs.get(name).is_none() {
            return Err(beyond("extended attributes", limits.xattrs));
        }
        self.xattrs.insert(name, value);
        Ok(())
    }
}

fn unless_empty<T>(
    value: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<T, ErrorKind>,
) -> Result<Option<T>, ErrorKind> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

fn number<T: TryFrom<u64>>(field: &'static str, value: &[u8]) -> Result<T, ErrorKind> {
    let number = decimal(value).and_then(|number| T::try_from(number).map_err(|_| NumberProblem::OutOfRange));
    number.map_err(|problem| problem.of(field))
}

fn value_error(key: &[u8], problem: &'static str) -> ErrorKind {
    ErrorKind::PaxValue { key: quoted(key), problem }
}

#[derive(Debug, PartialEq, Eq)]
struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

/// The first record of `bytes`, and what follows it.
fn record(bytes: &[u8]) -> Result<(Record<'_>, &[u8]), &'static str> {
    let space = bytes.iter().position(|byte| *byte == b' ').ok_or("does not start with a length")?;
    let (length, _) = bytes.split_at_checked(space).unwrap_or_default();
    let length = decimal(length).ok().and_then(|length| usize::try_from(length).ok());
    let (record, rest) = length
        .ok_or("does not start with a length")?
        .checked_sub(space)
        .and_then(|after_digits| bytes.get(space..)?.split_at_checked(after_digits))
        .ok_or("does not have the length that it states")?;
    let pair = record.strip_suffix(b"\n").ok_or("does not end with a newline where it states")?;
    let pair = pair.strip_prefix(b" ").ok_or("does not have the length that it states")?;
    let equals = pair.iter().position(|byte| *byte == b'=').ok_or("has no equals sign")?;
    let (key, value) = pair.split_at_checked(equals).unwrap_or_default();
    if key.is_empty() || key.contains(&0) {
        return Err("has no key, or one with a NUL byte");
    }
    Ok((Record { key, value: value.strip_prefix(b"=").unwrap_or_default() }, rest))
}

/// `name` with `%XX` replaced where the byte that it stands for is wanted.
fn unescape(name: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match escaped.filter(|byte| wanted(*byte)) {
            Some(byte) => {
                out.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The bytes of `text` in base64, with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut out = Vec::with_capacity(text.len());
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit.checked_sub(b'A')?,
                b'a'..=b'z' => digit.checked_sub(b'a')?.checked_add(26)?,
                b'0'..=b'9' => digit.checked_sub(b'0')?.checked_add(52)?,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let [_, bytes @ ..] = match group.len() {
            4 => bits,
            3 => bits << 6,
            2 => bits << 12,
            _ => return None,
        }
        .to_be_bytes();
        out.extend_from_slice(bytes.get(..group.len().checked_sub(1)?)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_by_their_lengths() {
        let parts =
            |bytes: &'static [u8]| record(bytes).map(|(record, rest)| (record.key, record.value, rest));
        assert_eq!(parts(b"6 a=b\n7 c==d\n"), Ok((&b"a"[..], &b"b"[..], &b"7 c==d\n"[..])));
        assert_eq!(parts(b"7 k=\n\n\n\n"), Ok((&b"k"[..], &b"\n\n"[..], &b"\n"[..])));
        assert_eq!(parts(b"5 a=\n"), Ok((&b"a"[..], &b""[..], &b""[..])));
        for bad in [
            b"".as_slice(),
            b" ",
            b"6",
            b"6 a=b",
            b"7 a=b\n",
            b"5 a=b\n",
            b"0 a=b\n",
            b"1 a=b\n",
            b"2 a=b\n",
            b"-6 a=b\n",
            b"4 ab\n",
            b"5 ab\n",
            b"4 =\n",
            b"5 =b\n",
            b"6 \0=b\n",
            b"99999999999999999999999 a=b\n",
            b"18446744073709551615 a=b\n",
            b"9223372036854775807 a=b\n",
        ] {
            assert!(record(bad).is_err(), "{:?}", bad.escape_ascii().to_string());
        }
    }

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for (text, bytes) in
            [("", ""), ("Zg", "f"), ("Zg==", "f"), ("Zm8", "fo"), ("Zm8=", "fo"), ("Zm9v", "foo")]
        {
            assert_eq!(base64(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64(b"+/+/"), Some(vec![0xfb, 0xff, 0xbf]));
        assert_eq!(base64(b"Zm9vY"), None);
        assert_eq!(base64(b"Zm 9"), None);
    }

    #[test]
    fn names_of_attributes_are_unescaped_as_their_writers_escape() {
        let gnu = |byte| matches!(byte, b'%' | b'=');
        assert_eq!(unescape(b"user.a%3Db%25c%41%", gnu), b"user.a=b%c%41%");
        assert_eq!(unescape(b"user.%C3%a4%zz", |_| true), b"user.\xc3\xa4%zz");
    }
}
