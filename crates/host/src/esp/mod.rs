//! The EFI system partition of a running host: which UKIs are on it, which one comes next, and how one comes to it.
//!
//! It is a FAT that the firmware and systemd-boot read, and it has no journal. What holds on it, whenever the power goes:
//!
//! - A UKI is written without its first sector, which is zeros: systemd-boot passes over what does not begin as a program
//!   does. When all else is on the disk, with its entry in the directory, that sector is written, which a disk does whole
//!   or not at all. So what is started is whole, and nothing needs a new name: in between, the kernel's FAT has a file
//!   that is renamed under both names, with the same clusters, or under none (`vfat_rename`, fs/fat/namei_vfat.c, which
//!   says nothing of the order in which its blocks get to the disk).
//! - Which one comes next is, where the order of names and versions does not do, a variable of the firmware's.
//! - Nothing is renamed that must not get lost: neither what runs nor what is fallen back to; and nothing over another file.
//! - What is removed is flushed before anything else is written.

mod boots;
mod entry;
mod error;
pub mod firmware;
mod name;
mod partition;
mod pattern;
#[cfg(test)]
pub(crate) mod tests;
mod version;

pub use boots::{Boots, Facts, NextBy};
pub use entry::Entry;
pub use error::{EspError, FirmwareError};
pub use firmware::LoaderVariables;
pub use name::{Counter, FileName};
pub use partition::{Esp, Filesystem};

/// Where a sealed host's is mounted.
pub const MOUNTED_AT: &str = "/efi";
