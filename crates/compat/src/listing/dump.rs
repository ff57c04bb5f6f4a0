//! `composefs-info dump`.

use std::collections::HashMap;
use std::io::Write;

use sealpack_format::dump::{Also, escape};
use sealpack_format::erofs::inode::FileType;
use sealpack_format::erofs::reader::{FileContent, NamedInode};
use sealpack_format::erofs::{Image, ImageError};

use super::view::{View, tree_name};
use super::{ListingError, flush_if_full, is_stub};

/// Writes `image` as a dump, byte for byte as C `composefs-info dump` does: sizes of directories
/// as they are in the image, and of the names of an inode the first in the order of paths as the
/// one that the others are hard links to. With `only`, of the root's entries those with these names.
///
/// [`sealpack_format::dump::write`] writes the tree instead, which remembers what was the first
/// name when the image was made.
///
/// # Errors
/// A bad image, whose dump ends there; a failing `out`.
pub fn dump(image: &Image<'_>, only: Option<&[&[u8]]>, out: &mut impl Write) -> Result<(), ListingError> {
    let mut buffer = Vec::new();
    put_line(b"/", None, &View::of(image.root()?)?, &mut buffer)?;
    let mut links = Links { image, only, paths: HashMap::new(), all_known: false };
    let mut walk = image.walk_depth_first(only);
    while let Some(found) = walk.next() {
        let found = found?;
        if is_stub(&found.inode)? {
            continue;
        }
        let target = links.target(&found, walk.path())?;
        put_line(walk.path(), target, &View::of(found.inode)?, &mut buffer)?;
        flush_if_full(&mut buffer, out)?;
    }
    Ok(out.write_all(&buffer)?)
}

/// The first paths of inodes with several names.
struct Links<'a, 'i> {
    image: &'a Image<'i>,
    only: Option<&'a [&'a [u8]]>,
    paths: HashMap<u64, Box<[u8]>>,
    /// Whether the paths of all such inodes are there.
    all_known: bool,
}

impl Links<'_, '_> {
    /// The path that `found`, at `path`, is a hard link to.
    fn target(&mut self, found: &NamedInode<'_>, path: &[u8]) -> Result<Option<&[u8]>, ImageError> {
        let nid = found.inode.nid();
        if !found.again {
            let has_links = found.inode.links() > 1 && found.inode.file_type() != FileType::Directory;
            if has_links && !self.all_known {
                self.paths.insert(nid, path.into());
            }
            return Ok(None);
        }
        // Images can state any link count.
        if !self.paths.contains_key(&nid) && !self.all_known {
            self.find_all()?;
        }
        Ok(self.paths.get(&nid).map(AsRef::as_ref))
    }

    /// Goes through the image twice: which inodes have several names, and what the first is.
    fn find_all(&mut self) -> Result<(), ImageError> {
        let mut several = HashMap::new();
        for found in self.image.walk_depth_first(self.only) {
            let found = found?;
            if found.again {
                several.insert(found.inode.nid(), None);
            }
        }
        let mut walk = self.image.walk_depth_first(self.only);
        while let Some(found) = walk.next() {
            if let Some(path @ None) = several.get_mut(&found?.inode.nid()) {
                *path = Some(Box::from(walk.path()));
            }
        }
        self.paths = several.into_iter().filter_map(|(nid, path)| Some((nid, path?))).collect();
        self.all_known = true;
        Ok(())
    }
}

/// Appends the line of one name. `target` is the path that it is a hard link to.
fn put_line(
    path: &[u8],
    target: Option<&[u8]>,
    view: &View<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ListingError> {
    let inode = &view.inode;
    let is_whiteout = view.file_type != inode.file_type();
    escape(path, Also::Nothing, out);
    let mode = view.file_type.mode_bits() | inode.permissions();
    let mtime = inode.mtime();
    out.push(b' ');
    put_number(if is_whiteout { 0 } else { inode.size_bytes() }, out);
    out.extend_from_slice(if target.is_some() { b" @" } else { b" " });
    put_octal(mode, out);
    for number in [inode.links(), inode.uid(), inode.gid(), inode.device_number()] {
        out.push(b' ');
        put_number(number.into(), out);
    }
    out.extend_from_slice(if mtime.seconds < 0 { b" -" } else { b" " });
    put_number(mtime.seconds.unsigned_abs(), out);
    out.push(b'.');
    put_number(mtime.nanoseconds.into(), out);
    put_data(target, view, out)?;
    for xattr in &view.xattrs {
        let [prefix, suffix] = tree_name(xattr).unwrap_or_default();
        out.push(b' ');
        escape(prefix, Also::Equals, out);
        escape(suffix, Also::Equals, out);
        out.push(b'=');
        escape(xattr.value, Also::Equals, out);
    }
    out.push(b'\n');
    Ok(())
}

/// Appends payload, content and digest.
fn put_data(target: Option<&[u8]>, view: &View<'_>, out: &mut Vec<u8>) -> Result<(), ListingError> {
    let payload = match target {
        Some(target) => Some(target),
        None => view.payload()?,
    };
    out.push(b' ');
    match payload {
        Some(payload) => escape(payload, Also::LoneDash, out),
        None => out.push(b'-'),
    }
    out.push(b' ');
    let is_whiteout = view.file_type != view.inode.file_type();
    match view.inode.file_type() {
        FileType::Regular if !view.inode.is_external() => match view.inode.content()? {
            FileContent::Inline(content) if content.is_empty() => out.push(b'-'),
            // With C, a file that is marked as a whiteout has no bytes any more, but a content.
            FileContent::Inline(_) if is_whiteout => {}
            FileContent::Inline(content) => escape(&content, Also::LoneDash, out),
            FileContent::External(_) => out.push(b'-'),
        },
        _ => out.push(b'-'),
    }
    out.push(b' ');
    match &view.digest {
        Some(digest) => out.extend_from_slice(digest.to_string().as_bytes()),
        None => out.push(b'-'),
    }
    Ok(())
}

/// Appends `number` in decimal.
fn put_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut start, mut rest) = (digits.len(), number);
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return out.extend_from_slice(&digits[start..]);
        }
    }
}

/// Appends `mode` in octal, which begins with its file type.
fn put_octal(mode: u16, out: &mut Vec<u8>) {
    let places = (16 - mode.leading_zeros()).div_ceil(3).max(1);
    out.extend((0..places).rev().map(|place| b'0' + ((mode >> (3 * place)) & 7) as u8));
}
