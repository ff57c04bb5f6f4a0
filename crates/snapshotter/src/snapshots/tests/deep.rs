//! What a container may leave in its directory.

use std::path::Path;

use rustix::fs::{Mode, OFlags, mkdirat, open, openat};

use super::*;

/// A container made so many directories below one another that a call for each of them was more than a thread's stack had room
/// for, 20,000 of them: the program ended when the container was removed, and again at each of its starts, which sweep.
/// From 2,000 on nobody could tell what it took of the disk: paths have an end. (What does not grow with the depth, stack and
/// descriptors, is tried where that is: `deep` of the store.)
#[test]
fn a_container_that_made_directories_without_end_is_counted_and_removed() {
    const DEPTH: u64 = 2500;
    let machine = Machine::new();
    let upper = Machine::upper_of(&machine.prepare("container", "", Labels::new()).unwrap());
    make(&upper, DEPTH);
    assert_eq!(machine.usage("container").unwrap().inodes, DEPTH + 1);
    machine.remove("container").unwrap();
    machine.sweep().unwrap();
    assert_eq!(fs::read_dir(machine.store().snapshotter_path().join("s")).unwrap().count(), 0);
}

fn make(top: &Path, depth: u64) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = open(top, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&here, c"d", Mode::RWXU).unwrap();
        here = openat(&here, c"d", flags, Mode::empty()).unwrap();
    }
}
