//! The tar reader against archives made by hand, by chance, and by other programs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod builder;
mod ends;
mod forms;
mod hostile;
mod refused;
mod sparse;
