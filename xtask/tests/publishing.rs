//! The libraries that others can use have in their manifests what publishing them wants, and use nothing that is not published.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use sealpack_tests::{command, paths};
use serde_json::Value;

/// Those that docs/semver.md speaks of, each after all that it uses.
const PUBLISHED: [&str; 8] = [
    "sealpack-format",
    "sealpack-kernel",
    "sealpack-trust",
    "sealpack-store",
    "sealpack-mount",
    "sealpack-oci",
    "sealpack-node",
    "sealpack-gate",
];

fn packages() -> Vec<Value> {
    let mut cargo = cargo();
    cargo.args(["metadata", "--no-deps", "--format-version=1", "--offline"]);
    let answer = command::stdout(&mut cargo).expect("cargo knows its workspace");
    let answer: Value = serde_json::from_str(&answer).expect("cargo answers in JSON");
    answer["packages"].as_array().expect("a list of packages").clone()
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::workspace());
    cargo
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a package lacks to be published, where `before` are those that are by then.
fn lacking(package: &Value, before: &BTreeSet<&str>) -> Vec<String> {
    let name = text(&package["name"]);
    let fields = ["description", "license", "readme", "rust_version", "version"];
    let mut lacking: Vec<String> = fields
        .iter()
        .filter(|field| text(&package[**field]).is_empty())
        .map(|field| format!("{name} has no {field}"))
        .collect();
    for list in ["keywords", "categories"] {
        let count = package[list].as_array().map_or(0, Vec::len);
        if !(1..=5).contains(&count) {
            lacking.push(format!("{name} has {count} {list}, and 1 to 5 are taken"));
        }
    }
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let used = text(&dependency["name"]);
        // What only tests use is left out where it has no version.
        if !used.starts_with("sealpack") || dependency["kind"] == "dev" {
            continue;
        }
        if dependency["req"] == "*" {
            lacking.push(format!("{name} uses {used} of no version"));
        }
        if !before.contains(used) {
            lacking.push(format!("{name} uses {used}, which is not published before it"));
        }
    }
    lacking
}

#[test]
fn what_is_for_others_can_be_published_in_its_order_and_nothing_else_can() {
    let packages = packages();
    let mut before = BTreeSet::new();
    let mut wrong = Vec::new();
    for name in PUBLISHED {
        let package = packages.iter().find(|package| package["name"] == name);
        let package = package.unwrap_or_else(|| panic!("the workspace has no {name}"));
        wrong.extend(lacking(package, &before));
        before.insert(name);
    }
    for package in &packages {
        let (name, published) = (text(&package["name"]), !package["publish"].is_array());
        if published != before.contains(name) {
            wrong.push(format!("{name}: its manifest and the list disagree on whether it is published"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_manifest_without_what_publishing_wants_is_told_of() {
    let package = serde_json::json!({
        "name": "x", "license": "MIT", "readme": "README.md", "rust_version": "1.95", "version": "0.1.0",
        "keywords": ["a"], "categories": [],
        "dependencies": [{ "name": "sealpack-y", "kind": null, "req": "*" }, { "name": "sealpack-z", "kind": "dev", "req": "*" }],
    });
    let told = lacking(&package, &BTreeSet::new());
    let expected = [
        "x has no description",
        "x has 0 categories, and 1 to 5 are taken",
        "x uses sealpack-y of no version",
        "x uses sealpack-y, which is not published before it",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_package_has_its_readme_its_sources_and_its_examples() {
    for name in PUBLISHED {
        let mut cargo = cargo();
        cargo.args(["package", "--list", "--allow-dirty", "--offline", "--package", name]);
        let listed = command::stdout(&mut cargo).expect("cargo lists what it would pack");
        let listed: BTreeSet<&str> = listed.lines().collect();
        for file in ["Cargo.toml", "README.md", "src/lib.rs"] {
            assert!(listed.contains(file), "{name} has no {file}");
        }
        let has_example = listed.iter().any(|path| path.starts_with("examples/"));
        assert!(has_example || name == "sealpack-kernel", "{name} has no example");
    }
}

#[test]
fn the_page_of_promises_names_each_crate_that_is_published() {
    let page = fs::read_to_string(paths::workspace().join("docs/semver.md")).expect("docs/semver.md");
    for name in PUBLISHED {
        let short = name.strip_prefix("sealpack").expect("they all begin so");
        assert!(page.contains(&format!("`{short}`")) || page.contains(&format!("`{name}`")), "{name}");
    }
}
