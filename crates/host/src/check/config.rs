//! A kernel's configuration.

use std::collections::BTreeMap;

/// What is set in it: `CONFIG_NAME=value`.
pub(super) struct Config(BTreeMap<String, String>);

impl Config {
    pub(super) fn parse(text: &str) -> Self {
        let set = text.lines().filter_map(|line| line.trim().strip_prefix("CONFIG_")?.split_once('='));
        Self(set.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect())
    }

    /// Whether it is in the kernel itself.
    pub(super) fn is_built_in(&self, name: &str) -> bool {
        self.get(name) == Some("y")
    }

    /// A value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}
