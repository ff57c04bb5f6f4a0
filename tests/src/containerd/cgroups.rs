//! The cgroups that a test's containers are in, and those that a test which was killed has left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How the names of all of them begin; the number of the test's process follows, and a dash.
pub(super) const PREFIX: &str = "sealpack-test-";

/// How long the kernel may take to be done with the last process of a group.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// Removes the group called `name` with all in it, from every hierarchy. No process may be in them any more.
pub(super) fn remove(name: &str) {
    for hierarchy in hierarchies() {
        remove_tree(&hierarchy.join(name), Instant::now() + BUSY_MAX);
    }
}

/// Removes what tests left whose processes are gone.
pub(super) fn sweep() {
    for hierarchy in hierarchies() {
        for name in crate::unpacked::names(&hierarchy, is_abandoned).unwrap_or_default() {
            remove_tree(&hierarchy.join(name), Instant::now());
        }
    }
}

fn is_abandoned(name: &str) -> bool {
    let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    process.is_some_and(|process| !Path::new("/proc").join(process).exists())
}

/// The bytes of the page cache that are on the account of a group, by its path below a hierarchy.
pub(super) fn page_cache_bytes(group: &str) -> Option<u64> {
    let counted = |hierarchy: PathBuf| {
        let counts = fs::read_to_string(hierarchy.join(group).join("memory.stat")).ok()?;
        // Of version 2, and of version 1 (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst).
        let bytes = |line: &str| line.strip_prefix("file ").or(line.strip_prefix("cache "))?.parse().ok();
        counts.lines().find_map(bytes)
    };
    hierarchies().into_iter().find_map(counted)
}

/// Where groups are made: of version 1, of version 2, or of both.
fn hierarchies() -> Vec<PathBuf> {
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let place = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup").then(|| place.split(' ').nth(4).map(PathBuf::from))?
    };
    mounted.lines().filter_map(place).collect()
}

/// The files in a group go with it; groups in it do not.
fn remove_tree(group: &Path, deadline: Instant) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path(), deadline);
        }
    }
    // EBUSY while the kernel still has a process in it that has been killed.
    while fs::remove_dir(group).is_err() && group.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
}
