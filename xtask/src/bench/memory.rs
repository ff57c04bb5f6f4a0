//! The bounds on memory: 128 MiB whatever the size of a layer, and at most 700 bytes more for each entry.

use super::contender::measure;
use super::pull::pull_command;
use super::table::mib;
use anyhow::Result;
use sealpack_tests::images::{self, Image};
use std::fmt::Write;
use std::path::Path;

const BOUND_BYTES: u64 = 128 * 1024 * 1024;
const BOUND_BYTES_PER_ENTRY: u64 = 700;

/// Pulls two images made for it, and reports peaks and whether they keep to the bounds.
///
/// # Errors
/// If an image cannot be made or pulled. A bound that is passed is reported, not an error: a benchmark judges
/// nothing.
pub(crate) fn report(sealpack: &Path, place: &Path) -> Result<String> {
    let mut out = String::from("\n| one layer of | peak memory | bound |\n|---|--:|--:|\n");
    for (what, build, entries) in [
        ("2 GiB in 4 files", images::huge_layer as fn() -> Result<Image>, 4),
        ("1,000,000 small files in 1,000 directories", images::million_entries, 1_001_000),
    ] {
        let image = build()?;
        for objects in ["files", "packs"] {
            eprintln!("# memory: {what}, {objects}");
            let dir = tempfile::Builder::new().prefix("run-").tempdir_in(place)?;
            let command = pull_command(sealpack, dir.path(), &image.source(), objects);
            let sample = measure(&command, dir.path())?;
            let bound = BOUND_BYTES + entries * BOUND_BYTES_PER_ENTRY;
            let verdict = if sample.peak_bytes <= bound { "kept" } else { "PASSED" };
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "| {what}, into {objects} | {} | {} ({verdict}) |",
                mib(sample.peak_bytes),
                mib(bound)
            );
        }
    }
    Ok(out)
}
