//! OCI images: where they come from, and what becomes of their layers.

pub mod merge;
