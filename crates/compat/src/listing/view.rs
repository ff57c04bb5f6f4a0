//! An inode as the C tools see it: what composefs added for overlayfs is taken away, and what
//! it escaped is itself again (`lcfs_build_node_from_image`).

use sealpack_format::ObjectId;
use sealpack_format::digest::Algorithm;
use sealpack_format::erofs::ImageError;
use sealpack_format::erofs::inode::FileType;
use sealpack_format::erofs::reader::{ImageInode, Xattr};

/// An inode, seen through composefs's attributes.
pub(super) struct View<'a> {
    pub(super) inode: ImageInode<'a>,
    /// Its type; that of a marked file is the whiteout's which it stands for.
    pub(super) file_type: FileType,
    /// The attributes of the tree, the inode's own before the shared ones.
    pub(super) xattrs: Vec<Xattr<'a>>,
    /// The path of its content, without the leading slash.
    redirect: Option<&'a [u8]>,
    /// The digest of its content.
    pub(super) digest: Option<ObjectId>,
}

/// What composefs marks whiteouts and the directories that have some with.
const MARKS: [&[u8]; 3] =
    [b"trusted.overlay.overlay.whiteouts", b"user.overlay.whiteout", b"user.overlay.whiteouts"];

impl<'a> View<'a> {
    pub(super) fn of(inode: ImageInode<'a>) -> Result<Self, ImageError> {
        let file_type = inode.file_type();
        let mut view = Self { inode, file_type, xattrs: Vec::new(), redirect: None, digest: None };
        let mut shared = 0;
        for xattr in inode.xattrs()? {
            let xattr = xattr?;
            view.add(xattr);
            if xattr.shared_offset.is_some() {
                shared = view.xattrs.len();
            }
        }
        // Shared ones come first in the image, and last with the C tools.
        view.xattrs.rotate_left(shared);
        Ok(view)
    }

    fn add(&mut self, xattr: Xattr<'a>) {
        let is_file = self.inode.file_type() == FileType::Regular;
        if xattr.is(b"trusted.overlay.redirect") {
            self.redirect = is_file.then(|| without_slash(xattr.value));
        } else if xattr.is(b"trusted.overlay.metacopy") {
            self.digest = stated_digest(xattr.value).filter(|_| is_file);
        } else if is_file && xattr.is(b"trusted.overlay.overlay.whiteout") {
            self.file_type = FileType::CharDevice;
        } else if !MARKS.iter().any(|mark| xattr.is(mark)) && tree_name(&xattr).is_some() {
            self.xattrs.push(xattr);
        }
    }

    /// What a dump has as payload: the target of a symbolic link, the path of a file's content.
    pub(super) fn payload(&self) -> Result<Option<&'a [u8]>, ImageError> {
        Ok(match self.file_type {
            FileType::Symlink => Some(self.inode.symlink_target()?),
            FileType::Regular => self.redirect,
            _ => None,
        })
    }
}

/// The parts of an attribute's name in the tree: escaped ones are themselves again, and those
/// that are overlayfs's own are none.
pub(super) fn tree_name<'a>(xattr: &Xattr<'a>) -> Option<[&'a [u8]; 2]> {
    let own = (xattr.prefix == b"trusted.").then(|| xattr.suffix.strip_prefix(b"overlay.")).flatten();
    match own {
        None => Some([xattr.prefix, xattr.suffix]),
        Some(rest) if rest.starts_with(b"overlay.") => Some([xattr.prefix, rest]),
        Some(_) => None,
    }
}

fn without_slash(path: &[u8]) -> &[u8] {
    match path {
        [b'/', rest @ ..] if !rest.is_empty() => rest,
        _ => path,
    }
}

/// The digest in a metacopy attribute: four bytes of header, then as many as the algorithm has.
fn stated_digest(value: &[u8]) -> Option<ObjectId> {
    let (_, digest) = value.split_at_checked(4)?;
    [Algorithm::Sha256, Algorithm::Sha512]
        .into_iter()
        .find_map(|algorithm| ObjectId::from_slice(algorithm, digest))
}
