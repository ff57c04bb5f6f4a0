//! How long a pull takes, the first container of what was pulled, and the next one.

use super::super::contender::{Contender, measure_all};
use super::super::figures::{Figure, Row};
use super::super::goal::Goal;
use super::super::setting::Setting;
use super::super::table::Table;
use super::side::Side;
use anyhow::{Context, Result};
use std::process::Command;
use std::rc::Rc;

type Make = fn(&Setting, String, &Rc<Side>, &str) -> Contender;

/// What is measured: a word for the table, its title, how many times overlayfs's time it may take, and how it is done.
const STEPS: [(&str, &str, f64, Make); 3] = [
    ("containers-pull", "A pull through containerd, written to the disk", 1.0, pull),
    ("containers-first", "The first container of an image", 1.05, container),
    ("containers-second", "A second container of an image", 1.05, container),
];

/// A table for each step, of `image` by its whole name. It is there on all sides afterwards.
///
/// # Errors
/// If containerd fails at something.
pub(super) fn measure(setting: &Setting, sides: &[Rc<Side>; 3], image: &str) -> Result<Vec<Table>> {
    let (place, runs) = (setting.directory("containers")?, setting.runs(15));
    let [stock, ours, erofs] = sides;
    let mut contenders = Vec::new();
    // One after the other, in each round: what is pulled is then run.
    for (_, title, _, make) in STEPS {
        let contender =
            |side: &Rc<Side>| make(setting, format!("{title}: {}", side.snapshotter()), side, image);
        contenders.extend([contender(stock), contender(ours), contender(erofs).for_comparison()]);
    }
    let rows = measure_all(setting, &contenders, runs, place.path())?;
    let about = format!(
        "containerd {}, by its client, from docker-registry on loopback: medians of {runs} rounds. Each containerd has one \
         snapshotter. Processor time is that of the client, containerd, the snapshotter and all that they start.",
        version(stock)?
    );
    let table = |(step, rows): (&(&str, &str, f64, Make), &[Row])| {
        let (name, title, at_most, _) = *step;
        let named = |(row, side): (&Row, &Rc<Side>)| Row {
            name: side.snapshotter().to_owned(),
            samples: row.samples.clone(),
        };
        let rows: Vec<Row> = rows.iter().zip(sides).map(named).collect();
        let of = (ours.snapshotter(), stock.snapshotter());
        let goals = vec![Goal::ratio(&rows, of, Figure::Wall, at_most)?];
        let (name, title, about) = (name.into(), title.into(), about.clone());
        Ok(Table { name, title, about, rows, goals, ..Table::default() })
    };
    STEPS.iter().zip(rows.chunks(sides.len())).map(table).collect()
}

fn version(side: &Side) -> Result<String> {
    let said = side.containerd().said(["version"])?;
    let version = said.lines().rev().find_map(|line| line.trim().strip_prefix("Version:"));
    Ok(version.context("containerd does not say its version")?.trim().to_owned())
}

fn pull(setting: &Setting, name: String, side: &Rc<Side>, image: &str) -> Contender {
    let (sealpack, forgetting, pulling) = (setting.sealpack.clone(), Rc::clone(side), Rc::clone(side));
    let (forgotten, image) = (image.to_owned(), image.to_owned());
    let contender = Contender::several(name, move |_| {
        let containerd = pulling.containerd();
        let mut flush = Command::new("sync");
        flush.arg("--file-system").arg(pulling.data());
        vec![containerd.ctr(containerd.pull_arguments(&image)), flush]
    });
    with_daemons(contender.prepared_by(move |_| forgetting.forget(&sealpack, &forgotten)), side)
}

/// A container's whole life.
fn container(_: &Setting, name: String, side: &Rc<Side>, image: &str) -> Contender {
    let (running, image) = (Rc::clone(side), image.to_owned());
    let contender = Contender::simple(name, move |_| {
        let containerd = running.containerd();
        containerd.ctr(containerd.run_arguments(&["--rm"], &image, "one", &["/bin/true"]))
    });
    with_daemons(contender, side)
}

fn with_daemons(contender: Contender, side: &Rc<Side>) -> Contender {
    let side = Rc::clone(side);
    Contender { others: Box::new(move || side.containerd().enclosure().processor_time()), ..contender }
}
