//! `cargo xtask guest`: checks in booted stock kernels, each with a line of its own, or a shell there.

pub(crate) mod demo;

use crate::packages::{self, Missing};
use anyhow::{Context, Result, bail, ensure};
use sealpack_guest::kernels::Generation;
use sealpack_guest::machine::Machine;
use sealpack_guest::report::{Line, Outcome};
use sealpack_guest::run::{self, Results};
use sealpack_guest::{checks, host, place};
use std::collections::BTreeSet;
use std::fs;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Names of checks; all when none is given
    #[arg(conflicts_with = "shell", value_parser = clap::builder::PossibleValuesParser::new(
        checks::ALL
            .iter()
            .map(|check| (check.name, check.shows))
            .chain(host::checks::ALL.iter().map(|check| (check.name, check.shows)))
            .map(|(name, shows)| clap::builder::PossibleValue::new(name).help(shows))
    ))]
    names: Vec<String>,
    /// Only on this kernel
    #[arg(long, value_parser = ["6.12", "7"])]
    kernel: Option<String>,
    /// A shell in the guest, on 6.12 unless another kernel is given
    #[arg(long)]
    shell: bool,
    /// The tables that `cargo xtask demo` ends with, on 6.12 unless another kernel is given
    #[arg(long, conflicts_with_all = ["names", "shell", "log"])]
    demo: bool,
    /// Also print what the kernel and the checks print
    #[arg(long, conflicts_with = "shell")]
    log: bool,
}

/// Boots and runs.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    packages::provide_for_guest(Missing::InstallOrFail)?;
    let is_wanted =
        |generation: &Generation| arguments.kernel.as_ref().is_none_or(|name| name == generation.name());
    let mut generations = Generation::ALL.into_iter().filter(is_wanted);
    if arguments.shell {
        return shell(generations.next().context("no kernel is wanted")?);
    }
    if arguments.demo {
        let generation = generations.next().context("no kernel is wanted")?;
        demo::show(generation, None)?;
        return demo::show_host(generation);
    }
    let mut failed = 0;
    for generation in generations {
        failed += run_on(generation, arguments)?;
    }
    ensure!(failed == 0, "{failed} checks failed");
    Ok(())
}

fn shell(generation: Generation) -> Result<()> {
    if let Some(why) = run::why_not() {
        bail!(why);
    }
    let kernel = generation.kernel()?.context("Debian has no such stock kernel to fetch")?;
    Machine::new(&kernel, None)?.shell()
}

/// Runs the wanted checks on a kernel, and returns how many failed.
fn run_on(generation: Generation, arguments: &Arguments) -> Result<usize> {
    let is_wanted =
        |name: &&str| arguments.names.is_empty() || arguments.names.iter().any(|wanted| wanted == name);
    let names: Vec<_> = checks::ALL.iter().map(|check| check.name).filter(is_wanted).collect();
    let of_hosts: Vec<_> = host::checks::names_for(generation).into_iter().filter(is_wanted).collect();
    let mut failed = 0;
    if !names.is_empty() {
        failed += show(arguments, |watch| run::run(generation, &names, watch))?;
    }
    if !of_hosts.is_empty() {
        failed += show(arguments, |watch| host::run::run(generation, &of_hosts, watch))?;
    }
    Ok(failed)
}

/// Shows each result when it is there, and the log. Returns how many checks failed.
fn show(
    arguments: &Arguments,
    run: impl FnOnce(&mut dyn FnMut(&str, &Line)) -> Result<Results>,
) -> Result<usize> {
    let mut printed = BTreeSet::new();
    let results = run(&mut |version, line| {
        if let Line::End(name, outcome) = line {
            print(name, version, outcome);
            printed.insert(name.clone());
        }
    })?;
    for (name, outcome) in results.outcomes.iter().filter(|(name, _)| !printed.contains(*name)) {
        print(name, &results.version, outcome);
    }
    let failed = results.outcomes.values().filter(|outcome| matches!(outcome, Outcome::Failed(_))).count();
    for figure in results.log.lines().filter_map(|line| line.strip_prefix(FIGURE)) {
        println!("# figure ({}): {figure}", results.version);
    }
    show_log(&results, arguments.log)?;
    Ok(failed)
}

/// What lines of the log with a figure begin with.
const FIGURE: &str = "FIGURE ";

fn print(name: &str, version: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Ok => println!("{name} ({version}) ... ok"),
        Outcome::Skipped(why) => println!("{name} ({version}) ... skipped: {why}"),
        Outcome::Failed(why) => {
            println!("{name} ({version}) ... FAILED\n    {}", why.replace('\n', "\n    "))
        }
    }
}

fn show_log(results: &Results, is_printed: bool) -> Result<()> {
    if is_printed {
        println!("{}", results.log);
    }
    if !results.log.is_empty() {
        let file = place().join(format!("log-{}", results.version));
        fs::write(&file, &results.log).with_context(|| format!("cannot write {}", file.display()))?;
        println!("# the guest's log: {}", file.display());
    }
    Ok(())
}
