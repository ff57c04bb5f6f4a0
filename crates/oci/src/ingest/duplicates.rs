//! Which paths a layer has had already.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Remembers paths as 127-bit keyed hashes, so that a million entries cost tens of
/// megabytes and nobody can choose names that collide. The lowest bit is set for directories.
pub(super) struct SeenPaths {
    keys: [RandomState; 2],
    seen: HashSet<[u64; 2]>,
}

impl SeenPaths {
    /// What a path takes of memory at most: 17 bytes in a table that is half empty when it has grown, while half of a
    /// full one is still there.
    pub(super) const PATH_BYTES: u64 = 64;

    pub(super) fn new() -> Self {
        Self { keys: [RandomState::new(), RandomState::new()], seen: HashSet::new() }
    }

    /// Notes `path`; answers whether it may stand in the layer. A directory may come
    /// again: builders repeat them, and the last metadata counts.
    pub(super) fn admit(&mut self, path: &[u8], is_directory: bool) -> bool {
        let [one, other] = self.keys.each_ref().map(|key| key.hash_one(path));
        let (file, directory) = ([one, other & !1], [one, other | 1]);
        match is_directory {
            true => {
                self.seen.insert(directory);
                !self.seen.contains(&file)
            }
            false => self.seen.insert(file) && !self.seen.contains(&directory),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_may_come_again() {
        let mut seen = SeenPaths::new();
        assert!(seen.admit(b"a", true) && seen.admit(b"a", true));
        assert!(!seen.admit(b"a", false));
        assert!(seen.admit(b"b", false));
        assert!(!seen.admit(b"b", false) && !seen.admit(b"b", true));
    }
}
