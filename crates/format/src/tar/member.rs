//! A member out of its header and the extended headers before it.

use super::error::{ErrorKind, SparseProblem};
use super::header::Header;
use super::names::name;
use super::pax::{Pax, PaxMap};
use super::sparse::SparseMap;
use super::{Limits, Member, MemberKind};
use crate::tree::Time;

/// What came before a member's header.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// Where the first of the extended headers starts, in bytes.
    pub(super) offset: Option<u64>,
    /// The extended header's own name, for errors.
    pub(super) name: Vec<u8>,
    /// The last local extended header, global ones worked in.
    pub(super) pax: Option<Pax>,
    pub(super) long_name: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
}

/// A member as its headers describe it.
pub(super) struct Described {
    pub(super) member: Member,
    pub(super) body: Body,
}

/// What follows the headers in the archive.
pub(super) enum Body {
    /// Contents, so many bytes.
    Data(u64),
    /// Nothing that is of interest, so many bytes.
    Ignored(u64),
    /// A sparse file's data, so many bytes, and the map known.
    Sparse(SparseMap, u64),
    /// Blocks with the rest of the map, then a sparse file's data, so many bytes.
    OldSparse(SparseMap, u64),
    /// A map and a sparse file's data, so many bytes together.
    MapInData(u64),
}

/// The path, from the most to the least special place where it can be.
pub(super) fn path(
    header: &Header,
    extensions: &mut Extensions,
    pax: &mut Pax,
    limits: &Limits,
) -> Result<Vec<u8>, ErrorKind> {
    let sparse_name = pax.sparse.as_mut().and_then(|sparse| sparse.name.take());
    let path = sparse_name.or_else(|| extensions.long_name.take()).or_else(|| pax.path.take());
    name("path", path.unwrap_or_else(|| header.path()), limits)
}

/// The member at `path` as `header`, `extensions` and `pax` describe it.
///
/// # Errors
/// Anything in the headers that is malformed or out of range. Fields that an extension replaces
/// are not looked at, and neither is the size of what has no contents.
pub(super) fn describe(
    header: &Header,
    path: Vec<u8>,
    offset: u64,
    extensions: &mut Extensions,
    mut pax: Pax,
    limits: &Limits,
) -> Result<Described, ErrorKind> {
    let kind = kind(header, extensions, &mut pax, &path, limits)?;
    let whole_seconds = |seconds| Time { seconds, nanoseconds: 0 };
    let mut member = Member {
        permissions: header.permissions()?,
        uid: pax.uid.map_or_else(|| header.uid(), Ok)?,
        gid: pax.gid.map_or_else(|| header.gid(), Ok)?,
        mtime: pax.mtime.map_or_else(|| header.mtime().map(whole_seconds), Ok)?,
        size: 0,
        xattrs: std::mem::take(&mut pax.xattrs),
        offset,
        path,
        kind,
    };
    let body = body(header, pax, &mut member, limits)?;
    Ok(Described { member, body })
}

fn kind(
    header: &Header,
    extensions: &mut Extensions,
    pax: &mut Pax,
    path: &[u8],
    limits: &Limits,
) -> Result<MemberKind, ErrorKind> {
    let mut target = || {
        let target = extensions.long_link.take().or_else(|| pax.link_path.take());
        name("link target", target.unwrap_or_else(|| header.link_name().to_vec()), limits)
    };
    let device = || -> Result<(u32, u32), ErrorKind> {
        let major = pax.device_major.map_or_else(|| header.device_major(), Ok)?;
        let minor = pax.device_minor.map_or_else(|| header.device_minor(), Ok)?;
        Ok((major, minor))
    };
    Ok(match header.typeflag() {
        // Before there was a typeflag for directories, the slash told.
        0 if path.ends_with(b"/") => MemberKind::Directory,
        b'0' if path.ends_with(b"/") && header.is_v7() => MemberKind::Directory,
        0 | b'0' | b'7' | b'S' => MemberKind::Regular,
        b'1' => MemberKind::HardLink(target()?),
        b'2' => MemberKind::Symlink(target()?),
        b'3' => device().map(|(major, minor)| MemberKind::CharDevice { major, minor })?,
        b'4' => device().map(|(major, minor)| MemberKind::BlockDevice { major, minor })?,
        b'5' | b'D' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        other => return Err(ErrorKind::Type(other)),
    })
}

/// What follows the header; sets the member's size.
fn body(header: &Header, pax: Pax, member: &mut Member, limits: &Limits) -> Result<Body, ErrorKind> {
    let archived = || pax.size.map_or_else(|| header.size(), Ok);
    if member.kind != MemberKind::Regular {
        if pax.sparse.is_some() {
            return Err(SparseProblem::NotRegular.into());
        }
        // GNU's lists of a directory's entries have contents, and regular files that a slash makes
        // directories may; a size in anything else has no meaning (POSIX) and no data follows.
        let has_data = matches!(header.typeflag(), b'D' | b'0');
        return Ok(Body::Ignored(if has_data { archived()? } else { 0 }));
    }
    match (pax.sparse, header.typeflag()) {
        (Some(_), b'S') => Err(SparseProblem::Twice.into()),
        (None, b'S') => {
            let (size, block) = header.old_sparse().ok_or(ErrorKind::Type(b'S'))?;
            member.size = size?;
            let mut map = SparseMap::default();
            map.push_block(&block, limits.sparse_regions)?;
            let archived = archived()?;
            Ok(if block.is_extended { Body::OldSparse(map, archived) } else { Body::Sparse(map, archived) })
        }
        (Some(sparse), _) => {
            member.size = sparse.real_size.ok_or(SparseProblem::NoSize)?;
            Ok(match sparse.into_map()? {
                PaxMap::Here(map) => Body::Sparse(map, archived()?),
                PaxMap::InData => Body::MapInData(archived()?),
            })
        }
        (None, _) => {
            member.size = archived()?;
            Ok(Body::Data(member.size))
        }
    }
}
