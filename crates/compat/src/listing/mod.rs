//! What an image holds, as `composefs-info` prints it (`tools/composefs-info.c`).
//!
//! Everything is read from the image as it goes along; nothing is held but the paths of
//! files with several names.

mod dump;
mod view;

use std::collections::BTreeSet;
use std::io::{self, Write};

use sealpack_format::dump::{Also, escape};
use sealpack_format::erofs::inode::FileType;
use sealpack_format::erofs::reader::ImageInode;
use sealpack_format::erofs::{Image, ImageError};

pub use dump::dump;
use view::View;

/// Output is handed on in pieces of about this size.
const BUFFER_BYTES: usize = 256 * 1024;

/// Why a listing ended early.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The image is not what it should be.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A whiteout that has several names, which cannot be.
    #[error("the metadata image is damaged: inode {nid}: it is a whiteout with {links} links")]
    LinkedWhiteout {
        /// The number of the inode.
        nid: u64,
        /// The stated link count.
        links: u32,
    },
    /// The output failed.
    #[error("cannot write the listing: {0}")]
    Io(#[from] io::Error),
}

/// Writes the paths in `image`, one a line, each directory before what is in it: `/` behind
/// directories, ` -> ` and the target behind symbolic links, ` @ ` and the object's path behind
/// files that have their content in one. With `only`, of the root's entries those with these names.
///
/// # Errors
/// A bad image, whose listing ends there; a failing `out`.
pub fn ls(image: &Image<'_>, only: Option<&[&[u8]]>, out: &mut impl Write) -> Result<(), ListingError> {
    let mut buffer = Vec::new();
    let mut walk = image.walk_depth_first(only);
    while let Some(found) = walk.next() {
        let found = found?;
        if is_stub(&found.inode)? {
            continue;
        }
        escape(walk.path(), Also::NotBlanks, &mut buffer);
        // The C tool knows nothing but the name of a hard link.
        if !found.again {
            let view = View::of(found.inode)?;
            match (view.file_type, view.payload()?) {
                (FileType::Directory, _) => buffer.extend_from_slice(b"/\t"),
                (FileType::Symlink, Some(target)) => {
                    buffer.extend_from_slice(b"\t-> ");
                    escape(target, Also::Nothing, &mut buffer);
                }
                (FileType::Regular, Some(path)) => {
                    buffer.extend_from_slice(b"\t@ ");
                    escape(path, Also::Nothing, &mut buffer);
                }
                _ => {}
            }
        }
        buffer.push(b'\n');
        flush_if_full(&mut buffer, out)?;
    }
    Ok(out.write_all(&buffer)?)
}

/// Adds the paths of the objects that `image` refers to. With `only`, of what is below the
/// root's entries with these names.
///
/// # Errors
/// A bad image.
pub fn objects(
    image: &Image<'_>,
    only: Option<&[&[u8]]>,
    paths: &mut BTreeSet<Vec<u8>>,
) -> Result<(), ListingError> {
    for found in image.walk_depth_first(only) {
        let found = found?;
        if found.again || is_stub(&found.inode)? || found.inode.file_type() != FileType::Regular {
            continue;
        }
        let view = View::of(found.inode)?;
        if let (FileType::Regular, Some(path)) = (view.file_type, view.payload()?)
            && !paths.contains(path)
        {
            paths.insert(path.to_vec());
        }
    }
    Ok(())
}

/// Whether `inode` is a device that stands for nothing in the tree: the stubs of the root.
fn is_stub(inode: &ImageInode<'_>) -> Result<bool, ListingError> {
    if inode.file_type() != FileType::CharDevice || inode.device_number() != 0 {
        return Ok(false);
    }
    if inode.links() > 1 {
        return Err(ListingError::LinkedWhiteout { nid: inode.nid(), links: inode.links() });
    }
    Ok(true)
}

fn flush_if_full(buffer: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
    if buffer.len() >= BUFFER_BYTES {
        out.write_all(buffer)?;
        buffer.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
