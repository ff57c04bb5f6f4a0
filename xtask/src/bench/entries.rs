//! Layers with many entries, and one with much in it: time and memory.

use super::contender::{Contender, measure_all};
use super::figures::{Figure, Row};
use super::goal::Goal;
use super::pull::pull_command;
use super::setting::Setting;
use super::table::Table;
use anyhow::Result;
use sealpack_tests::images::{self, Image};
use std::path::Path;

/// Whatever the size of a layer.
const MEMORY_MB: f64 = 128.0;

/// With a million entries.
const MILLION_MB: f64 = 350.0;

/// A million entries against a hundred thousand, and a layer of 2 GiB.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    let (place, runs) = (setting.directory("entries")?, setting.runs(3));
    let million = setting.choose(images::million_entries as fn() -> Result<Image>, images::small)()?;
    let (few, many) = match setting.choose(100, 0) {
        0 => (images::small()?, million),
        thousands => (images::thousands_of_entries(thousands)?, million),
    };
    let huge = setting.choose(images::huge_layer as fn() -> Result<Image>, images::small)()?;
    let mut contenders = Vec::new();
    for (what, image) in
        [("100,000 entries", &few), ("1,000,000 entries", &many), ("2 GiB in 4 files", &huge)]
    {
        for form in ["files", "packs"] {
            let (sealpack, source) = (setting.sealpack.clone(), image.source());
            let pull = move |dir: &Path| pull_command(&sealpack, dir, &source, form);
            contenders.push(Contender::simple(format!("sealpack pull, {what}, {form}"), pull));
        }
    }
    let rows = measure_all(setting, &contenders, runs, place.path())?;
    let mut goals = Vec::new();
    for form in ["files", "packs"] {
        let name = |what: &str| format!("sealpack pull, {what}, {form}");
        let (few, many) = (name("100,000 entries"), name("1,000,000 entries"));
        goals.push(Goal::ratio(&rows, (&many, &few), Figure::Wall, 12.0)?);
        goals.push(peak(&rows, &many, MILLION_MB));
        goals.push(peak(&rows, &name("2 GiB in 4 files"), MEMORY_MB));
    }
    let about = format!(
        "One layer of zstd each, of files of up to 130 bytes but for the last; medians of {runs} rounds."
    );
    let title = "Pulls of many entries".into();
    Ok(vec![Table { name: "entries".into(), title, about, rows, goals, ..Table::default() }])
}

fn peak(rows: &[Row], name: &str, at_most: f64) -> Goal {
    let row = rows.iter().find(|row| row.name == name);
    let bytes = row.map(|row| row.values(Figure::Peak)).unwrap_or_default();
    let mb = bytes.into_iter().map(|bytes| bytes / 1e6).collect();
    Goal::bound(format!("{name}: peak memory"), mb, at_most, "MB")
}
