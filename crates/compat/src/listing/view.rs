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
        let mut xattrs = inode.xattrs()?.collect::<Result<Vec<_>, _>>()?;
        // Shared ones come first in the image, and last with the C tools.
        let shared = xattrs.iter().take_while(|xattr| xattr.shared_offset.is_some()).count();
        xattrs.rotate_left(shared);
        let mut view = Self { inode, file_type, xattrs: Vec::new(), redirect: None, digest: None };
        xattrs.retain(|xattr| view.is_of_tree(xattr));
        view.xattrs = xattrs;
        Ok(view)
    }

    /// Whether an attribute is the tree's; what is not is taken note of. A mark counts from where
    /// it stands.
    fn is_of_tree(&mut self, xattr: &Xattr<'a>) -> bool {
        let is_file = self.file_type == FileType::Regular;
        if xattr.is(b"trusted.overlay.redirect") {
            if is_file {
                self.redirect = Some(without_slash(xattr.value));
            }
        } else if xattr.is(b"trusted.overlay.metacopy") {
            if is_file {
                self.digest = stated_digest(xattr.value);
            }
        } else if is_file && xattr.is(b"trusted.overlay.overlay.whiteout") {
            self.file_type = FileType::CharDevice;
        } else {
            return !MARKS.iter().any(|mark| xattr.is(mark)) && tree_name(xattr).is_some();
        }
        false
    }

    /// What a dump has as payload: the target of a symbolic link, the path of a file's content.
    pub(super) fn payload(&self) -> Result<Option<&'a [u8]>, ImageError> {
        Ok(match self.file_type {
            FileType::Symlink => Some(self.inode.symlink_target()?),
            _ => self.redirect,
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
