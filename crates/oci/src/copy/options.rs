//! What of a source is copied.

use crate::platform::Platform;

/// What to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// Which images of an index.
    pub platforms: Platforms,
    /// Whether to copy referrers too, and theirs.
    pub referrers: bool,
}

/// Which images of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platforms {
    /// The index with all that it names.
    All,
    /// The one for this platform. A single image is copied whatever it is for.
    Usual(Platform),
    /// The one for this platform, and no other.
    Only(Platform),
}
