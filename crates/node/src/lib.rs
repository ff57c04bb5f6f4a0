//! What one machine does with the images that it has: finding and sealing them, what a mount of one is made of, whom
//! it trusts, which policies hold, and what may go. Nothing here speaks to a network, prints, or reads the environment:
//! a sealed host's first process links it.
//!
//! What is worth saying and is no error goes to the caller as a [`Remark`]; what goes wrong is an [`Error`], which
//! knows whether something was not what a digest, a signature or a required level says.
#![doc = include_str!("../README.md")]

pub mod collect;
pub mod error;
pub mod find;
pub mod journal;
pub mod keys;
pub mod mounted_files;
pub mod mounting;
pub mod mounts;
pub mod naming;
pub mod new_files;
pub mod place;
pub mod policy;
pub mod refused_boot;
pub mod remark;
pub mod revoked;
pub mod seals;
pub mod settings;
mod similar;
pub mod standing;
pub mod trust_store;

pub use error::Error;
pub use remark::{Remark, Remarks};
