//! What commands show of each kind of thing, as text for people and as JSON for machines: one file for each.

pub(crate) mod anchors;
pub(crate) mod checked;
pub(crate) mod collected;
pub(crate) mod composefs;
pub(crate) mod containerd;
pub(crate) mod copied;
pub(crate) mod decisions;
pub(crate) mod differences;
pub(crate) mod files;
pub(crate) mod host_check;
pub(crate) mod host_disk;
pub(crate) mod host_status;
pub(crate) mod image;
pub(crate) mod kept;
pub(crate) mod key;
pub(crate) mod mounted;
pub(crate) mod parts;
pub(crate) mod policy;
pub(crate) mod pulled;
pub(crate) mod records;
pub(crate) mod refused;
pub(crate) mod report;
pub(crate) mod seal;
pub(crate) mod standing;
pub(crate) mod uki;
pub(crate) mod upgrade;
