//! What comes in and goes out, and by whose word: pulls, seals, copies, rollbacks and reports under the rules of the trust
//! store.
//!
//! What is worth saying and is no error goes to the caller as a [`Remark`]; what goes wrong is an [`Error`], which knows
//! whether something was not what a digest, a signature or a rule says.
#![doc = include_str!("../README.md")]

mod admission;
pub mod artifacts;
pub mod bring;
pub mod claims;
pub mod error;
mod found;
mod gate;
pub mod parts;
pub mod publish;
pub mod pull;
pub mod remark;
pub mod rollback;
pub mod save;
pub mod seal;
pub mod seals;
pub mod uki;
pub mod usable;
pub mod verify;

pub use admission::{Admission, NotAdmitted};
pub use error::Error;
pub use found::Found;
pub use gate::{Demand, Gate, Judgement, asked_for};
pub use remark::{Remark, Remarks};
