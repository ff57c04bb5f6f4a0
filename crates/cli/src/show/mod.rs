//! What commands show of each kind of thing, as text for people and as JSON for machines: one file for each.

pub(crate) mod collected;
pub(crate) mod composefs;
pub(crate) mod decisions;
pub(crate) mod policy;
pub(crate) mod records;
pub(crate) mod report;
pub(crate) mod seal;
pub(crate) mod standing;
