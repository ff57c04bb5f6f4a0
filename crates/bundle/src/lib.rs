//! An image's config, and what somebody wants besides, as what OCI runtimes take: a `config.json` with everything in it
//! that a container is made of, its seccomp profile among that.
//!
//! Pure: bytes, trees and wishes go in, a [`Spec`] comes out. Users and groups are resolved against the image's own
//! `/etc/passwd` and `/etc/group`, which whoever calls this reads, as a path inside the image
//! ([`sealpack_format::walk`]).
#![forbid(unsafe_code)]

pub mod accounts;
mod annotations;
pub mod capabilities;
mod command;
mod environment;
mod error;
mod image;
pub mod limits;
mod mounts;
mod places;
mod plan;
pub mod seccomp;
pub mod signals;
pub mod spec;

pub use accounts::AccountError;
pub use command::{Executable, find as find_command};
pub use error::Error;
pub use image::ImageConfig;
pub use mounts::{Tmpfs, Volume, VolumeError};
pub use places::{check as check_places, keep_owners, missing as missing_places};
pub use plan::{Network, Wishes, plan};
pub use spec::Spec;
