//! Sealpack's mounts: first a [`Plan`], which can be printed and compared, then [`apply`].
//!
//! An image is mounted as composefs does it: its metadata image is an EROFS filesystem, which
//! overlayfs combines with the objects as data-only lower layers: a directory of files, or packs,
//! which are EROFS filesystems too. Metadata image and packs are mounted from dm-verity devices,
//! signed ones if there are signatures that the kernel accepts. The mount's source is
//! `sealpack:` and the metadata image's fs-verity digest, by which [`mounted`] and [`unmount`]
//! recognise it, where its layers are those of one.
#![doc = include_str!("../README.md")]

mod apply;
mod devices;
mod enforcement;
mod error;
pub mod handed;
mod level;
mod lowers;
mod metadata;
mod overlay;
mod packs;
mod plan;
mod source;
mod table;
mod target;

pub use apply::{Achieved, apply, apply_with};
pub use devices::{Broker, LiveDevice, live_devices, remove_leftovers, root_hashes_in_use};
pub use enforcement::{
    ActivePolicy, ExecutedDevice, in_force as enforcement_in_force, in_force_for as enforcement_in_force_for,
};
pub use error::Error;
pub use level::{Assurance, Level, LevelParseError};
pub use lowers::Backing;
pub use packs::look_for_objects;
pub use plan::{
    Device, Filesystem, Layer, Lower, MetadataHashArea, Objects, Pack, Plan, PlanError, Request, Setting,
    Signature, Writable,
};
pub use table::{
    Everywhere, InUse, Mounted, images_in_use, mounted, mounted_everywhere, only_claimed, unmount,
};
