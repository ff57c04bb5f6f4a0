//! Packs: their bytes, frozen; what holds for any layer; other tools' opinion; damage.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip"
)]

mod golden;
mod properties;
mod refusals;
mod samples;
mod tools;
