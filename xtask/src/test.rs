//! `cargo xtask test`: every test of the workspace, with what the tests compare with.

use crate::packages::{self, Missing};
use crate::{fuzz, oracle, package};
use anyhow::{Context, Result};
use sealpack_guest::kernels::Generation;
use sealpack_tests::composefs::Tools;
use sealpack_tests::containerd;
use sealpack_tests::{command, debian, paths, program};
use std::collections::BTreeMap;
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Install nothing: tests whose tools are missing say so and are skipped
    #[arg(long)]
    no_install: bool,
    /// Also what is longer, in an hour or two: every moment at which a process can be killed, every boot of a sealed host on
    /// every kernel, more inputs for each property, and a minute of fuzzing for each parser
    #[arg(long)]
    all: bool,
    /// Passed on to the test runner: names of tests, or its options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    runner: Vec<String>,
}

/// How many inputs a property is tried with in a run of all tests, instead of 256.
const CASES_OF_ALL: &str = "8192";

/// How long each parser is fuzzed there.
const SECONDS_OF_ALL: u32 = 60;

/// Installs, builds, tests.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let more = if arguments.all { debian::FOR_ALL_TESTS } else { &[] };
    if arguments.no_install {
        packages::provide(&[debian::FOR_TESTS, debian::FOR_CONTAINERS, more], Missing::Say)?;
        packages::provide_for_guest(Missing::Say)?;
    } else {
        packages::provide(&[debian::FOR_TESTS, debian::FOR_CONTAINERS, more], Missing::InstallOrSay)?;
        if let Err(error) = packages::provide_for_guest(Missing::InstallOrSay) {
            eprintln!("warning: tests in a booted kernel will be skipped: {error:#}");
        }
        if let Err(error) = Tools::fetch_c() {
            eprintln!("warning: tests that compare with the C composefs tools will be skipped: {error:#}");
        }
        if let Err(error) = oracle::install() {
            eprintln!("warning: tests that compare with composefs-rs will be skipped: {error:#}");
        }
    }
    if arguments.runner.is_empty() {
        // Before the program is built for all other tests, which have it without tokens.
        let token = ["test", "--quiet", "--package", "sealpack", "--features", "pkcs11", "--test", "token"];
        status(Command::new("cargo").args(token).args(["--", "--show-output"]))?;
    }
    let mut packed = None;
    if arguments.runner.is_empty() {
        match package::build(arguments.all) {
            Ok(programs) => packed = programs,
            Err(error) => eprintln!("warning: tests of packages will fail: {error:#}"),
        }
    }
    let sealpack = program::build(program::Profile::Dev)?;
    if sealpack_guest::run::why_not().is_none() {
        // Not within the time of the first test that needs them.
        sealpack_guest::programs::build()?;
    }
    if sealpack_guest::host::run::why_not().is_none() {
        for generation in Generation::ALL {
            if let Err(error) = sealpack_guest::host::image::system(generation) {
                eprintln!("warning: tests of sealed hosts will fail: {error:#}");
            }
        }
    }
    if containerd::why_not().is_none() {
        for engine in containerd::Engine::ALL {
            if let Err(error) = engine.programs() {
                eprintln!("warning: tests with {engine:?} of containerd will fail: {error:#}");
            }
        }
    }
    if arguments.runner.is_empty() {
        // First, so that the last lines are the runner's summary of all the rest.
        status(Command::new("cargo").args(["test", "--quiet", "--workspace", "--doc"]))?;
    }
    let nextest = command::stdout(Command::new("cargo").args(["nextest", "--version"])).is_ok();
    let mut runner = Command::new("cargo");
    if nextest {
        runner.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(&arguments.runner);
        // One more than the runner would: of the two that boot kernels, one waits for the other's machine.
        let threads = std::thread::available_parallelism().map_or(2, usize::from) + 1;
        runner.env(
            "NEXTEST_TEST_THREADS",
            std::env::var("NEXTEST_TEST_THREADS").unwrap_or(threads.to_string()),
        );
    } else {
        runner.args(["test", "--workspace", "--all-targets", "--no-fail-fast"]).args(&arguments.runner);
        if arguments.runner.is_empty() {
            runner.args(["--", "--show-output"]);
        }
    }
    if arguments.all {
        runner.env(sealpack_tests::ALL, "1").env("PROPTEST_CASES", CASES_OF_ALL);
    }
    if let Some(programs) = packed {
        runner.env(package::PROGRAMS, programs);
    }
    let report = paths::target().join("nextest/default/junit.xml");
    let _ = std::fs::remove_file(&report);
    let tests = status(runner.env("SEALPACK_BIN", sealpack));
    let report = std::fs::read_to_string(report).unwrap_or_default();
    if arguments.all {
        // Before the lines that an ordinary run ends with.
        tests?;
        fuzz::each(SECONDS_OF_ALL)?;
        say_what_was_skipped(&report);
        return Ok(());
    }
    say_what_was_skipped(&report);
    tests
}

/// Repeats the reasons that tests gave for skipping, which nextest keeps to its report.
fn say_what_was_skipped(report: &str) {
    for (reason, tests) in reasons(report) {
        eprintln!("# skipped in {tests} tests: {reason}");
    }
}

/// How many tests gave which reason.
fn reasons(report: &str) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for line in report.lines().filter_map(|line| line.split_once("skipped: ")) {
        *reasons.entry(unescape(line.1)).or_default() += 1;
    }
    reasons
}

/// The text of an XML line, where only what cannot stand in XML is written in another way.
fn unescape(line: &str) -> String {
    let text = line.split("</").next().unwrap_or_default();
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

/// Runs a command of cargo in the workspace, its output going where ours goes.
fn status(command: &mut Command) -> Result<()> {
    let shown = command::display(command);
    eprintln!("# {shown}");
    let status =
        command.current_dir(paths::workspace()).status().with_context(|| format!("cannot start {shown}"))?;
    anyhow::ensure!(status.success(), "{shown} ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_repeated_as_the_tests_gave_them() {
        let report = "<system-out>running 1 test\nskipped: &lt;x&gt; isn&apos;t &amp;quot;here\n\
                      skipped: no root</system-out>\nskipped: no root";
        let reasons = reasons(report);
        assert_eq!(
            reasons,
            BTreeMap::from([("<x> isn't &quot;here".to_owned(), 1), ("no root".to_owned(), 2)])
        );
    }
}
