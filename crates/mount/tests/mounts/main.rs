//! Mounting small images for real, each test in a mount namespace of its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail where they cannot go on, and skip visibly"
)]

mod failures;
mod fixture;
mod image;
mod mounting;
mod packs;
mod unmounting;
