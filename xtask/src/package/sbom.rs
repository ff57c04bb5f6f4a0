//! What the programs are made of, as cargo resolves it, in the form of CycloneDX.

use super::version::Version;
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::stdout;
use sealpack_tests::paths;
use sealpack_tests::program::host_target;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use time::format_description::well_known::Rfc3339;

/// The programs, and with which features they are built.
const PROGRAMS: [(&str, &[&str]); 3] =
    [("sealpack", &["--features", "pkcs11"]), ("sealpack-init", &[]), ("sealpack-snapshotter", &[])];

/// A crate that is in a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) version: String,
    /// An SPDX expression.
    pub(super) licence: String,
    /// The SHA-256 of what the registry has; nothing for those of this workspace.
    checksum: Option<String>,
    /// Where its source is on this machine.
    pub(super) directory: PathBuf,
    /// The crates that it uses, by name and version.
    uses: BTreeSet<(String, String)>,
}

impl Part {
    /// Whether it is of this workspace.
    pub(super) fn is_own(&self) -> bool {
        self.checksum.is_none()
    }

    fn reference(&self) -> String {
        reference(&self.name, &self.version)
    }

    fn component(&self) -> Value {
        let is_program = PROGRAMS.iter().any(|(name, _)| *name == self.name);
        let mut component = json!({
            "type": if is_program { "application" } else { "library" },
            "bom-ref": self.reference(),
            "name": self.name,
            "version": self.version,
            "licenses": [{"expression": self.licence}],
        });
        if let Some(checksum) = &self.checksum {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
            component["purl"] = self.reference().into();
        }
        component
    }
}

fn reference(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{version}")
}

/// All crates that are in the programs: not those that only build or test them.
pub(super) fn parts() -> Result<Vec<Part>> {
    let mut present = BTreeSet::new();
    for (program, features) in PROGRAMS {
        present.extend(in_program(program, features)?);
    }
    let features = ["--features", "sealpack/pkcs11"];
    let target = host_target()?;
    let of_all = ["metadata", "--format-version", "1", "--filter-platform", &target];
    let metadata = cargo(&[&of_all[..], &features].concat())?;
    let lock = std::fs::read_to_string(paths::workspace().join("Cargo.lock"))?;
    of_metadata(&serde_json::from_str(&metadata)?, &checksums(&lock), &present)
}

/// The names and versions of the crates in one program.
fn in_program(program: &str, features: &[&str]) -> Result<BTreeSet<(String, String)>> {
    let target = host_target()?;
    let mut arguments =
        vec!["tree", "--package", program, "--target", &target, "--edges", "normal,no-proc-macro"];
    arguments.extend(["--prefix", "none", "--format", "{p}"]);
    arguments.extend(features);
    let said = cargo(&arguments)?;
    let of_line = |line: &str| -> Option<(String, String)> {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    let lines = said.lines().filter(|line| !line.is_empty());
    lines.map(|line| of_line(line).with_context(|| format!("cargo tree says {line:?}"))).collect()
}

fn cargo(arguments: &[&str]) -> Result<String> {
    stdout(Command::new("cargo").args(arguments).arg("--locked").current_dir(paths::workspace()))
}

/// The checksums of a Cargo.lock, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
        Some(line.trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").filter_map(|block| {
        Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?))
    });
    blocks.collect()
}

fn of_metadata(
    metadata: &Value,
    checksums: &BTreeMap<(String, String), String>,
    present: &BTreeSet<(String, String)>,
) -> Result<Vec<Part>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name_of = |package: &Value| Some((text(&package["name"])?, text(&package["version"])?));
    let mut by_id = BTreeMap::new();
    let mut parts = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let (id, key) = (text(&package["id"]), name_of(&package));
        let (id, key) = id.zip(key).context("cargo metadata has a package without a name")?;
        by_id.insert(id, key.clone());
        if present.contains(&key) {
            let licence = text(&package["license"]).with_context(|| format!("{key:?} has no licence"))?;
            let manifest = PathBuf::from(text(&package["manifest_path"]).context("no manifest")?);
            let part = Part {
                name: key.0.clone(),
                version: key.1.clone(),
                licence: licence.replace('/', " OR "),
                checksum: checksums.get(&key).cloned(),
                directory: manifest.parent().context("a manifest is in a directory")?.to_owned(),
                uses: BTreeSet::new(),
            };
            parts.insert(key, part);
        }
    }
    for node in list(&metadata["resolve"]["nodes"]) {
        let key = text(&node["id"]).and_then(|id| by_id.get(&id).cloned());
        let Some(part) = key.and_then(|key| parts.get_mut(&key)) else { continue };
        for used in list(&node["deps"]) {
            let is_normal = list(&used["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            let key = text(&used["pkg"]).and_then(|id| by_id.get(&id).cloned());
            part.uses.extend(key.filter(|key| is_normal && present.contains(key)));
        }
    }
    ensure!(parts.len() == present.len(), "cargo metadata does not know all of {present:?}");
    Ok(parts.into_values().collect())
}

/// The document, with the time of the commit.
pub(super) fn document(version: &Version, parts: &[Part]) -> Result<String> {
    let whole = "sealpack-packages";
    let programs = parts.iter().filter(|part| PROGRAMS.iter().any(|(name, _)| *name == part.name));
    let mut dependencies =
        vec![json!({"ref": whole, "dependsOn": programs.map(Part::reference).collect::<Vec<_>>()})];
    dependencies.extend(parts.iter().map(|part| {
        let uses: Vec<_> = part.uses.iter().map(|(name, version)| reference(name, version)).collect();
        json!({"ref": part.reference(), "dependsOn": uses})
    }));
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": version.time()?.format(&Rfc3339)?,
            "component": {
                "type": "application",
                "bom-ref": whole,
                "name": "sealpack",
                "version": version.upstream(),
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
            },
        },
        "components": parts.iter().map(Part::component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
