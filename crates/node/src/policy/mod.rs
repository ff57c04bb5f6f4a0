//! Policies: read, written for images, signed, given to the kernel, and what they decide and decided.

mod allowed;
mod check;
mod devices;
mod error;
pub mod executables;
mod explain;
mod load;
mod revoke;
mod sign;
mod source;

pub use allowed::{AllowedFiles, Choice, revoked};
pub use check::{Checked, FileDecision, Interpreter, check};
pub use devices::devices_of;
pub use error::PolicyError;
pub use explain::{LOG_MAX_BYTES, Told, tell};
pub use load::{Done, KernelPolicies, Loaded, Loading, activate, load};
pub use revoke::denying;
pub use sign::sign;
pub use source::{GivenPolicy, Origin};
