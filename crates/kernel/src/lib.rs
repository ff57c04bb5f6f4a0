//! What only the kernel and the processor can do. The only crate with unsafe code.
//!
//! Every system call that changes the machine goes through a [`Kernel`], in the file of its
//! topic: [`capabilities`], [`dm`], [`fsverity`], [`ipe`], [`keyring`], [`loopdev`], [`mount`], [`seccomp`]. A failure is an [`Error`] that shows the call
//! with its arguments and what the kernel had to say about it. [`mountinfo`] parses what is
//! mounted and [`probe`] finds out what this machine can do. A [`directory::Directory`] is what files are written below,
//! with no more rights than its owner has.
#![doc = include_str!("../README.md")]

#[cfg(test)]
mod alone;
mod call;
pub mod capabilities;
mod confine;
pub mod conversation;
pub mod directory;
pub mod dm;
pub mod fsverity;
#[allow(unsafe_code, reason = "what only the C library can be told of names of hosts")]
pub mod hosts;
#[allow(unsafe_code, reason = "masks of signals, which no crate wraps")]
pub mod interrupt;
#[allow(unsafe_code, reason = "ioctl requests that no crate wraps")]
mod ioctl;
pub mod ipe;
pub mod keyring;
mod kmsg;
pub mod loopdev;
mod modules;
pub mod mount;
pub mod mountinfo;
mod namespaces;
pub mod packets;
pub mod place;
mod power;
pub mod probe;
mod process;
#[allow(unsafe_code, reason = "system calls that no crate wraps safely")]
mod raw;
pub mod seccomp;
#[allow(unsafe_code, reason = "to call code compiled for processor features that were detected")]
pub mod sha256;
pub mod terminal;
pub mod writeback;

pub use call::{Call, Error, Kernel};
pub use confine::KeptOpen;
pub use process::Forked;
pub use rustix::io::Errno;
