//! Which device has the label, and why none has.

use std::fmt;

use sealpack_format::boot::DataLabel;
use sealpack_format::ext4::{NotExt4, Superblock};

use super::devices::{Content, Device};
use crate::start::failure::Failure;

/// The most devices that a message tells of.
const TOLD_MAX: usize = 12;

/// The filesystem with the label.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its device.
    pub(super) path: String,
    pub(super) superblock: Superblock,
}

/// Why there is not just one filesystem with the label.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DataError {
    /// There is none.
    #[error("no filesystem has the label {label}; there are {}", Told(seen))]
    Missing { label: DataLabel, seen: Vec<Device> },
    /// A partition is called so, and has something else on it.
    #[error("the partition {path} is called {label}, and {why}")]
    NotExt4 { label: DataLabel, path: String, why: NotExt4 },
    /// There are several, and nobody says which one is meant.
    #[error("{} filesystems have the label {label}: {}", paths.len(), paths.join(", "))]
    Several { label: DataLabel, paths: Vec<String> },
}

impl DataError {
    /// Whether a device that comes later would make it good.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::NotExt4 { .. } => true,
            Self::Several { .. } => false,
        }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::new(error.to_string()).advised(match error {
            DataError::Missing { .. } => {
                "attach the disk; build the UKI with the module that drives it, or with the label that it has"
            }
            DataError::NotExt4 { .. } => {
                "make the filesystem (mkfs.ext4 -O verity -L LABEL), and bring the store there"
            }
            DataError::Several { .. } => "detach all but one, or give the others other labels (e2label)",
        })
    }
}

/// The one filesystem with the label.
pub(super) fn find(label: &DataLabel, devices: Vec<Device>) -> Result<Found, DataError> {
    let has_label = |superblock: &Superblock| superblock.label.as_bytes() == label.as_str().as_bytes();
    let mut found: Vec<Found> = Vec::new();
    for device in &devices {
        if let Content::Ext4(superblock) = &device.content
            && has_label(superblock)
        {
            found.push(Found { path: device.path.clone(), superblock: superblock.clone() });
        }
    }
    match found.len() {
        0 => Err(missing(label, devices)),
        1 => Ok(found.remove(0)),
        _ => {
            let paths = found.into_iter().map(|found| found.path).collect();
            Err(DataError::Several { label: label.clone(), paths })
        }
    }
}

fn missing(label: &DataLabel, seen: Vec<Device>) -> DataError {
    let label = label.clone();
    let called = seen.iter().find_map(|device| match device.content {
        Content::Other(why) if device.partition.as_deref() == Some(label.as_str()) => {
            Some((device.path.clone(), why))
        }
        _ => None,
    });
    match called {
        Some((path, why)) => DataError::NotExt4 { label, path, why },
        None => DataError::Missing { label, seen },
    }
}

/// Devices and what is on them, in a list that is not endless.
struct Told<'d>(&'d [Device]);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no disks at all");
        }
        for (index, device) in self.0.iter().take(TOLD_MAX).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{} (", device.path)?;
            match &device.content {
                Content::Ext4(superblock) if superblock.label.as_bytes().is_empty() => {
                    f.write_str("ext4, no label")?
                }
                Content::Ext4(superblock) => write!(f, "ext4, label {}", superblock.label)?,
                Content::Other(why) => write!(f, "{why}")?,
                Content::Unreadable(why) => f.write_str(why)?,
            }
            f.write_str(")")?;
        }
        match self.0.len().saturating_sub(TOLD_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A failed mount, with what the superblock has to say about it.
pub(super) fn explained(failure: Failure, superblock: &Superblock) -> Failure {
    let Some((incompatible, read_only)) = superblock.features.unknown() else { return failure };
    let why = format!(
        "{}; the filesystem is newer than Linux 6.12: features {incompatible:#x} and {read_only:#x} are not known there",
        failure.why
    );
    Failure::new(why).advised("start a kernel that knows its features, or make it anew without them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(label: &str) -> Superblock {
        let mut bytes = vec![0; 1024];
        bytes[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        bytes[0x3a] = 1;
        bytes[0x4c] = 1;
        bytes[0x60] = 0x42;
        bytes[0x78..][..label.len()].copy_from_slice(label.as_bytes());
        Superblock::parse(&bytes).unwrap()
    }

    fn device(path: &str, content: Content) -> Device {
        Device { path: path.to_owned(), partition: None, content }
    }

    fn ext4(path: &str, label: &str) -> Device {
        device(path, Content::Ext4(superblock(label)))
    }

    #[test]
    fn the_one_filesystem_with_the_whole_label_is_found() {
        let devices =
            vec![ext4("/dev/a", "sealpack-data2"), ext4("/dev/b", "sealpack-data"), ext4("/dev/c", "")];
        assert_eq!(find(&DataLabel::default(), devices).unwrap().path, "/dev/b");
    }

    #[test]
    fn two_are_refused_at_once_and_both_named() {
        let devices = vec![ext4("/dev/a", "sealpack-data"), ext4("/dev/b", "sealpack-data")];
        let error = find(&DataLabel::default(), devices).unwrap_err();
        assert!(!error.may_pass());
        assert_eq!(error.to_string(), "2 filesystems have the label sealpack-data: /dev/a, /dev/b");
        assert!(Failure::from(error).advice.unwrap().starts_with("detach all but one"));
    }

    #[test]
    fn where_none_has_it_what_there_is_is_told() {
        let devices = vec![
            ext4("/dev/a", "other"),
            device("/dev/b", Content::Other(NotExt4::Magic)),
            device("/dev/c", Content::Unreadable("Input/output error".to_owned())),
        ];
        let error = find(&DataLabel::default(), devices).unwrap_err();
        assert!(error.may_pass());
        assert_eq!(
            error.to_string(),
            "no filesystem has the label sealpack-data; there are /dev/a (ext4, label other), \
             /dev/b (it has no ext4 filesystem), /dev/c (Input/output error)"
        );
        let none = find(&DataLabel::default(), Vec::new()).unwrap_err();
        assert!(none.to_string().ends_with("there are no disks at all"));
        let many = (0..20).map(|number| ext4(&format!("/dev/{number}"), "")).collect();
        assert!(find(&DataLabel::default(), many).unwrap_err().to_string().ends_with("and 8 more"));
    }

    #[test]
    fn a_partition_of_that_name_with_something_else_on_it_is_told() {
        let mut other = device("/dev/b", Content::Other(NotExt4::Older));
        other.partition = Some("sealpack-data".to_owned());
        let error = find(&DataLabel::default(), vec![ext4("/dev/a", "x"), other]).unwrap_err();
        let wanted = "the partition /dev/b is called sealpack-data, and it has an older filesystem than ext4";
        assert!(error.to_string().starts_with(wanted), "{error}");
        assert!(error.may_pass());
    }

    #[test]
    fn a_newer_filesystem_that_cannot_be_mounted_is_told() {
        let failure = || Failure::new("fsconfig([5], CMD_CREATE): EINVAL");
        assert_eq!(explained(failure(), &superblock("x")), failure());
        let mut newer = superblock("x");
        newer.features.incompatible |= 1 << 30;
        let explained = explained(failure(), &newer);
        assert!(
            explained.why.ends_with("features 0x40000000 and 0x0 are not known there"),
            "{}",
            explained.why
        );
        assert!(explained.advice.unwrap().starts_with("start a kernel"));
    }
}
