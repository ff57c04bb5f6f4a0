//! OpenSSL and Sealpack take each other's keys, certificates and signatures.

#![allow(clippy::print_stderr, reason = "a skipped test says why")]

mod forms;
mod kernel;
mod keys;
mod signatures;
mod support;
