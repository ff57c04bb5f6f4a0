//! Which paths a layer has had already.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Remembers paths as 128-bit keyed hashes, so that a million entries cost tens of
/// megabytes and nobody can choose names that collide.
pub(super) struct SeenPaths {
    keys: [RandomState; 2],
    is_directory: HashMap<(u64, u64), bool>,
}

impl SeenPaths {
    pub(super) fn new() -> Self {
        Self { keys: [RandomState::new(), RandomState::new()], is_directory: HashMap::new() }
    }

    /// Notes `path`; answers whether it may stand in the layer. A directory may come
    /// again: builders repeat them, and the last metadata counts.
    pub(super) fn admit(&mut self, path: &[u8], is_directory: bool) -> bool {
        let [one, other] = &self.keys;
        let before = self.is_directory.insert((one.hash_one(path), other.hash_one(path)), is_directory);
        before.is_none_or(|before| before && is_directory)
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
