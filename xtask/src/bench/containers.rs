//! Containers through containerd: its own overlayfs snapshotter beside ours, each with a containerd of its own.

use super::contender::{Contender, measure_all};
use super::figures::Figure;
use super::goal::Goal;
use super::setting::{Scale, Setting};
use super::table::Table;
use anyhow::{Context, Result, bail, ensure};
use sealpack_tests::command::{run as run_command, stdout};
use sealpack_tests::containerd::{Containerd, Engine, Served, Setting as Configuration, images, why_not};
use sealpack_tests::images::Image;
use sealpack_tests::paths;
use sealpack_tests::program::{self, Profile};
use sealpack_tests::registry::Registry;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

const ENGINE: Engine = Engine::V2;
const STOCK: &str = "overlayfs";
const OURS: &str = "sealpack";
const NAME: &str = "bench/containers:1";

/// How many snapshots the daemon's memory is measured with.
const SNAPSHOTS: usize = 1000;
const MEMORY_MIB_MAX: f64 = 40.0;

/// How the names of snapshots begin that are made to measure how long that takes.
const PREPARED: &str = "prepared";

/// What is measured, and how many times overlayfs's time it may take.
const STEPS: [(&str, f64); 4] = [
    ("a pull, written to the disk", 1.0),
    ("the first container", 1.05),
    ("a second container", 1.05),
    ("prepare of a known chain", 1.0),
];

/// A containerd with one of the two.
enum Side {
    Stock(Containerd),
    Ours(Served),
}

impl Side {
    fn containerd(&self) -> &Containerd {
        match self {
            Self::Stock(containerd) => containerd,
            Self::Ours(served) => served.containerd(),
        }
    }

    const fn snapshotter(&self) -> &'static str {
        match self {
            Self::Stock(_) => STOCK,
            Self::Ours(_) => OURS,
        }
    }

    /// Where layers are when they are unpacked, or packed.
    fn data(&self) -> PathBuf {
        let enclosure = self.containerd().enclosure();
        match self {
            Self::Stock(_) => enclosure.data("root/io.containerd.snapshotter.v1.overlayfs"),
            Self::Ours(served) => served.store(),
        }
    }

    /// Removes an image with all that was made of it, so that the next pull brings everything.
    fn forget(&self, sealpack: &Path, image: &str) -> Result<()> {
        let containerd = self.containerd();
        for key in self.prepared()? {
            containerd.said(["snapshots", "--snapshotter", self.snapshotter(), "remove", &key])?;
        }
        if containerd.said(["images", "list", "--quiet"])?.lines().any(|name| name == image) {
            containerd.said(["images", "remove", "--sync", image])?;
        }
        if let Self::Ours(served) = self {
            let mut collect = program::start(sealpack);
            run_command(collect.arg("--store").arg(served.store()).args(["--quiet", "gc"]))?;
        }
        let left = containerd.said(["snapshots", "--snapshotter", self.snapshotter(), "list"])?;
        ensure!(left.lines().count() == 1, "the next pull would not bring everything: {left}");
        let left = containerd.said(["content", "list", "--quiet"])?;
        ensure!(left.is_empty(), "the next pull would not fetch everything: {left}");
        Ok(())
    }

    /// The snapshots that [`prepare`] made, which keep the image's layers.
    fn prepared(&self) -> Result<Vec<String>> {
        let listed = self.containerd().said(["snapshots", "--snapshotter", self.snapshotter(), "list"])?;
        let keys = listed.lines().filter_map(|line| line.split_whitespace().next());
        Ok(keys.filter(|key| key.starts_with(PREPARED)).map(str::to_owned).collect())
    }

    /// The snapshot that containers of the only image are made on.
    fn top(&self) -> Result<String> {
        let listed = self.containerd().said(["snapshots", "--snapshotter", self.snapshotter(), "list"])?;
        let rows: Vec<Vec<&str>> =
            listed.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        let is_parent =
            |key: &str| rows.iter().any(|row| row.len() == 3 && row[1] == key && row[2] == "Committed");
        let top = rows.iter().find(|row| row.last() == Some(&"Committed") && !is_parent(row[0]));
        Ok((*top.context("there is no snapshot")?.first().context("a row is empty")?).to_owned())
    }
}

pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    if let Some(why) = why_not() {
        if setting.scale == Scale::Smoke {
            return Ok(Vec::new());
        }
        bail!(why);
    }
    if setting.scale == Scale::Full {
        program::use_snapshotter(program::build_snapshotter(Profile::Release)?);
    }
    let image = setting.choose(sealpack_tests::images::python as fn() -> Result<Image>, images::shell)()?;
    let registry = Registry::start(&paths::fixtures())?;
    registry.push(&image, NAME)?;
    let times = times(setting, &format!("{}/{NAME}", registry.host()))?;
    let (sizes, memory) = (sizes(setting, &registry)?, memory(setting, &registry)?);
    Ok(vec![Table { goals: [times.goals, vec![sizes, memory]].concat(), ..times }])
}

fn stock() -> Result<Side> {
    Ok(Side::Stock(Containerd::start(ENGINE, Configuration::stock(STOCK))?))
}

fn times(setting: &Setting, image: &str) -> Result<Table> {
    let (place, runs) = (setting.directory("containers")?, setting.runs(15));
    let sides = [Rc::new(stock()?), Rc::new(Side::Ours(Served::start(ENGINE)?))];
    let mut contenders = Vec::new();
    // One after the other, in each round: what is pulled is then run.
    for (step, make) in STEPS.iter().zip([pull, container, container, prepare] as [Make; 4]) {
        contenders
            .extend(sides.iter().map(|side| make(setting, &row(step.0, side.snapshotter()), side, image)));
    }
    let rows = measure_all(setting, &contenders, runs, place.path())?;
    let goal = |&(step, at_most): &(&str, f64)| {
        Goal::ratio(&rows, (&row(step, OURS), &row(step, STOCK)), Figure::Wall, at_most)
    };
    let goals = STEPS.iter().map(goal).collect::<Result<_>>()?;
    let about = format!(
        "containerd {}, by its client, from docker-registry on loopback: medians of {runs} rounds. Each containerd has one \
         snapshotter. Processor time is the client's alone.",
        version(sides[0].containerd())?
    );
    let (name, title) = ("containers".into(), "Containers through containerd".into());
    Ok(Table { name, title, about, rows, goals, ..Table::default() })
}

fn row(step: &str, snapshotter: &str) -> String {
    format!("{step}: {snapshotter}")
}

fn version(containerd: &Containerd) -> Result<String> {
    let said = containerd.said(["version"])?;
    let version = said.lines().rev().find_map(|line| line.trim().strip_prefix("Version:"));
    Ok(version.context("containerd does not say its version")?.trim().to_owned())
}

type Make = fn(&Setting, &str, &Rc<Side>, &str) -> Contender;

fn pull(setting: &Setting, name: &str, side: &Rc<Side>, image: &str) -> Contender {
    let (sealpack, forgetting, side) = (setting.sealpack.clone(), Rc::clone(side), Rc::clone(side));
    let (forgotten, image) = (image.to_owned(), image.to_owned());
    Contender {
        name: name.to_owned(),
        prepare: Box::new(move |_| forgetting.forget(&sealpack, &forgotten)),
        commands: Box::new(move |_| {
            let containerd = side.containerd();
            let mut flush = Command::new("sync");
            flush.arg("--file-system").arg(side.data());
            vec![containerd.ctr(containerd.pull_arguments(&image)), flush]
        }),
        rounds: usize::MAX,
    }
}

/// A container's whole life.
fn container(_: &Setting, name: &str, side: &Rc<Side>, image: &str) -> Contender {
    let (side, image) = (Rc::clone(side), image.to_owned());
    Contender::simple(name, move |_| {
        let containerd = side.containerd();
        containerd.ctr(containerd.run_arguments(&["--rm"], &image, "one", &["/bin/true"]))
    })
}

fn prepare(_: &Setting, name: &str, side: &Rc<Side>, _: &str) -> Contender {
    let top = Rc::new(RefCell::new(String::new()));
    let (looking, found, side) = (Rc::clone(side), Rc::clone(&top), Rc::clone(side));
    Contender {
        name: name.to_owned(),
        prepare: Box::new(move |_| {
            *found.borrow_mut() = looking.top()?;
            Ok(())
        }),
        commands: Box::new(move |dir| {
            // The directory's name is another one in each round.
            let key = format!("{PREPARED}{}", dir.display().to_string().replace('/', "-"));
            let words = ["snapshots", "--snapshotter", side.snapshotter(), "prepare", &key, &top.borrow()];
            vec![side.containerd().ctr(words)]
        }),
        rounds: usize::MAX,
    }
}

/// What images with a common base take, to what they take as directories.
fn sizes(setting: &Setting, registry: &Registry) -> Result<Goal> {
    let family = setting.choose(systems as fn() -> Result<Vec<Image>>, images::family)()?;
    let sides = [stock()?, Side::Ours(Served::start(ENGINE)?)];
    let mut bytes = Vec::new();
    for side in &sides {
        let empty = size(&side.data())?;
        for (number, image) in family.iter().enumerate() {
            let name = format!("bench/family:{number}");
            registry.push(image, &name)?;
            side.containerd().pull(&format!("{}/{name}", registry.host()))?;
        }
        bytes.push((size(&side.data())? - empty) as f64);
    }
    let what = format!("{} images with a common base, in packs: bytes to those of overlayfs", family.len());
    Ok(Goal::bound(what, vec![bytes[1] / bytes[0]], 0.95, ""))
}

/// Three systems on the same Debian.
fn systems() -> Result<Vec<Image>> {
    use sealpack_tests::images::{capabilities, python, tools};
    Ok(vec![python()?, tools()?, capabilities()?])
}

fn size(directory: &Path) -> Result<u64> {
    let said = stdout(Command::new("du").args(["--summarize", "--block-size=1"]).arg(directory))?;
    said.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).context("du says no number")
}

/// The daemon's memory with many snapshots.
fn memory(setting: &Setting, registry: &Registry) -> Result<Goal> {
    let served = Served::start(ENGINE)?;
    let name = "bench/shell:1";
    registry.push(&images::shell()?, name)?;
    served.containerd().pull(&format!("{}/{name}", registry.host()))?;
    let side = Side::Ours(served);
    let top = side.top()?;
    let count = setting.choose(SNAPSHOTS, 10);
    for number in 0..count {
        let key = format!("prepared-{number}");
        side.containerd().said(["snapshots", "--snapshotter", OURS, "prepare", &key, &top])?;
        // Or containerd's collector takes it.
        side.containerd().said([
            "snapshots",
            "--snapshotter",
            OURS,
            "label",
            &key,
            "containerd.io/gc.root=bench",
        ])?;
    }
    let Side::Ours(mut served) = side else { unreachable!("it was made of that") };
    let mib = served.memory_bytes()? as f64 / f64::from(1 << 20);
    let what = format!("sealpack-snapshotter's own memory (RssAnon) with {count} snapshots");
    Ok(Goal::bound(what, vec![mib], MEMORY_MIB_MAX, "MiB"))
}
