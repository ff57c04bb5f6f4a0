//! Bytes and text to types and back: digests, references, trees, tar, EROFS, packs, dumps, Merkle trees, and command lines.
//!
//! Nothing here does I/O, spawns threads or looks at a clock. Every parser takes
//! bytes that may be hostile and answers with a type or an error that names what
//! is wrong and where.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::as_conversions))]

pub mod boot;
pub mod broker;
pub mod digest;
pub mod dump;
pub mod erofs;
pub mod exposition;
pub mod ext4;
pub mod glob;
pub mod layer;
pub mod limits;
mod names;
pub mod pack;
pub mod pe;
pub mod reference;
pub mod tar;
pub mod text;
pub mod tree;
pub mod verity;
pub mod walk;
pub mod zeros;

pub use digest::{Algorithm, BlobDigest, DiffId, ObjectId, RootHash};
