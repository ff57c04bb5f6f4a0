//! What `cargo xtask package` makes: whole Debian systems install it, use it and are rid of it; and it has the same bytes twice.
//!
//! An ordinary run makes the packages of the tests' own programs, which are built faster; `cargo xtask test --all` of those that
//! users have.

mod arm64;
mod built;
mod installed;
mod machine;
mod same_bytes;
mod sbom;
mod tarball;
