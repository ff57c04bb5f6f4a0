//! The crates of the workspace, as cargo sees them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealpack_tests::{command, paths};
use serde_json::Value;

pub(crate) struct Crate {
    /// Its directory, without `crates/`.
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    /// The crates of the workspace that it uses; those that only its tests use are not among them.
    pub(crate) uses: Vec<String>,
    /// The other packages that it uses.
    pub(crate) other_dependencies: Vec<String>,
}

/// All of them.
pub(crate) fn crates() -> Vec<Crate> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--no-deps", "--format-version=1", "--offline"]).current_dir(paths::workspace());
    let answer = command::stdout(&mut cargo).expect("cargo knows its workspace");
    let answer: Value = serde_json::from_str(&answer).expect("cargo answers in JSON");
    let packages = answer["packages"].as_array().expect("a list of packages");
    let names: BTreeMap<&str, String> = packages.iter().map(|it| (text(&it["name"]), name(it))).collect();
    packages
        .iter()
        .map(|package| {
            let (mut uses, mut other_dependencies) = (Vec::new(), Vec::new());
            let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
            for dependency in dependencies.iter().filter(|it| it["kind"] != "dev") {
                match names.get(text(&dependency["name"])) {
                    Some(name) => uses.push(name.clone()),
                    None => other_dependencies.push(text(&dependency["name"]).to_owned()),
                }
            }
            Crate { name: name(package), directory: directory(package).into(), uses, other_dependencies }
        })
        .collect()
}

fn name(package: &Value) -> String {
    let directory = directory(package);
    let inside = directory.strip_prefix(paths::workspace()).unwrap_or(directory);
    inside.strip_prefix("crates").unwrap_or(inside).display().to_string()
}

fn directory(package: &Value) -> &Path {
    Path::new(text(&package["manifest_path"])).parent().expect("a manifest is in a directory")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
