//! The block devices that there are, and what is on them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sealpack_format::ext4::{NotExt4, OFFSET_BYTES, SIZE_BYTES, Superblock};

use crate::start::failure::Failure;

/// Devices that are made of others or of memory, or that take seconds to say that nothing is in them.
const PASSED_OVER: [&str; 6] = ["loop", "ram", "zram", "nbd", "dm-", "fd"];

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    /// Its file's path.
    pub(super) path: String,
    /// What the table of partitions calls it, where it is one of that.
    pub(super) partition: Option<String>,
    /// What is on it.
    pub(super) content: Content,
}

/// What is on a block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// An ext4 filesystem.
    Ext4(Superblock),
    /// Something else, or nothing.
    Other(NotExt4),
    /// It cannot be read, and why.
    Unreadable(String),
}

/// The devices of the list `classes`, `/sys/class/block`, whose files are below `files`, by their names.
///
/// # Errors
/// There is no such list.
pub(super) fn all(classes: &Path, files: &Path) -> Result<Vec<Device>, Failure> {
    let entries = fs::read_dir(classes).map_err(|error| Failure::at(classes, &error))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| !PASSED_OVER.iter().any(|passed_over| name.starts_with(passed_over)));
    names.sort();
    let device = |name: String| {
        // A directory's separator in a device's name (drivers/base/core.c).
        let path = files.join(name.replace('!', "/"));
        let content = content(&path);
        let partition = partition_name(&classes.join(name));
        Device { path: path.to_string_lossy().into_owned(), partition, content }
    };
    Ok(names.into_iter().map(device).collect())
}

fn content(path: &Path) -> Content {
    let mut bytes = [0; SIZE_BYTES];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut bytes, OFFSET_BYTES));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Content::Other(NotExt4::Short),
        Err(error) => Content::Unreadable(error.to_string()),
        Ok(()) => Superblock::parse(&bytes).map_or_else(Content::Other, Content::Ext4),
    }
}

/// `PARTNAME=` among what the kernel says of a device.
fn partition_name(directory: &Path) -> Option<String> {
    let said = fs::read_to_string(directory.join("uevent")).ok()?;
    said.lines().find_map(|line| line.strip_prefix("PARTNAME=")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_with_their_contents_and_what_the_table_calls_them() {
        let place = tempfile::tempdir().unwrap();
        let (classes, files) = (place.path().join("block"), place.path().join("dev"));
        fs::create_dir_all(files.join("cciss")).unwrap();
        for (name, said) in [
            ("vdb", "DEVNAME=vdb\nDEVTYPE=disk\n"),
            ("vda2", "DEVNAME=vda2\nPARTN=2\nPARTNAME=sealpack-data\n"),
            ("cciss!c0d0", ""),
            ("loop0", ""),
            ("sda", ""),
        ] {
            fs::create_dir_all(classes.join(name)).unwrap();
            fs::write(classes.join(name).join("uevent"), said).unwrap();
        }
        let mut superblock = vec![0; 4096];
        superblock[1024 + 0x38..][..2].copy_from_slice(&[0x53, 0xef]);
        superblock[1024 + 0x4c] = 1;
        superblock[1024 + 0x60] = 0x42;
        superblock[1024 + 0x78..][..4].copy_from_slice(b"data");
        fs::write(files.join("vda2"), &superblock).unwrap();
        fs::write(files.join("vdb"), [0; 1024]).unwrap();
        fs::write(files.join("cciss/c0d0"), [0; 4096]).unwrap();
        let devices = all(&classes, &files).unwrap();
        let names: Vec<&str> = devices.iter().map(|device| device.path.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["c0d0", "sda", "vda2", "vdb"]);
        assert_eq!(devices[0].content, Content::Other(NotExt4::Magic));
        assert!(matches!(&devices[1].content, Content::Unreadable(why) if why.contains("No such file")));
        assert!(matches!(&devices[2].content, Content::Ext4(found) if found.label.as_bytes() == b"data"));
        assert_eq!(devices[2].partition.as_deref(), Some("sealpack-data"));
        assert_eq!((&devices[3].content, &devices[3].partition), (&Content::Other(NotExt4::Short), &None));
        assert!(all(&place.path().join("nowhere"), &files).is_err());
    }
}
