//! What libraries answer, as text for people and as JSON for machines: one file for each thing.

pub(crate) mod collected;
pub(crate) mod decisions;
pub(crate) mod policy;
pub(crate) mod records;
pub(crate) mod standing;
