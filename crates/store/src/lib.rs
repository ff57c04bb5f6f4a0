//! The store: file contents as objects, metadata images, layers, blobs and names.
//!
//! A [`Store`] is a directory that only Sealpack writes to; `docs/formats/store.md` describes
//! every byte of it. All calls block. A [`Store`] and a [`Staging`] can be used by many
//! threads at once, and many processes can use one directory: locks keep them apart where
//! they would harm each other.
//!
//! New contents go through a [`Staging`]: written below `tmp/`, flushed, and renamed to their
//! places in an order in which nothing is ever referred to before it is safe on the disk. Killed
//! at any instant, a process leaves a store that opens, passes [`Store::fsck`], and has all that
//! was reported as committed.
//!
//! The writers are [`std::io::Write`]; their errors have an [`Error`] inside, which
//! [`std::io::Error::downcast`] brings out.
//!
//! The library does not print and does not look at the environment; [`location`] computes
//! the usual place of a store from what it is given.
#![doc = include_str!("../README.md")]

// From the bottom up, each using only what is above it in this list:
//   deep, hash, places, holders, problem, threads; error; observer; dir; documents, lock, verified, integrity; meta; facts, store
//   objects, blobs, partial, seals; layers; refs; packs; chains; images, hash_areas; contents, usage; inventory
//   staging; convert, gc, fsck; single
mod blobs;
mod chains;
mod contents;
mod convert;
pub mod deep;
mod dir;
mod documents;
mod error;
mod facts;
mod fsck;
mod gc;
mod hash;
mod hash_areas;
mod holders;
mod holdings;
mod images;
mod integrity;
mod inventory;
mod layers;
pub mod location;
mod lock;
mod meta;
mod modes;
mod objects;
mod observer;
mod packs;
mod partial;
mod places;
mod problem;
mod refs;
mod seals;
mod single;
mod staging;
mod store;
mod threads;
mod usage;
mod verified;

#[cfg(test)]
mod fault;
#[cfg(test)]
mod tests;

pub use blobs::BLOB_MAX_BYTES;
pub use chains::{Chain, ChainId};
pub use contents::VerifiedObject;
pub use convert::Converted;
pub use error::{BlobMismatch, Error, RefDamage, Result};
pub use facts::Fact;
pub use fsck::{FsckOptions, FsckReport, ObjectFault};
pub use gc::{Discard, GcOptions, GcReport, Kept, Marked, PARTIAL_KEPT, Tally};
pub use holders::{Holder, LockError, LockWait, LockWatcher};
pub use holdings::Holdings;
pub use images::{ObjectsOfImage, objects_of_image};
pub use integrity::{Integrity, ObjectState};
pub use layers::LayerRecord;
pub use lock::{Lock, LockKind};
pub use modes::loose_mode;
pub use observer::{Event, Observer, Phase};
pub use packs::{LayerPack, PackDescriptor};
pub use partial::Partial;
pub use problem::{Misfit, MisfitsOf, Problem, ProblemKind};
pub use refs::{
    Accepted, AcceptedEpoch, Epoch, EpochImage, HISTORY_MAX, ImageRecord, Images, KeptSeal, LayerDescriptor,
    ObjectForm, ObjectFormParseError, REF_NAME_MAX_BYTES, SeenAttestation,
};
pub use staging::{
    Added, LayerFile, MetadataImageWriter, ObjectWriter, PackFile, PackedObject, Staged, Staging,
};
pub use store::Store;
pub use usage::{Sharing, Together, Usage};
