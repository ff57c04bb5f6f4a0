//! What a container needs to be in its root directory.

use sealpack_format::tree::{Kind, Tree};
use sealpack_format::walk::{self, Step, Walk};

use crate::mounts::COPIED_UP;
use crate::{Error, Spec};

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

/// What shows the machine in a container, and is no place for an image's own filesystems.
const OF_THE_MACHINE: [&str; 3] = ["proc", "sys", "dev"];

/// The one place in those that is there to be written to.
const SHARED_MEMORY: &str = "shm";

/// That no filesystem which the image has in memory lies on what shows the machine, or on the root: by its name, or since a link
/// in the image leads there. Runtimes fill such a filesystem with what is there, reading it on the host as root and with all
/// capabilities before anything of it is masked.
///
/// # Errors
/// [`Error::InMachine`].
pub fn check(tree: &Tree, spec: &Spec) -> Result<(), Error> {
    let in_memory = spec.mounts.iter().filter(|mount| mount.options.iter().any(|option| option == COPIED_UP));
    for mount in in_memory {
        if is_of_machine(tree, &mount.destination) {
            return Err(Error::InMachine(mount.destination.clone()));
        }
    }
    Ok(())
}

fn is_of_machine(tree: &Tree, path: &str) -> bool {
    let places = OF_THE_MACHINE.map(|name| walk::follow(tree, name.as_bytes()));
    let shared = walk::follow(tree, format!("dev/{SHARED_MEMORY}").as_bytes());
    let mut walk = Walk::new(path.as_bytes());
    let is_in = |walk: &Walk| walk.passed().iter().any(|directory| places.contains(&Some(*directory)));
    loop {
        match walk.step(tree) {
            Some(Step::Taken) => {}
            // Behind what is missing there are no links.
            Some(Step::Missing(name) | Step::Leaf(name, _)) => {
                let is_shared = name == SHARED_MEMORY.as_bytes() && walk.is_over();
                return match walk.passed() {
                    [] => OF_THE_MACHINE.iter().any(|place| name == place.as_bytes()),
                    [directory] if is_shared && places[2] == Some(*directory) => false,
                    _ => is_in(&walk),
                };
            }
            // Runtimes follow more links than the kernel, and whither these lead nobody has seen.
            Some(Step::TooLong(_)) => return true,
            None => return walk.passed().is_empty() || is_in(&walk) && shared != Some(walk.here()),
        }
    }
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
