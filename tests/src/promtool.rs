//! Prometheus' own tool as Debian 13 has it (2.53): what it takes, Prometheus does.

use crate::command::run;
use crate::unpacked::Unpacked;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A command of it. The program is fetched and unpacked the first time.
///
/// # Errors
/// If Debian's package cannot be fetched or unpacked.
pub fn promtool(arguments: &[&str]) -> Result<Command> {
    let unpacked = Unpacked {
        name: "promtool",
        suite: "trixie",
        packages: &["promtool"],
        // It needs the C library only, and no newer one than Debian 12 has.
        follow: |_| false,
        relink: false,
    };
    let mut command = Command::new(unpacked.root()?.join("usr/bin/promtool"));
    command.args(arguments);
    Ok(command)
}

/// Has it judge what a program says of itself: the format, and the conventions for names.
///
/// # Errors
/// If it finds anything, or cannot be run.
pub fn check_metrics(text: &[u8]) -> Result<()> {
    let mut command = promtool(&["check", "metrics"])?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // It reads all before it says anything.
    child.stdin.take().context("a pipe")?.write_all(text)?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success() && said.is_empty(), "promtool says: {}", String::from_utf8_lossy(&said));
    Ok(())
}

/// Has it read expressions: as rules that record them, since that takes one process for all.
///
/// # Errors
/// If one of them is none; promtool says which.
pub fn check_expressions<'e>(expressions: impl IntoIterator<Item = &'e str>) -> Result<()> {
    let rule = |(number, expression)| json!({ "record": format!("one:{number}"), "expr": expression });
    let rules: Vec<_> = expressions.into_iter().enumerate().map(rule).collect();
    let mut file = tempfile::NamedTempFile::new()?;
    // JSON is YAML, too.
    file.write_all(json!({ "groups": [{ "name": "all", "rules": rules }] }).to_string().as_bytes())?;
    run(promtool(&["check", "rules", "--lint=none"])?.arg(file.path())).map(drop)
}
