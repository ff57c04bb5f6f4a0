//! What the image has itself.

use sealpack_format::boot::keep::EtcPath;
use sealpack_format::tree::{Content, Kind, Tree};
use sealpack_format::verity::fsverity_digest;

use super::found::{FoundFile, Owner};

/// Whether the image has this very file: content, owner and permissions.
pub(super) fn has(tree: &Tree, path: &EtcPath, file: &FoundFile) -> bool {
    let Some(inode) = tree.lookup(path.to_string().as_bytes()).map(|id| tree.inode(id)) else { return false };
    let metadata = &inode.metadata;
    let owner = Owner::new(u32::from(metadata.permissions), metadata.uid, metadata.gid);
    let Kind::Regular(content) = &inode.kind else { return false };
    owner == file.owner
        && match content {
            Content::Inline(bytes) => **bytes == *file.bytes,
            Content::Object { size, id } => {
                *size == file.bytes.len() as u64 && fsverity_digest(id.algorithm(), &file.bytes) == *id
            }
            Content::External { .. } => false,
        }
}
