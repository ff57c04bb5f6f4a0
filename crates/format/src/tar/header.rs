//! The 512 bytes before a member, in their four dialects.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{ErrorKind, NumberProblem};
use super::number::{header_number, octal};

/// Headers and data come in blocks of so many bytes.
pub(super) const BLOCK_BYTES: usize = 512;

pub(super) type Block = [u8; BLOCK_BYTES];

/// A header block. The part after the device numbers differs between dialects.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    name: [u8; 100],
    mode: [u8; 8],
    uid: [u8; 8],
    gid: [u8; 8],
    size: [u8; 12],
    mtime: [u8; 12],
    checksum: [u8; 8],
    typeflag: u8,
    link_name: [u8; 100],
    magic: [u8; 8],
    user_and_group_names: [u8; 64],
    device_major: [u8; 8],
    device_minor: [u8; 8],
    rest: [u8; 167],
}

/// The rest of an old GNU header.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct GnuRest {
    atime: [u8; 12],
    ctime: [u8; 12],
    offset_in_volume: [u8; 12],
    unused: [u8; 5],
    sparse: [[u8; 24]; 4],
    is_extended: u8,
    real_size: [u8; 12],
    padding: [u8; 17],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Nothing after the link's name.
    V7,
    /// POSIX: a prefix of 155 bytes.
    Ustar,
    /// Schilling's: a prefix of 131 bytes, then times.
    Star,
    /// Old GNU: times and a sparse map in place of the prefix.
    Gnu,
}

/// The part of an old GNU sparse map that one block holds.
pub(super) struct SparseBlock<'a> {
    /// Offset and length of each region, 12 bytes each.
    pub(super) entries: &'a [[u8; 24]],
    /// Whether a block with more of them follows.
    pub(super) is_extended: bool,
}

impl Header {
    /// The header in `block`.
    ///
    /// # Errors
    /// A checksum that is not the sum of the bytes, taken as unsigned or (as some old tars did) as signed.
    pub(super) fn parse(block: &Block) -> Result<&Self, ErrorKind> {
        let header: &Self = zerocopy::transmute_ref!(block);
        let stated = octal(&header.checksum).map_err(|_| ErrorKind::Checksum)?;
        let fits = |sum: i32| stated == i64::from(sum);
        if fits(header.sum(i32::from)) || fits(header.sum(|byte| i32::from(byte.cast_signed()))) {
            Ok(header)
        } else {
            Err(ErrorKind::Checksum)
        }
    }

    /// The sum of `value` of each byte. Those of the checksum itself count as spaces.
    fn sum(&self, value: impl Fn(u8) -> i32) -> i32 {
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| value(*byte)).sum::<i32>();
        sum(self.as_bytes()).saturating_sub(sum(&self.checksum)).saturating_add(sum(&[b' '; 8]))
    }

    fn dialect(&self) -> Dialect {
        match &self.magic {
            b"ustar  \0" => Dialect::Gnu,
            [b'u', b's', b't', b'a', b'r', 0, ..] if self.rest.ends_with(b"tar\0") => Dialect::Star,
            [b'u', b's', b't', b'a', b'r', 0, ..] => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }

    fn gnu_rest(&self) -> &GnuRest {
        zerocopy::transmute_ref!(&self.rest)
    }

    pub(super) const fn typeflag(&self) -> u8 {
        self.typeflag
    }

    /// Whether the header is older than typeflags for directories.
    pub(super) fn is_v7(&self) -> bool {
        self.dialect() == Dialect::V7
    }

    /// The path, with its prefix if there is one.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.name);
        let prefix = match self.dialect() {
            Dialect::V7 => b"",
            Dialect::Ustar => until_nul(self.rest.get(..155).unwrap_or_default()),
            Dialect::Star => until_nul(self.rest.get(..131).unwrap_or_default()),
            Dialect::Gnu => self.misplaced_prefix(),
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// Go before 1.8, and so the Docker of those days, wrote a prefix where GNU has times. It is taken
    /// for one only where the times would not be numbers.
    fn misplaced_prefix(&self) -> &[u8] {
        let is_time = |field: &[u8; 12]| field.starts_with(b"\0") || header_number(field).is_ok();
        let rest = self.gnu_rest();
        if self.typeflag == b'S' || is_time(&rest.atime) && is_time(&rest.ctime) {
            return b"";
        }
        let prefix = until_nul(self.rest.get(..155).unwrap_or_default());
        if prefix.is_ascii() { prefix } else { b"" }
    }

    pub(super) fn link_name(&self) -> &[u8] {
        until_nul(&self.link_name)
    }

    /// Length of what follows the header in the archive, in bytes.
    pub(super) fn size(&self) -> Result<u64, ErrorKind> {
        unsigned("size", &self.size)
    }

    /// Permission bits; old tars have the file type above them.
    pub(super) fn permissions(&self) -> Result<u16, ErrorKind> {
        let mode = header_number(&self.mode).map_err(|problem| problem.of("mode"))?;
        u16::try_from(mode & 0o7777).map_err(|_| NumberProblem::OutOfRange.of("mode"))
    }

    pub(super) fn uid(&self) -> Result<u32, ErrorKind> {
        unsigned("uid", &self.uid)
    }

    pub(super) fn gid(&self) -> Result<u32, ErrorKind> {
        unsigned("gid", &self.gid)
    }

    /// Seconds since 1970.
    pub(super) fn mtime(&self) -> Result<i64, ErrorKind> {
        header_number(&self.mtime).map_err(|problem| problem.of("mtime"))
    }

    pub(super) fn device_major(&self) -> Result<u32, ErrorKind> {
        if self.is_v7() { Ok(0) } else { unsigned("device number", &self.device_major) }
    }

    pub(super) fn device_minor(&self) -> Result<u32, ErrorKind> {
        if self.is_v7() { Ok(0) } else { unsigned("device number", &self.device_minor) }
    }

    /// The size of an old GNU sparse file, in bytes, and the start of its map; `None` in other dialects.
    pub(super) fn old_sparse(&self) -> Option<(Result<u64, ErrorKind>, SparseBlock<'_>)> {
        (self.dialect() == Dialect::Gnu).then(|| {
            let rest = self.gnu_rest();
            let map = SparseBlock { entries: &rest.sparse, is_extended: rest.is_extended != 0 };
            (unsigned("real size", &rest.real_size), map)
        })
    }
}

/// A block of nothing but an old GNU sparse map.
pub(super) fn sparse_block(block: &Block) -> SparseBlock<'_> {
    let is_extended = block.get(21 * 24).is_some_and(|byte| *byte != 0);
    SparseBlock { entries: block.as_chunks().0, is_extended }
}

fn unsigned<T: TryFrom<i64>>(name: &'static str, field: &[u8]) -> Result<T, ErrorKind> {
    let number = header_number(field).map_err(|problem| problem.of(name))?;
    T::try_from(number).map_err(|_| NumberProblem::OutOfRange.of(name))
}

/// What comes before the first NUL.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
