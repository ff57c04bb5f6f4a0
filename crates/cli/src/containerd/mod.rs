//! containerd's configuration: which version wants what, and how a file that somebody has written gets it.

mod edit;
mod version;

pub(crate) use edit::{Wanted, edit, new};
pub(crate) use version::Version;
