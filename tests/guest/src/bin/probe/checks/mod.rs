//! The checks. Each leaves the host as it found it, but for what only a boot takes back.

mod boots;

use anyhow::Result;

/// What a check found.
pub(crate) enum Verdict {
    /// What it is there to show.
    Shown,
    /// That this kernel has nothing to show it with.
    Inapplicable(String),
}

type Check = fn() -> Result<Verdict>;

/// The check of that name.
pub(crate) fn find(name: &str) -> Option<Check> {
    Some(match name {
        "host_boots" => boots::boots,
        _ => return None,
    })
}
