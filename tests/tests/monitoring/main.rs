//! What is in `contrib/` for those who watch machines: alerts and a dashboard, held against what the programs write.

mod journal;

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::run;
use sealpack_tests::paths::workspace;
use sealpack_tests::program::Sealpack;
use sealpack_tests::promtool::{check_expressions, check_metrics, promtool};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

fn rules() -> PathBuf {
    workspace().join("contrib/prometheus/sealpack.rules.yml")
}

fn dashboard() -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(workspace().join("contrib/grafana/sealpack.json"))?)?)
}

/// The words of a text that begin like a metric of Sealpack's.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("sealpack_") && *word != "sealpack_").map(str::to_owned).collect()
}

/// The metrics that the programs write: those whose names are in the code that writes them. A machine has not all of
/// them.
fn written() -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for file in ["crates/cli/src/show/metrics.rs", "crates/snapshotter/src/metrics.rs"] {
        let code = fs::read_to_string(workspace().join(file))?;
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let of_file: BTreeSet<_> = code.split('"').skip(1).step_by(2).flat_map(names).collect();
        ensure!(of_file.len() > 8, "{file} has only {of_file:?}");
        all.extend(of_file);
    }
    for of_histogram in ["bucket", "sum", "count"] {
        ensure!(all.contains("sealpack_snapshotter_call_seconds"), "the histogram has another name");
        all.insert(format!("sealpack_snapshotter_call_seconds_{of_histogram}"));
    }
    Ok(all)
}

/// The expressions of a dashboard, wherever they stand in it, with a host in the place of its variable.
fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("expr").and_then(Value::as_str).map(|text| text.replace("$instance", "a.*"));
            own.into_iter().chain(fields.values().flat_map(expressions)).collect()
        }
        Value::Array(values) => values.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn prometheus_takes_what_the_program_says_of_a_machine() -> Result<()> {
    let output = run(&mut Sealpack::new()?.command(["metrics"]))?;
    ensure!(output.stdout.starts_with(b"# HELP sealpack_"), "{output:?}");
    check_metrics(&output.stdout)?;
    // It does find what is wrong.
    ensure!(check_metrics(b"# TYPE sealpack_a counter\nsealpack_a 1\n").is_err());
    Ok(())
}

#[test]
fn the_alerts_are_rules_and_there_when_they_should_be() -> Result<()> {
    run(promtool(&["check", "rules", "--lint=all", "--lint-fatal"])?.arg(rules()))?;
    let histories = fs::read_to_string(workspace().join("tests/tests/monitoring/alerts.yml"))?;
    let place = tempfile::tempdir()?;
    let file = place.path().join("alerts.yml");
    fs::write(&file, histories.replace("RULES", rules().to_str().context("UTF-8")?))?;
    run(promtool(&["test", "rules"])?.arg(&file))?;
    // Each alert has a history in which it is there, and one in which it is not.
    let text = fs::read_to_string(rules())?;
    let alerts: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    ensure!(alerts.len() > 8, "{alerts:?}");
    for alert in alerts {
        ensure!(histories.contains(&format!("alertname: {alert}\n")), "{alert} is never there");
    }
    Ok(())
}

#[test]
fn alerts_and_dashboard_name_only_metrics_that_are_written() -> Result<()> {
    let written = written()?;
    let text = fs::read_to_string(rules())?;
    // Comments and annotations name files and services.
    let of_rules: String =
        text.lines().filter(|line| !line.contains("summary:") && !line.contains("description:")).collect();
    let of_dashboard = expressions(&dashboard()?);
    ensure!(of_dashboard.len() > 15, "{of_dashboard:?}");
    for name in names(&of_rules).into_iter().chain(of_dashboard.iter().flat_map(|one| names(one))) {
        ensure!(written.contains(&name), "{name} is written by nobody");
    }
    Ok(())
}

#[test]
fn each_expression_of_the_dashboard_is_one() -> Result<()> {
    let expressions = expressions(&dashboard()?);
    check_expressions(expressions.iter().map(String::as_str))?;
    ensure!(check_expressions(["1", "sum(sealpack_mounts"]).is_err());
    Ok(())
}

#[test]
fn panels_of_the_dashboard_do_not_cover_each_other() -> Result<()> {
    let dashboard = dashboard()?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let place = |panel: &Value| -> Result<[u64; 4]> {
        let at = |key: &str| panel["gridPos"][key].as_u64().context("a number");
        Ok([at("x")?, at("y")?, at("x")? + at("w")?, at("y")? + at("h")?])
    };
    let mut ids = BTreeSet::new();
    for (number, panel) in panels.iter().enumerate() {
        let one = place(panel)?;
        ensure!(one[2] <= 24 && ids.insert(panel["id"].as_u64()), "{panel}");
        for other in &panels[..number] {
            let other = place(other)?;
            let is_apart =
                one[0] >= other[2] || other[0] >= one[2] || one[1] >= other[3] || other[1] >= one[3];
            ensure!(is_apart, "{} is over another one", panel["title"]);
        }
    }
    Ok(())
}

/// Whoever reads an alert looks the number up there.
#[test]
fn every_metric_of_the_program_is_explained() -> Result<()> {
    let page = fs::read_to_string(workspace().join("docs/metrics.md"))?;
    for name in written()?.iter().filter(|name| !name.starts_with("sealpack_snapshotter_")) {
        let short = name.trim_start_matches("sealpack_");
        ensure!(page.contains(&format!("`{short}`")), "docs/metrics.md has no {short}");
    }
    Ok(())
}
