//! How large packs are, the hash trees included, beside the objects in them.

use super::pull::pull_command;
use super::table::mib;
use anyhow::{Context, Result};
use sealpack_tests::command::{run, stdout};
use sealpack_tests::images::Image;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Pulls `image` into packs and compares their sizes with those of the objects.
///
/// # Errors
/// If it cannot be pulled.
pub(crate) fn report(sealpack: &Path, place: &Path, image: &Image) -> Result<String> {
    let dir = tempfile::Builder::new().prefix("run-").tempdir_in(place)?;
    run(&mut pull_command(sealpack, dir.path(), &image.source(), "packs"))?;
    let mut inspect = Command::new(sealpack);
    inspect.arg("--store").arg(dir.path().join("store")).args(["--json", "inspect", "image"]);
    let shown: Value = serde_json::from_str(&stdout(&mut inspect)?).context("inspect printed no JSON")?;
    let layers = shown["layers"].as_array().context("inspect names no layers")?;
    let sum = |field: &str| layers.iter().filter_map(|layer| layer["pack"][field].as_u64()).sum::<u64>();
    let (pack_bytes, object_bytes) = (sum("size_bytes"), sum("object_bytes"));
    // Both are far below what a floating-point number holds exactly.
    let ratio = pack_bytes as f64 / object_bytes as f64;
    Ok(format!(
        "\n{} of objects in packs of {}: {ratio:.4} times, the hash trees included.\n",
        mib(object_bytes),
        mib(pack_bytes)
    ))
}
