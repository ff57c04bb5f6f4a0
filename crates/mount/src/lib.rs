//! Sealpack's mounts: first a [`Plan`], which can be printed and compared, then [`apply`].
//!
//! An image is mounted as composefs does it: its metadata image is an EROFS filesystem, which
//! overlayfs combines with the objects as data-only lower layers. The mount's source is
//! `sealpack:` and the metadata image's fs-verity digest, by which [`mounted`] and [`unmount`]
//! recognise it.

mod apply;
mod error;
mod level;
mod metadata;
mod overlay;
mod plan;
mod table;
mod target;

pub use apply::{Achieved, apply};
pub use error::Error;
pub use level::{Assurance, Level, LevelParseError};
pub use metadata::Backing;
pub use plan::{Filesystem, Layer, Plan, PlanError, Request, Setting, Writable};
pub use table::{InUse, Mounted, images_in_use, mounted, unmount};
