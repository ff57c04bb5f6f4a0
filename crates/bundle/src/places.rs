//! What a container needs to be in its root directory.

use sealpack_format::tree::{Kind, Tree};
use sealpack_format::walk;

use crate::Spec;
use crate::mounts::COPIED_UP;

/// The places of the root directory that runtimes need, to mount on them or to start in them, and that the image does not
/// have as what they have to be, in order. Runtimes make them where they can write; on a read-only root they fail.
///
/// What lies below another mount is made there, and is not looked at.
#[must_use]
pub fn missing(tree: &Tree, spec: &Spec) -> Vec<String> {
    let mounted: Vec<&str> = spec.mounts.iter().map(|mount| mount.destination.as_str()).collect();
    let is_below = |path: &str| {
        mounted.iter().any(|other| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/')))
    };
    let mounts = spec.mounts.iter().map(|mount| (mount.destination.as_str(), mount.is_file));
    let needed = mounts.chain([(spec.process.cwd.as_str(), false)]);
    let is_there = |path: &str, is_file: bool| {
        let kind = walk::follow(tree, path.as_bytes()).map(|id| &tree.inode(id).kind);
        match kind {
            Some(Kind::Directory(_)) => !is_file,
            Some(_) => is_file,
            None => false,
        }
    };
    let mut missing: Vec<String> = needed
        .filter(|(path, is_file)| !is_below(path) && !is_there(path, *is_file))
        .map(|(path, _)| path.to_owned())
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// Gives each filesystem in memory that stands for a directory of the image that directory's owner and mode: whoever was
/// to write there can.
pub fn keep_owners(tree: &Tree, spec: &mut Spec) {
    for mount in spec.mounts.iter_mut().filter(|mount| mount.options.iter().any(|option| option == COPIED_UP))
    {
        let Some(inode) = walk::follow(tree, mount.destination.as_bytes()).map(|id| tree.inode(id)) else {
            continue;
        };
        if matches!(inode.kind, Kind::Directory(_)) {
            let metadata = &inode.metadata;
            mount.options.retain(|option| !option.starts_with("mode="));
            mount.options.push(format!("mode={:04o}", metadata.permissions));
            mount.options.extend([format!("uid={}", metadata.uid), format!("gid={}", metadata.gid)]);
        }
    }
}
