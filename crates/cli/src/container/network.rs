//! Files that say how to use this machine's network.

use std::path::Path;

use sealpack_bundle::{Volume, Wishes};
use sealpack_format::tree::Tree;
use sealpack_format::walk;

/// The files by which names are resolved (resolv.conf(5), hosts(5)).
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Gives a container that uses this machine's network its files for that, read-only, where this machine has them and
/// nothing else is wanted there. `among`, if given, is the tree of an image that must have the place for them.
pub(crate) fn add_files(wishes: &mut Wishes, among: Option<&Tree>) {
    for path in FILES {
        let is_taken = wishes.volumes.iter().any(|volume| volume.target == path)
            || wishes.tmpfs.iter().any(|tmpfs| path.starts_with(&format!("{}/", tmpfs.target)))
            || wishes.volumes.iter().any(|volume| path.starts_with(&format!("{}/", volume.target)));
        let has_place = among.is_none_or(|tree| walk::follow(tree, path.as_bytes()).is_some());
        let Ok(source) = Path::new(path).canonicalize() else { continue };
        if let Some(source) = source.to_str().filter(|_| !is_taken && has_place && source.is_file()) {
            let (source, target) = (source.to_owned(), path.to_owned());
            wishes.volumes.push(Volume { source, target, read_only: true, is_file: true });
        }
    }
}
