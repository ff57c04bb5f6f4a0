//! What a sealed host is made of: its UKI with the initramfs in it, its disk, and what its image has to contain; and what
//! it is while it runs.

pub mod keep;
mod kept_policies;
pub mod status;

pub use kept_policies::{KeepPolicyError, keep_policy};
