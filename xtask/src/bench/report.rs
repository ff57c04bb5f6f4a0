//! All that was measured in one go, and where.

use super::goal::{self, Goal};
use super::setting::{Scale, Setting};
use super::table::Table;
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, find, stdout};
use sealpack_tests::{composefs, oracle, paths};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The version of the file that `--json` writes.
const VERSION: u64 = 1;

/// All that was measured in one go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) version: u64,
    /// The commit that was measured, with a `+` where something was changed since.
    pub(crate) commit: String,
    /// The day, as `2026-11-30`.
    pub(crate) date: String,
    /// What it ran on: a line each.
    pub(crate) machine: Vec<String>,
    /// What it was compared with: a line each.
    pub(crate) versions: Vec<String>,
    pub(crate) tables: Vec<Table>,
}

impl Report {
    /// An empty one, of this machine today.
    ///
    /// # Errors
    /// If the machine does not say what it is.
    pub(crate) fn new(setting: &Setting) -> Result<Self> {
        let git =
            |arguments: &[&str]| stdout(Command::new("git").args(arguments).current_dir(paths::workspace()));
        let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|_| "unknown".to_owned());
        let changed =
            git(&["status", "--porcelain", "--untracked-files=no"]).is_ok_and(|text| !text.is_empty());
        let now = time::OffsetDateTime::now_utc();
        Ok(Self {
            version: VERSION,
            commit: commit + if changed { "+" } else { "" },
            date: format!("{}-{:02}-{:02}", now.year(), u8::from(now.month()), now.day()),
            machine: machine(setting)?,
            versions: versions(setting),
            tables: Vec::new(),
        })
    }

    /// Reads what `--json` wrote.
    ///
    /// # Errors
    /// If it cannot be read, or another version wrote it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let json = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let report: Self =
            serde_json::from_slice(&json).with_context(|| format!("{} is no report", path.display()))?;
        ensure!(report.version == VERSION, "{} is of version {}", path.display(), report.version);
        Ok(report)
    }

    /// Writes it for [`read`](Self::read).
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_vec(self)?).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Puts what was measured of a benchmark in place of what is here of it.
    pub(crate) fn take(&mut self, benchmark: &str, mut tables: Vec<Table>) {
        for table in &mut tables {
            table.benchmark = benchmark.to_owned();
            table.measured = format!("at commit {} on {}", self.commit, self.date);
        }
        self.tables.retain(|table| table.benchmark != benchmark);
        self.tables.extend(tables);
    }

    /// Adds the tables of the benchmarks that `kept` has and this one has not, and sorts all in the order of `benchmarks`.
    ///
    /// # Errors
    /// If they are of another machine.
    pub(crate) fn complete(&mut self, kept: Self, benchmarks: &[&str]) -> Result<()> {
        let has = |table: &Table| self.tables.iter().any(|own| own.benchmark == table.benchmark);
        let missing: Vec<Table> = kept.tables.into_iter().filter(|table| !has(table)).collect();
        ensure!(
            missing.is_empty() || kept.machine == self.machine,
            "the figures that are kept are of another machine ({}): measure all again",
            kept.machine.join("; ")
        );
        self.tables.extend(missing);
        let place = |table: &Table| benchmarks.iter().position(|name| *name == table.benchmark);
        self.tables.sort_by_key(place);
        Ok(())
    }

    /// The goals of all tables, in their order.
    pub(crate) fn goals(&self) -> Vec<&Goal> {
        self.tables.iter().flat_map(|table| &table.goals).collect()
    }

    /// All of it as Markdown, the goals of all tables first; `image` says what to show with a table, besides, and
    /// `overview` with the goals.
    pub(crate) fn markdown(&self, overview: &str, image: impl Fn(&Table) -> String) -> String {
        let mut out = String::from("On:\n\n");
        out.extend(self.machine.iter().map(|line| format!("- {line}\n")));
        out.push_str("\nCompared with:\n\n");
        out.extend(self.versions.iter().map(|line| format!("- {line}\n")));
        let of_table = |table: &Table| -> String {
            let title = format!("| **{}** | | | | | |\n", table.title);
            let goals: String = table.goals.iter().map(Goal::markdown).collect();
            if goals.is_empty() { goals } else { title + &goals }
        };
        let goals: String = self.tables.iter().map(of_table).collect();
        if !goals.is_empty() {
            out.push_str(&format!("\n### All goals\n\n{}{goals}\n{overview}", goal::HEAD));
        }
        for table in &self.tables {
            let (title, measured) = (&table.title, &table.measured);
            let rows = table.rows_markdown();
            out.push_str(&format!("\n### {title}\n\nMeasured {measured}. {rows}\n{}", image(table)));
        }
        out
    }
}

fn machine(setting: &Setting) -> Result<Vec<String>> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let model = field(&cpus, "model name").unwrap_or("a processor that does not say what it is");
    let memory = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let kib: u64 =
        field(&memory, "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    let cores = std::thread::available_parallelism()?;
    // stat calls ext4 ext2/ext3.
    let filesystem = stdout(Command::new("df").arg("--output=fstype").arg(setting.working_place()))?;
    let filesystem = filesystem.lines().last().unwrap_or_default().trim();
    let kernel = stdout(Command::new("uname").arg("-r"))?;
    Ok(vec![
        format!("{cores} cores of {model}, {} GiB of memory", kib.div_ceil(1024 * 1024)),
        format!("Linux {kernel}, the files on {filesystem}{}", setting.about_working_place()),
    ])
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.trim_start().strip_prefix(':')?.trim())
}

/// The versions of what is installed of the peers.
fn versions(setting: &Setting) -> Vec<String> {
    let mut versions = Vec::new();
    if setting.cfsctl.is_some() {
        versions.push(format!("composefs-rs {} (cfsctl)", oracle::VERSION));
    }
    if setting.scale == Scale::Full
        && let Ok(Some(tools)) = composefs::Tools::c()
    {
        versions.push(format!("the C composefs tools {}", tools.version()));
    }
    for program in ["tar", "gzip", "veritysetup", "fsverity", "skopeo", "umoci", "podman"] {
        let Some(path) = find(program) else { continue };
        let said = attempt(Command::new(path).arg("--version"));
        let text =
            said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        versions.extend(text.lines().next().map(|line| line.trim().to_owned()));
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            version: VERSION,
            commit: "0123".into(),
            date: "2026-11-30".into(),
            machine: vec!["2 cores".into()],
            versions: vec!["tar".into()],
            tables: Vec::new(),
        }
    }

    fn table(name: &str, at_most: f64) -> Table {
        let goal = Goal::bound(format!("the size of {name}"), vec![3.0], at_most, "MB");
        Table { name: name.into(), title: format!("On {name}"), goals: vec![goal], ..Table::default() }
    }

    #[test]
    fn what_was_measured_now_takes_the_place_of_what_was_measured_before() {
        let mut kept = Report { commit: "old".into(), ..report() };
        kept.take("mount", vec![table("mount-files", 1.0), table("mount-gone", 1.0)]);
        kept.take("start", vec![table("start", 4.0)]);
        let mut now = report();
        now.take("mount", vec![table("mount-files", 4.0)]);
        now.take("pull", vec![table("pull", 4.0)]);
        let elsewhere = Report { machine: vec!["64 cores".into()], ..kept.clone() };
        assert!(now.clone().complete(elsewhere, &[]).unwrap_err().to_string().contains("64 cores"));
        now.complete(kept, &["pull", "mount", "start"]).unwrap();
        let names: Vec<&str> = now.tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["pull", "mount-files", "start"]);
        let text = now.markdown("the picture\n", |table| format!("a plot of {}\n", table.name));
        assert!(
            text.contains("| **On start** | | | | | |\n| the size of start | 4 MB | 3.00 MB |"),
            "{text}"
        );
        assert!(text.contains("|\n\nthe picture\n\n### On pull\n\nMeasured at commit 0123 on 2026-11-30."));
        assert!(text.ends_with("### On start\n\nMeasured at commit old on 2026-11-30. \na plot of start\n"));
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let mut report = report();
        report.take("pull", vec![table("pull", 1.0)]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
        let text = fs::read_to_string(&path).unwrap().replace("\"version\":1", "\"version\":2");
        fs::write(&path, text).unwrap();
        assert!(Report::read(&path).unwrap_err().to_string().ends_with("is of version 2"));
    }
}
