//! A sealed host that goes to another version, or back: what is decided about that, and what is written.
//!
//! Nothing here asks a registry or the trust store: who calls brings the image, its judged seal and the UKIs that were found.
//! What is decided follows from these and the [`Boots`](crate::esp::Boots) of the ESP alone, and can be tried without a host.

mod choose;
mod clock;
mod error;
mod firmware_keys;
mod names;
mod plan;
mod staged;
#[cfg(test)]
mod tests;

pub use choose::{Allowed, Candidate, Chosen, Host, Target, Unfit, choose};
pub use clock::check_clock;
pub use error::{NoChoice, UpgradeError};
pub use firmware_keys::FirmwareKeys;
pub use names::{keep_names, let_go_names};
pub use plan::{Change, Plan, State, back_to, to};
pub use staged::Staged;
