//! The initramfs of a sealed host: what its first process finds, and nothing else.
//!
//! A cpio archive as the kernel unpacks it (`cpio`), compressed with zstd. The same contents give the same bytes: no
//! times, owner 0, names in order, and one thread that compresses.

mod cpio;
#[cfg(test)]
mod tests;

use sealpack_format::boot::{ModuleOrder, initramfs as names};

use cpio::{Archive, EntryKind};

/// How hard zstd tries: with the kernel's own limits for windows in mind, its levels from 20 on are not for an initramfs.
const ZSTD_LEVEL: i32 = 19;

/// What goes into an initramfs.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The first process, a static program.
    pub init: &'a [u8],
    /// The command line that is signed together with it.
    pub command_line: &'a str,
    /// IPE's policy, signed: PKCS#7 in DER.
    pub policy: &'a [u8],
    /// Certificates of who may sign packs, in DER.
    pub certificates: &'a [&'a [u8]],
    /// What is loaded.
    pub order: &'a ModuleOrder,
    /// The modules' files, each with its name in [`order`](Self::order).
    pub modules: &'a [(&'a str, Vec<u8>)],
}

/// The initramfs with these contents.
///
/// # Errors
/// A file is larger than cpio can say, 4 GiB; zstd fails.
pub fn make(contents: &Contents<'_>) -> std::io::Result<Vec<u8>> {
    let mut archive = Archive::default();
    let certificates = contents.certificates.iter().enumerate();
    let certificates: Vec<_> = certificates.map(|(number, der)| (names::certificate(number), *der)).collect();
    let order = contents.order.to_string();
    for directory in names::MOUNT_POINTS.into_iter().chain([names::CERTIFICATES, names::MODULES]) {
        archive.add(directory, EntryKind::Directory);
    }
    archive.add(names::CONSOLE, EntryKind::CharDevice { major: 5, minor: 1 });
    archive.add(names::INIT, EntryKind::Program(contents.init));
    archive.add(names::COMMAND_LINE, EntryKind::File(contents.command_line.as_bytes()));
    archive.add(names::POLICY, EntryKind::File(contents.policy));
    for (name, der) in &certificates {
        archive.add(name, EntryKind::File(der));
    }
    archive.add(&format!("{}/{}", names::MODULES, names::ORDER), EntryKind::File(order.as_bytes()));
    for (file, content) in contents.modules {
        archive.add(&format!("{}/{file}", names::MODULES), EntryKind::File(content));
    }
    zstd::bulk::compress(&archive.write()?, ZSTD_LEVEL)
}
