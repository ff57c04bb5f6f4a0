//! Which of a kernel's modules a host loads before its root is there, in which order.
//!
//! By what depmod wrote for the kernel (modules.dep(5)): `modules.dep`, `modules.softdep`, `modules.alias`, and the
//! kernel's own list `modules.builtin`.

mod choice;
mod error;
mod index;
#[cfg(test)]
mod tests;

pub use choice::Choice;
pub use error::ModulesError;
pub use index::{FILES, Index};
