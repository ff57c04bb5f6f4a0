//! The seccomp profile that engines use (containers-common's `seccomp.json`), and what becomes of it for one container.
//!
//! The file is not in the form that runtimes take: each rule says for which processors and with which capabilities it
//! counts. What counts here is resolved as containers/common does (pkg/seccomp, `setupSeccomp`).

mod profile;
mod resolve;

pub use profile::{PROFILE_MAX_BYTES, Profile, ProfileError};
pub use resolve::Machine;

#[cfg(test)]
mod tests;
