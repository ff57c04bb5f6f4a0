//! UKIs as they are on the ESP.

use std::cmp::{Ordering, Reverse};

use super::name::FileName;
use super::version;
use crate::uki::{NotUki, Release, UkiFile};

/// A file with the name of a UKI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file's name, as it is there.
    pub file_name: String,
    /// The same, with what it counts.
    pub name: FileName,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// The SHA-256 of them, by which two are the same.
    pub sha256: [u8; 32],
    /// What systemd-boot orders it by; `None` for what it passes over, such as a file that is not whole.
    pub release: Option<Release>,
    /// What it is. One that is no UKI of a sealed host may be started by systemd-boot all the same.
    pub uki: Result<UkiFile, NotUki>,
}

impl Entry {
    /// Whether it starts an image with that root hash, and no other.
    #[must_use]
    pub fn starts(&self, boot: &sealpack_format::boot::BootParameters) -> bool {
        self.uki.as_ref().is_ok_and(|uki| {
            let own = uki.command_line.boot();
            own.image == boot.image && own.root_hash == boot.root_hash
        })
    }

    /// Whether systemd-boot counts its tries and none is left, so that it comes last.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.name.counter.is_some_and(super::Counter::is_spent)
    }

    /// The order in which systemd-boot has them: the one that it prefers is the lesser (`boot_entry_compare`,
    /// src/boot/boot.c).
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let version =
            |entry: &Self| entry.release.as_ref().and_then(Release::version).unwrap_or_default().to_owned();
        let key = |entry: &Self| entry.release.as_ref().and_then(Release::sort_key).map(str::to_owned);
        let by_key = match (key(self), key(other)) {
            (Some(own), Some(others)) => own
                .encode_utf16()
                .cmp(others.encode_utf16())
                .then_with(|| version::compare(&version(other), &version(self))),
            (own, others) => own.is_none().cmp(&others.is_none()),
        };
        let id = |entry: &Self| entry.file_name.to_lowercase();
        let by_name = || version::compare(&id(other), &id(self));
        self.is_spent().cmp(&other.is_spent()).then(by_key).then_with(by_name).then_with(|| {
            match (self.name.counter, other.name.counter) {
                (Some(own), Some(others)) => {
                    let tries = |counter: super::Counter| (Reverse(counter.left), counter.done.unwrap_or(0));
                    tries(own).cmp(&tries(others))
                }
                _ => Ordering::Equal,
            }
        })
    }
}
