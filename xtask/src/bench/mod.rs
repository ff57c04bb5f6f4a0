//! `cargo xtask bench`: figures, side by side in one run.

mod blocked;
mod compare;
mod compat;
mod containers;
mod contender;
mod copy;
mod disk;
mod enforced;
mod entries;
mod figures;
mod fleet;
mod goal;
mod host;
mod known;
mod mount;
mod plot;
mod pull;
mod report;
mod seal;
mod setting;
mod start;
mod table;
mod tree;

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValue, PossibleValuesParser};
use report::Report;
use sealpack_tests::paths;
use setting::{Scale, Setting};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use table::Table;

/// A benchmark: its name, what it measures, and what does it.
struct Benchmark {
    name: &'static str,
    measures: &'static str,
    run: fn(&Setting) -> Result<Vec<Table>>,
}

const ALL: [Benchmark; 14] = [
    Benchmark {
        name: "pull",
        measures: "pulls into an empty store beside their floor and the peers",
        run: pull::run,
    },
    Benchmark { name: "known", measures: "pulls of what is there", run: known::run },
    Benchmark { name: "copy", measures: "copies beside those of skopeo", run: copy::run },
    Benchmark { name: "mount", measures: "plain mounts beside the system calls by hand", run: mount::run },
    Benchmark {
        name: "enforced",
        measures: "an enforced mount in a booted kernel beside one by hand",
        run: enforced::run,
    },
    Benchmark {
        name: "fleet",
        measures: "gc, images, fsck and verify of 1, 30 and 300 images",
        run: fleet::run,
    },
    Benchmark {
        name: "entries",
        measures: "time and memory of 1,000,000 entries, and of 2 GiB",
        run: entries::run,
    },
    Benchmark { name: "start", measures: "the start of the program, and its size", run: start::run },
    Benchmark {
        name: "tree",
        measures: "dm-verity trees and fs-verity digests beside their tools",
        run: tree::run,
    },
    Benchmark { name: "seal", measures: "what a seal costs", run: seal::run },
    Benchmark {
        name: "containers",
        measures: "pulls and containers through containerd beside its overlayfs and EROFS",
        run: containers::run,
    },
    Benchmark {
        name: "container-starts",
        measures: "containers on a sealed host, enforced beside unenforced",
        run: containers::enforced::run,
    },
    Benchmark { name: "host", measures: "a sealed host's start beside a plain one's", run: host::run },
    Benchmark { name: "compat", measures: "the composefs tools, ours and the C ones", run: compat::run },
];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is measured; all when nothing is named
    #[arg(value_parser = PossibleValuesParser::new(
        ALL.iter().map(|benchmark| PossibleValue::new(benchmark.name).help(benchmark.measures))
    ))]
    names: Vec<String>,
    /// How many rounds are measured, in each of which every contender runs once
    #[arg(long)]
    runs: Option<NonZeroUsize>,
    /// Write all samples to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with what was written to this file, of another commit perhaps
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Put tables and plots into docs/performance.md, in place of those that are there
    #[arg(long, conflicts_with = "smoke")]
    docs: bool,
    /// Measure so little that it says nothing, but that everything runs; install nothing
    #[arg(long)]
    smoke: bool,
}

/// Measures, prints the tables, and leaves them and plots in target/bench.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // Before anything takes long.
    let before = arguments.compare.as_deref().map(Report::read).transpose()?;
    let scale = if arguments.smoke { Scale::Smoke } else { Scale::Full };
    let setting = Setting::new(scale, arguments.runs.map(NonZeroUsize::get))?;
    let mut report = Report::new(&setting)?;
    let is_wanted = |benchmark: &&Benchmark| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| name == benchmark.name)
    };
    let mut failed = Vec::new();
    for benchmark in ALL.iter().filter(is_wanted) {
        match (benchmark.run)(&setting) {
            Ok(tables) => {
                for table in &tables {
                    println!("## {}\n\n{}", table.title, table.markdown());
                }
                report.take(benchmark.name, tables);
            }
            Err(error) => {
                eprintln!("# {} was not measured: {error:#}", benchmark.name);
                failed.push(benchmark.name);
            }
        }
        // What was measured is not lost when the next fails.
        keep(&report, &setting.place)?;
    }
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    if let Some(before) = before {
        println!("{}", compare::markdown(&before, &report));
    }
    eprintln!("# also in {}", setting.place.join("report.md").display());
    if arguments.docs {
        document(report)?;
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

fn keep(report: &Report, place: &Path) -> Result<()> {
    report.write(&place.join("report.json"))?;
    draw(report, place)?;
    fs::write(place.join("report.md"), markdown(report, ""))?;
    Ok(())
}

/// What stands before and after the part of docs/performance.md that is written here.
const MARKS: [&str; 2] = ["<!-- measured -->\n", "<!-- end of what was measured -->\n"];

/// Replaces tables and plots of the documentation, of the benchmarks that were measured.
fn document(mut report: Report) -> Result<()> {
    let docs = paths::workspace().join("docs");
    let (page, place) = (docs.join("performance.md"), docs.join("performance"));
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let samples = place.join("samples.json");
    if samples.exists() {
        report.complete(Report::read(&samples)?, &ALL.map(|benchmark| benchmark.name))?;
    }
    let measured = markdown(&report, "performance/");
    let text = replaced(&text, &measured).with_context(|| format!("{} has not the marks", page.display()))?;
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    draw(&report, &place)?;
    report.write(&samples)?;
    Ok(fs::write(page, text)?)
}

/// The text with what is between the marks replaced.
fn replaced(text: &str, measured: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!("{before}{}\n{measured}\n{}{after}", MARKS[0], MARKS[1]))
}

/// The name of the picture of all goals.
const OVERVIEW: &str = "goals.svg";

fn draw(report: &Report, place: &Path) -> Result<()> {
    for (table, svg) in report.tables.iter().filter_map(|table| Some((table, plot::svg(table)?))) {
        fs::write(place.join(format!("{}.svg", table.name)), svg)?;
    }
    if let Some(svg) = plot::goals(&report.goals()) {
        fs::write(place.join(OVERVIEW), svg)?;
    }
    Ok(())
}

/// The report, with its pictures in `directory`.
fn markdown(report: &Report, directory: &str) -> String {
    let overview = format!("![What was measured, beside what the goals allow]({directory}{OVERVIEW})\n");
    report.markdown(&overview, |table| match plot::svg(table) {
        Some(_) => format!("![{}]({directory}{}.svg)\n", table.title.replace('`', ""), table.name),
        None => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_replaced_and_the_rest_of_the_page_stays() {
        let page = format!("above\n{}old\n{}below\n", MARKS[0], MARKS[1]);
        let new = replaced(&page, "new").unwrap();
        assert_eq!(new, format!("above\n{}\nnew\n{}below\n", MARKS[0], MARKS[1]));
        assert_eq!(replaced(&new, "new").unwrap(), new);
        assert_eq!(replaced("above\n", "new"), None);
    }
}
