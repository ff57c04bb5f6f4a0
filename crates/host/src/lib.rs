//! What a sealed host is made of: its UKI with the initramfs in it, its disk, and what its image has to contain; and what
//! it is while it runs.

pub mod keep;
pub mod status;
