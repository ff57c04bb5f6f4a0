//! The checks that docs/threat-model.md names are there, and those that show an attack are in it.

use crate::{checks, host};
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/threat-model.md");

/// The names in columns of checks: words with underscores.
fn named() -> BTreeSet<&'static str> {
    let (mut named, mut is_of_checks) = (BTreeSet::new(), false);
    for line in PAGE.lines() {
        let last = line.strip_suffix(" |").and_then(|row| row.rsplit_once("| "));
        match last {
            None => is_of_checks = false,
            Some((_, "check")) => is_of_checks = true,
            Some((_, column)) if is_of_checks => named.extend(column.split('`').skip(1).step_by(2)),
            Some(_) => {}
        }
    }
    named
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
        // These boots show other things as well.
        if is_attack && !["host_status_tells", "host_clock_far_off"].contains(&check.name) {
            assert!(named.contains(check.name), "{} is not in docs/threat-model.md", check.name);
        }
    }
}
