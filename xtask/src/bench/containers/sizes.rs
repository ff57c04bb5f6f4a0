//! What images take that have something in common.

use super::super::goal::Goal;
use super::super::setting::Setting;
use super::side::Side;
use anyhow::{Context, Result};
use sealpack_tests::command::stdout;
use sealpack_tests::containerd::images as small;
use sealpack_tests::images::{self, Image};
use sealpack_tests::registry::Registry;
use std::path::Path;
use std::process::Command;

/// How many times the bytes of overlayfs they may take.
const PACKS_MAX: f64 = 0.95;
const FILES_MAX: f64 = 0.6;

/// Images with a common base in packs, and those whose layers differ and whose files are equal as files.
///
/// # Errors
/// If one cannot be built or pulled.
pub(super) fn measure(setting: &Setting, registry: &Registry) -> Result<Vec<Goal>> {
    let common = setting.choose(images::services as fn() -> Result<Vec<Image>>, small::family)()?;
    let packs = ratio(setting, registry, &common, Side::ours)?;
    let first = small::shell()?;
    let rebuilt = setting.choose(images::rebuilt as fn() -> Result<Vec<Image>>, small::rebuilt)()?;
    let files = ratio(setting, registry, &rebuilt, |setting| Side::ours_in_files(setting, &first))?;
    let goal = |images: &[Image], what: &str, ratio, at_most| {
        let what = format!("{} images {what}: bytes to those of overlayfs", images.len());
        Goal::bound(what, vec![ratio], at_most, "")
    };
    Ok(vec![
        goal(&common, "with a common base, in packs", packs, PACKS_MAX),
        goal(&rebuilt, "of the same files in other layers, as files", files, FILES_MAX),
    ])
}

/// What images take with one of our sides, to what they take as directories. Each goes before the next comes.
fn ratio(
    setting: &Setting,
    registry: &Registry,
    images: &[Image],
    ours: impl FnOnce(&Setting) -> Result<Side>,
) -> Result<f64> {
    let theirs = pulled(&Side::overlayfs(setting)?, registry, images)?;
    Ok(pulled(&ours(setting)?, registry, images)? as f64 / theirs as f64)
}

/// How many bytes a side has more once it has pulled these.
fn pulled(side: &Side, registry: &Registry, images: &[Image]) -> Result<u64> {
    let empty = size(&side.data())?;
    for (number, image) in images.iter().enumerate() {
        let name = format!("bench/size:{number}");
        registry.push(image, &name)?;
        side.containerd().pull(&format!("{}/{name}", registry.host()))?;
    }
    Ok(size(&side.data())? - empty)
}

fn size(directory: &Path) -> Result<u64> {
    let said = stdout(Command::new("du").args(["--summarize", "--block-size=1"]).arg(directory))?;
    said.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).context("du says no number")
}
