//! All that was measured in one go, and where.

use super::setting::{Scale, Setting};
use super::table::Table;
use anyhow::{Context, Result};
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
        anyhow::ensure!(report.version == VERSION, "{} is of version {}", path.display(), report.version);
        Ok(report)
    }

    /// Writes it for [`read`](Self::read).
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// All of it as Markdown; `image` says what to show with a table, besides.
    pub(crate) fn markdown(&self, image: impl Fn(&Table) -> String) -> String {
        let mut out = format!("Measured on {} at commit {}, on:\n\n", self.date, self.commit);
        out.extend(self.machine.iter().map(|line| format!("- {line}\n")));
        out.push_str("\nCompared with:\n\n");
        out.extend(self.versions.iter().map(|line| format!("- {line}\n")));
        for table in &self.tables {
            out.push_str(&format!("\n### {}\n\n{}{}", table.title, image(table), table.markdown()));
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
    let filesystem = stdout(Command::new("stat").args(["-f", "-c", "%T"]).arg(setting.working_place()))?;
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
    if setting.scale == Scale::Full && composefs::Tools::c().is_ok_and(|tools| tools.is_some()) {
        versions.push("the C composefs tools of Debian".to_owned());
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

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = Report {
            version: VERSION,
            commit: "0123".into(),
            date: "2026-11-30".into(),
            machine: vec!["2 cores".into()],
            versions: vec!["tar".into()],
            tables: vec![Table { name: "pull".into(), title: "A pull".into(), ..Table::default() }],
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
        let text = fs::read_to_string(&path).unwrap().replace("\"version\": 1", "\"version\": 2");
        fs::write(&path, text).unwrap();
        assert!(Report::read(&path).unwrap_err().to_string().ends_with("is of version 2"));
    }
}
