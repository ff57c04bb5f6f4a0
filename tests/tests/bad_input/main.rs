//! Bad input, through the built program: each gets one clear error, the right exit status, and leaves the store
//! as it was.

mod blobs;
mod composefs;
mod compression;
mod concurrent;
mod disk;
mod interrupted;
mod limits;
mod manifests;
mod members;
mod mounts;
mod names;
mod registries;
mod stores;
mod support;
