//! What the tools of the composefs project do, for the programs of the same names.
//!
//! - [`directory`]: a directory as a tree, its files as objects (`mkcomposefs`);
//! - [`objects`]: a directory of objects (`--digest-store`);
//! - [`listing`]: what an image holds, as text (`composefs-info`);
//! - [`mount`]: mounting an image (`mount.composefs`).
//!
//! Nothing here prints or exits; that is the programs' part.

pub mod directory;
pub mod listing;
pub mod mount;
pub mod objects;
