//! How long `Prepare` takes of layers that are there, and what the daemon takes with many snapshots.

use super::super::figures::{Figure, Row, Sample};
use super::super::goal::Goal;
use super::super::setting::Setting;
use super::super::table::Table;
use super::side::Side;
use anyhow::Result;
use sealpack_test_cri::snapshots::Snapshots;
use sealpack_tests::containerd::images;
use sealpack_tests::registry::Registry;
use std::rc::Rc;
use std::time::Instant;

/// How many are timed together.
const AT_ONCE: u32 = 40;

/// How many snapshots the daemon's memory is measured with.
const SNAPSHOTS: u32 = 1000;
const MEMORY_MIB_MAX: f64 = 40.0;

fn client(side: &Side) -> Result<Snapshots> {
    let containerd = side.containerd();
    Snapshots::of(&containerd.socket(), containerd.enclosure().name(), side.snapshotter())
}

/// Many `Prepare` on the only image that all sides have, asked for as containerd's client asks, without a process for each.
///
/// # Errors
/// If containerd fails at one.
pub(super) fn measure(setting: &Setting, sides: &[Rc<Side>; 3]) -> Result<Table> {
    let (runs, at_once) = (setting.runs(15), setting.choose(AT_ONCE, 2));
    let mut rows: Vec<Row> = sides.iter().map(|side| Row::new(side.snapshotter())).collect();
    for round in 0..=runs {
        for (side, row) in sides.iter().zip(&mut rows) {
            let sample = prepare(side, at_once)?;
            // What is done once, such as mounting, was done in the round before those.
            if round > 0 {
                row.samples.push(sample);
            }
        }
    }
    let [stock, ours, _] = sides;
    let goals = vec![Goal::ratio(&rows, (ours.snapshotter(), stock.snapshotter()), Figure::Wall, 1.0)?];
    let about = format!(
        "`Prepare` of a container's snapshot on layers that are there, through containerd's socket by one connection: medians of \
         {runs} rounds, each the mean of {at_once}."
    );
    let (name, title) = ("containers-prepare".into(), "Prepare of a known chain".into());
    Ok(Table { name, title, about, rows, goals, ..Table::default() })
}

fn prepare(side: &Side, count: u32) -> Result<Sample> {
    let (top, mut client) = (side.top()?, client(side)?);
    sealpack_tests::command::run(&mut std::process::Command::new("sync"))?;
    let keys: Vec<String> = (0..count).map(|number| format!("prepared-{number}")).collect();
    let began = Instant::now();
    for key in &keys {
        client.prepare(key, &top)?;
    }
    let wall = began.elapsed() / count;
    for key in &keys {
        client.remove(key)?;
    }
    Ok(Sample { wall, ..Sample::default() })
}

/// The daemon's memory with many snapshots.
///
/// # Errors
/// If the daemon has ended.
pub(super) fn memory(setting: &Setting, registry: &Registry) -> Result<Goal> {
    let side = Side::ours(setting)?;
    let name = "bench/shell:1";
    registry.push(&images::shell()?, name)?;
    side.containerd().pull(&format!("{}/{name}", registry.host()))?;
    let (top, mut client) = (side.top()?, client(&side)?);
    let count = setting.choose(SNAPSHOTS, 10);
    for number in 0..count {
        client.prepare(&format!("prepared-{number}"), &top)?;
    }
    let Side::Ours(mut served) = side else { unreachable!("it was made of that") };
    let mib = served.memory_bytes()? as f64 / f64::from(1 << 20);
    let what = format!("sealpack-snapshotter's own memory (RssAnon) with {count} snapshots");
    Ok(Goal::bound(what, vec![mib], MEMORY_MIB_MAX, "MiB"))
}
