//! Images of a store for containerd: a snapshotter and a differ on one unix socket.
//!
//! From the bottom up: [`filter`] and [`mounts`] know nothing of the rest; [`state`] keeps rows; `chains` knows which layers
//! the store has, and `bases` mounts them; [`rules`] says which images may be used;
//! [`snapshots`] is what each call does. All of that blocks. `service` is what speaks gRPC, the only asynchronous code of the project, and no
//! more than that.

mod bases;
mod chains;
pub mod error;
pub mod event;
pub mod filter;
pub mod metrics;
pub mod mounts;
mod protocol;
pub mod rules;
pub mod service;
pub mod snapshots;
pub mod state;

pub use bases::Based;
pub use error::{Code, Error};
pub use rules::Rules;
pub use snapshots::Snapshotter;
