//! The house: which crate may use which is a table in docs/architecture.md, which is compared with the manifests; and
//! what no library does is looked for in its text.

mod sources;
mod table;
mod workspace;

use sealpack_tests::paths;
use table::{Kind, Table};
use workspace::Crate;

fn table() -> Table {
    let path = paths::workspace().join("docs/architecture.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Table::parse(&text).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
}

/// What is wrong with `crates` by `table`, each in a sentence.
fn arrows_not_allowed(table: &Table, crates: &[Crate]) -> Vec<String> {
    let mut wrong = Vec::new();
    for Crate { name, uses, .. } in crates {
        let Some(row) = table.row(name) else {
            wrong.push(format!("{name} is not in the table of crates"));
            continue;
        };
        let forbidden = uses.iter().filter(|used| !row.may_use.contains(*used));
        wrong.extend(forbidden.map(|used| format!("{name} uses {used}, which it may not")));
    }
    wrong
}

#[test]
fn every_crate_uses_only_what_the_table_of_crates_allows() {
    let wrong = arrows_not_allowed(&table(), &workspace::crates());
    assert!(wrong.is_empty(), "by docs/architecture.md:\n{}", wrong.join("\n"));
}

#[test]
fn an_arrow_that_is_not_in_the_table_is_told_by_both_crates() {
    let table = Table::parse(
        "| crate | is | may use |\n| --- | --- | --- |\n| low | library | - |\n| high | program | low |\n",
    );
    let krate = |name: &str, uses: &[&str]| Crate {
        name: name.to_owned(),
        directory: name.into(),
        uses: uses.iter().map(|&used| used.to_owned()).collect(),
        other_dependencies: Vec::new(),
    };
    let crates = [krate("low", &["high"]), krate("high", &["low"]), krate("unknown", &[])];
    let wrong = arrows_not_allowed(&table.expect("a table"), &crates);
    assert_eq!(wrong, ["low uses high, which it may not", "unknown is not in the table of crates"]);
}

#[test]
fn the_table_says_which_crates_are_still_to_come() {
    let crates = workspace::crates();
    for row in table().rows {
        let is_here = crates.iter().any(|krate| krate.name == row.name);
        assert_eq!(is_here, !row.to_come, "{}: docs/architecture.md and the workspace disagree", row.name);
    }
}

#[test]
fn no_library_prints_or_reads_the_environment_or_takes_clap() {
    let table = table();
    let mut wrong = Vec::new();
    for krate in workspace::crates() {
        if table.row(&krate.name).is_none_or(|row| row.kind != Kind::Library) {
            continue;
        }
        let clap = krate.other_dependencies.iter().filter(|name| name.starts_with("clap"));
        wrong.extend(clap.map(|name| format!("{} takes {name}", krate.name)));
        for (what, words) in [
            ("prints", &["print!(", "println!(", "dbg!(", "io::stdout", "io::stderr"][..]),
            (
                "reads the environment",
                &["env::var", "env::args", "env::home_dir", "env::current_", "env::temp_dir"],
            ),
            ("is asynchronous", &["async fn ", "async move ", ".await"]),
        ] {
            wrong.extend(sources::lines_with(&krate.directory, words).map(|line| format!("{line}: {what}")));
        }
        // What decides whose word counts is given bytes, so that it can be read, and tried, alone.
        if krate.name == "trust" {
            let opened = sources::lines_with(&krate.directory, &["fs::", "File::", "use std::fs"]);
            wrong.extend(opened.map(|line| format!("{line}: trust opens a file")));
        }
    }
    assert!(wrong.is_empty(), "libraries leave this to the programs:\n{}", wrong.join("\n"));
}
