//! Sealpack's chores: `cargo xtask demo`, `cargo xtask test`, `cargo xtask bench` and what they need.

mod bench;
mod demo;
mod fuzz;
mod guest;
mod install;
mod oracle;
mod package;
mod packages;
mod suites;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Sealpack's chores", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build two Debian images, pull them from a registry on this machine, run one, clean up
    Demo(demo::Arguments),
    /// Run all tests, those that compare with other tools included
    Test(test::Arguments),
    /// Run checks in a booted stock kernel, or a shell there
    Guest(guest::Arguments),
    /// Give a parser bytes that no one would think of, and see that it stands them
    Fuzz(fuzz::Arguments),
    /// Measure, beside what does the same and what nobody can do without
    Bench(bench::Arguments),
    /// Build the release and install it, with links of the names of the composefs tools
    Install(install::Arguments),
    /// Make Debian packages, a static tarball, an SBOM and checksums of them
    Package(package::Arguments),
    /// Run the test scripts of a checkout of the C composefs on our tools
    Suites(suites::Arguments),
    /// Install composefs-rs's cfsctl below target/ and print its digests of the fixture images
    Oracle,
    /// Build all fixture images below target/, and print where they are
    Fixtures,
    /// Install cargo-deny below target/ and run it
    Deny,
}

fn main() -> Result<()> {
    match Arguments::parse().chore {
        Chore::Demo(arguments) => demo::run(&arguments),
        Chore::Test(arguments) => test::run(&arguments),
        Chore::Guest(arguments) => guest::run(&arguments),
        Chore::Fuzz(arguments) => fuzz::run(&arguments),
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Install(arguments) => install::run(&arguments),
        Chore::Package(arguments) => package::run(&arguments),
        Chore::Suites(arguments) => suites::run(&arguments),
        Chore::Oracle => oracle::run(),
        Chore::Fixtures => oracle::fixtures(),
        Chore::Deny => oracle::deny(),
    }
}
