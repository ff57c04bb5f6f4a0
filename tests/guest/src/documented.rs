//! The checks that docs/threat-model.md names are there, and those that show an attack are in it.

use crate::{checks, host};
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/threat-model.md");

/// The names in the last columns of the tables: words with underscores.
fn named() -> BTreeSet<&'static str> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| ") && line.ends_with('|'));
    let last = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let words = last.flat_map(|column| column.split('`').skip(1).step_by(2));
    let is_name =
        |word: &&str| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    words.filter(is_name).collect()
}

#[test]
fn every_check_that_the_threat_model_names_is_one() {
    let named = named();
    assert!(named.len() > 40, "{named:?}");
    let all: BTreeSet<&str> = checks::ALL
        .iter()
        .map(|check| check.name)
        .chain(host::checks::ALL.iter().map(|check| check.name))
        .collect();
    let missing: Vec<&&str> = named.difference(&all).collect();
    assert!(missing.is_empty(), "no such checks: {missing:?}");
}

#[test]
fn every_attack_on_a_sealed_host_is_in_the_threat_model() {
    let named = named();
    let shown = [host::checks::Boot::Bare, host::checks::Boot::Tampered, host::checks::Boot::Appended];
    for check in host::checks::ALL {
        let is_attack = check.judge.boots().iter().any(|boot| shown.contains(boot));
        // What is told of a host is no attack on it.
        if is_attack && check.name != "host_status_tells" {
            assert!(named.contains(check.name), "{} is not in docs/threat-model.md", check.name);
        }
    }
}
