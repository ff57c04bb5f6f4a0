//! The tar reader against archives made by hand, by chance, and by other programs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is said")]

mod builder;
mod ends;
mod forms;
mod hostile;
mod refused;
mod sparse;
mod tools;
