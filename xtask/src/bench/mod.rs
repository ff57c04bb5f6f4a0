//! `cargo xtask bench`: figures, side by side in one run.

mod blocked;
mod compare;
mod compat;
mod contender;
mod disk;
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

use anyhow::{Context, Result};
use clap::builder::{PossibleValue, PossibleValuesParser};
use plot::Theme;
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

const ALL: [Benchmark; 10] = [
    Benchmark {
        name: "pull",
        measures: "pulls into an empty store beside their floor and the peers",
        run: pull::run,
    },
    Benchmark { name: "known", measures: "pulls of what is there", run: known::run },
    Benchmark { name: "mount", measures: "plain mounts beside the system calls by hand", run: mount::run },
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
    Benchmark { name: "tree", measures: "dm-verity hash trees beside those of veritysetup", run: tree::run },
    Benchmark { name: "seal", measures: "what a seal costs", run: seal::run },
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
    for benchmark in ALL.iter().filter(is_wanted) {
        let tables =
            (benchmark.run)(&setting).with_context(|| format!("{} was not measured", benchmark.name))?;
        for table in tables {
            println!("## {}\n\n{}", table.title, table.markdown());
            report.tables.push(table);
        }
        // What was measured is not lost when the next fails.
        keep(&report, &setting.place)?;
    }
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    if arguments.docs {
        document(&report)?;
    }
    if let Some(before) = before {
        println!("{}", compare::markdown(&before, &report));
    }
    eprintln!("# also in {}", setting.place.join("report.md").display());
    Ok(())
}

fn keep(report: &Report, place: &Path) -> Result<()> {
    report.write(&place.join("report.json"))?;
    draw(report, place)?;
    fs::write(place.join("report.md"), report.markdown(|table| picture(table, "")))?;
    Ok(())
}

/// What stands before and after the part of docs/performance.md that is written here.
const MARKS: [&str; 2] = ["<!-- measured -->\n", "<!-- end of what was measured -->\n"];

/// Replaces tables and plots of the documentation.
fn document(report: &Report) -> Result<()> {
    let docs = paths::workspace().join("docs");
    let plots = docs.join("performance");
    fs::create_dir_all(&plots)?;
    draw(report, &plots)?;
    let page = docs.join("performance.md");
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let measured = report.markdown(|table| picture(table, "performance/"));
    let text = replaced(&text, &measured).with_context(|| format!("{} has not the marks", page.display()))?;
    Ok(fs::write(page, text)?)
}

/// The text with what is between the marks replaced.
fn replaced(text: &str, measured: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!("{before}{}\n{measured}\n{}{after}", MARKS[0], MARKS[1]))
}

fn draw(report: &Report, place: &Path) -> Result<()> {
    for table in &report.tables {
        for theme in Theme::ALL {
            if let Some(svg) = plot::svg(table, theme) {
                fs::write(place.join(file_name(table, theme)), svg)?;
            }
        }
    }
    Ok(())
}

fn file_name(table: &Table, theme: Theme) -> String {
    format!("{}-{}.svg", table.name, theme.name())
}

/// What shows a table's plot, in the reader's theme.
fn picture(table: &Table, directory: &str) -> String {
    if plot::svg(table, Theme::Light).is_none() {
        return String::new();
    }
    let [light, dark] = Theme::ALL.map(|theme| format!("{directory}{}", file_name(table, theme)));
    format!(
        "<picture><source media=\"(prefers-color-scheme: dark)\" srcset=\"{dark}\"><img alt=\"{}\" src=\"{light}\"></picture>\n\n",
        table.title.replace('`', "")
    )
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
