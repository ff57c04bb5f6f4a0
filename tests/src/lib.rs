//! What the tests, the demo and the benchmarks share: real and hand-made OCI images built on this machine and
//! kept under `target/fixtures`, the tools they are compared with, and helpers that run programs.
//!
//! Start at [`images`] for the list of fixture images, at [`oracle`] for the comparison with composefs-rs.

pub mod apt;
pub mod bootstrap;
pub mod browser;
pub mod command;
pub mod composefs;
pub mod containerd;
pub mod cosign;
pub mod debian;
pub mod exposition;
pub mod files;
pub mod host_image;
pub mod images;
pub mod layer_tar;
pub mod layout;
pub mod oracle;
pub mod paths;
pub mod program;
pub mod promtool;
pub mod random_dump;
pub mod refusal;
pub mod registry;
pub mod schema;
pub mod tree_diff;
pub mod unpacked;

/// Says that the test that calls this skips what it is for, and why. `cargo xtask test` repeats it at its end.
#[expect(clippy::print_stdout, reason = "the runner keeps what tests print")]
pub fn skip(why: impl std::fmt::Display) {
    println!("skipped: {why}");
}

/// Whether this is a run of `cargo xtask test --all`: with every point at which something can be interrupted, not a choice of
/// them, and every boot on every kernel.
pub fn all() -> bool {
    std::env::var_os(ALL).is_some()
}

/// The variable that says so, for tests of crates that this one stands on too.
pub const ALL: &str = "SEALPACK_TESTS_ALL";
