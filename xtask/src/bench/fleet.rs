//! What goes over a whole store: gc, images, fsck, verify, of 1, 30 and 300 images.

use super::blocked;
use super::contender::{Contender, measure_all};
use super::figures::Figure;
use super::goal::Goal;
use super::setting::Setting;
use super::table::Table;
use anyhow::Result;
use sealpack_tests::command::run as run_command;
use sealpack_tests::images::{self, Image};
use sealpack_tests::oracle::{Algorithm, Cfsctl};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of the layer that thirty images share, and of each image's own: 216,000 in 300 images.
const FILES: (usize, usize) = (6000, 520);

/// How many images there are at most; goals for gc and images are of so many.
const MOST: usize = 300;
/// The same where little is measured.
const MOST_SMALL: usize = 3;

const HASHING: &str = "hashing the same files, all cores";

/// At least 80 % of the speed of hashing alone.
const HASHING_AT_MOST: f64 = 1.25;

pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for images in setting.choose(&[1, 30, MOST][..], &[1, MOST_SMALL]) {
        let place = setting.directory("fleet")?;
        let stores = Stores::new(setting, *images, place.path())?;
        tables.push(stores.gc(setting)?);
        tables.push(stores.images(setting)?);
        tables.push(stores.fsck(setting)?);
        tables.push(stores.verify(setting)?);
    }
    tables.push(names(setting)?);
    Ok(tables)
}

/// The same images, as Sealpack and as composefs-rs keep them.
struct Stores {
    place: PathBuf,
    images: usize,
    cfsctl: Option<Cfsctl>,
}

impl Stores {
    fn new(setting: &Setting, images: usize, place: &Path) -> Result<Self> {
        eprintln!("# a store of {images} images");
        let (shared, own) = setting.choose(FILES, (20, 10));
        let fleet = images::fleet(&place.join("layout"), images, shared, own)?;
        let stores = Self { place: place.to_owned(), images, cfsctl: setting.cfsctl.clone() };
        stores.pull(setting, &fleet)?;
        std::fs::remove_dir_all(place.join("layout"))?;
        Ok(stores)
    }

    fn pull(&self, setting: &Setting, fleet: &[Image]) -> Result<()> {
        for image in fleet {
            let mut pull = setting.sealpack(&self.store());
            pull.args(["pull", "--objects", "files", &image.source(), "--name", image.tag()]);
            run_command(&mut pull)?;
        }
        if let Some(cfsctl) = &self.cfsctl {
            run_command(&mut cfsctl.init(&self.repository(), Algorithm::Sha256))?;
            for image in fleet {
                run_command(&mut cfsctl.pull(&self.repository(), image))?;
            }
        }
        Ok(())
    }

    fn store(&self) -> PathBuf {
        self.place.join("store")
    }

    fn repository(&self) -> PathBuf {
        self.place.join("repository")
    }

    fn ours(&self, setting: &Setting, name: &str, arguments: &[&str]) -> Contender {
        let (sealpack, store) = (setting.sealpack.clone(), self.store());
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Contender::simple(name, move |_| {
            let mut command = sealpack_tests::program::start(&sealpack);
            command.arg("--store").arg(&store).arg("--quiet").args(&arguments);
            command
        })
    }

    fn theirs(&self, name: &str, arguments: &'static [&'static str]) -> Option<Contender> {
        let (cfsctl, repository) = (self.cfsctl.clone()?, self.repository());
        Some(Contender::simple(name, move |_| {
            let mut command = cfsctl.command(&repository);
            command.args(arguments);
            command
        }))
    }

    fn table(
        &self,
        setting: &Setting,
        name: &str,
        contenders: &[Contender],
        goals: &[(&str, &str, f64)],
    ) -> Result<Table> {
        let runs = setting.runs(7);
        let rows = measure_all(setting, contenders, runs, &self.place)?;
        let has = |name: &str| rows.iter().any(|row| row.name == name);
        let goals = goals.iter().filter(|(_, theirs, _)| has(theirs));
        let goals = goals
            .map(|(ours, theirs, at_most)| Goal::ratio(&rows, (ours, theirs), Figure::Wall, *at_most))
            .collect::<Result<_>>()?;
        let (images, runs) = (self.images, format!("medians of {runs} rounds"));
        let (title, name) = (format!("`{name}` in a store of {images} images"), format!("{name}-{images}"));
        Ok(Table {
            name,
            title,
            about: format!("{} files; {runs}.", self.files(setting)),
            rows,
            goals,
            ..Table::default()
        })
    }

    fn files(&self, setting: &Setting) -> usize {
        let (shared, own) = setting.choose(FILES, (20, 10));
        self.images.div_ceil(30) * shared + self.images * own
    }

    fn are_most(&self, setting: &Setting) -> bool {
        self.images == setting.choose(MOST, MOST_SMALL)
    }

    fn gc(&self, setting: &Setting) -> Result<Table> {
        const OURS: &str = "sealpack gc, nothing to remove";
        const THEIRS: &str = "composefs-rs (cfsctl gc --dry-run)";
        let mut contenders = vec![self.ours(setting, OURS, &["gc"])];
        contenders.extend(self.theirs(THEIRS, &["gc", "--dry-run"]));
        if !self.are_most(setting) {
            return self.table(setting, "gc", &contenders, &[]);
        }
        let mut table = self.table(setting, "gc", &contenders, &[(OURS, THEIRS, 3.0)])?;
        let mut gc = setting.sealpack(&self.store());
        let shares = blocked::shares(gc.arg("gc"), &self.store(), setting.runs(7))?;
        table.goals.push(Goal::bound("the part of gc's time that others are blocked for", shares, 0.1, ""));
        Ok(table)
    }

    fn images(&self, setting: &Setting) -> Result<Table> {
        const OURS: &str = "sealpack images";
        const THEIRS: &str = "composefs-rs (cfsctl oci images)";
        let mut contenders = vec![self.ours(setting, OURS, &["images"])];
        contenders.extend(self.theirs(THEIRS, &["oci", "images"]));
        if !self.are_most(setting) {
            return self.table(setting, "images", &contenders, &[]);
        }
        let mut table = self.table(setting, "images", &contenders, &[(OURS, THEIRS, 2.0)])?;
        table.goals.push(peak(&table, OURS));
        Ok(table)
    }

    fn fsck(&self, setting: &Setting) -> Result<Table> {
        const OURS: &str = "sealpack fsck";
        let mut contenders = vec![self.ours(setting, OURS, &["fsck"]), self.hashing(setting)?];
        contenders.extend(self.theirs("composefs-rs (cfsctl fsck)", &["fsck"]));
        self.table(setting, "fsck", &contenders, &[(OURS, HASHING, HASHING_AT_MOST)])
    }

    /// Of one of the images, by far the most of whose objects others have too.
    fn verify(&self, setting: &Setting) -> Result<Table> {
        const OURS: &str = "sealpack verify, one of them";
        let contenders = [self.ours(setting, OURS, &["verify", "image-0"]), self.hashing_of_one(setting)?];
        self.table(
            setting,
            "verify",
            &contenders,
            &[(OURS, "hashing as many files, all cores", HASHING_AT_MOST)],
        )
    }

    fn hashing(&self, setting: &Setting) -> Result<Contender> {
        let (program, objects) = (setting.tool("sealpack-hashing")?, self.store().join("objects"));
        Ok(Contender::simple(HASHING, move |_| {
            let mut command = Command::new(&program);
            command.arg(&objects);
            command
        }))
    }

    /// Of a store with one of the images.
    fn hashing_of_one(&self, setting: &Setting) -> Result<Contender> {
        let (dir, program) = (self.place.join("one"), setting.tool("sealpack-hashing")?);
        let (shared, own) = setting.choose(FILES, (20, 10));
        let [image] =
            images::fleet(&dir.join("layout"), 1, shared, own)?.try_into().expect("one was asked for");
        let mut pull = setting.sealpack(&dir.join("store"));
        run_command(pull.args(["pull", "--objects", "files", &image.source(), "--name", "image"]))?;
        Ok(Contender::simple("hashing as many files, all cores", move |_| {
            let mut command = Command::new(&program);
            command.arg(dir.join("store/objects"));
            command
        }))
    }
}

fn peak(table: &Table, name: &str) -> Goal {
    let row = table.rows.iter().find(|row| row.name == name);
    let bytes = row.map(|row| row.values(Figure::Peak)).unwrap_or_default();
    let mb = bytes.into_iter().map(|bytes| bytes / 1e6).collect();
    Goal::bound(format!("{name}: peak memory"), mb, 25.0, "MB")
}

/// Many names of one image.
fn names(setting: &Setting) -> Result<Table> {
    let names = setting.choose(MOST, MOST_SMALL);
    let place = setting.directory("names")?;
    let (shared, own) = setting.choose(FILES, (20, 10));
    let mut fleet = images::fleet(&place.path().join("layout"), 1, shared, own)?;
    let stores = Stores { place: place.path().to_owned(), images: names, cfsctl: setting.cfsctl.clone() };
    stores.pull(setting, &fleet)?;
    let image = fleet.remove(0);
    for number in 1..names {
        let name = format!("name-{number}");
        run_command(setting.sealpack(&stores.store()).args(["tag", image.tag(), &name]))?;
        if let Some(cfsctl) = &stores.cfsctl {
            let mut pull = cfsctl.command(&stores.repository());
            run_command(pull.args(["oci", "pull", &image.source(), &name]))?;
        }
    }
    let mut table = stores.images(setting)?;
    table.name = "names".into();
    table.title = format!("`images` with {names} names of one image");
    table.about = format!("{} files, all of them shared.", shared + own);
    Ok(table)
}
