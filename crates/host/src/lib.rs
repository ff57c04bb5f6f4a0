//! What a sealed host is made of: its UKI with the initramfs in it, its disk, and what its image has to contain; and what
//! it is while it runs.

pub mod assess;
pub mod check;
pub mod disk;
pub mod esp;
pub mod image;
pub mod initramfs;
pub mod keep;
mod kept_policies;
pub mod modules;
pub mod signing;
pub mod status;
pub mod systemd;
pub mod uki;
pub mod upgrade;
mod version;

pub use kept_policies::{KeepPolicyError, keep_policy};
