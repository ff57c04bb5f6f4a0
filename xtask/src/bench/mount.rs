//! Mounting and unmounting, without enforcement.

use super::contender::{Contender, measure_all};
use super::figures::Figure;
use super::goal::Goal;
use super::pull::pull_command;
use super::setting::Setting;
use super::table::Table;
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{is_root, run as run_command};
use sealpack_tests::images::{self, Image};
use sealpack_tests::oracle::{Algorithm, Cfsctl};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const OURS: &str = "sealpack mount, umount";
const HAND: &str = "the system calls by hand";
const CFSCTL: &str = "composefs-rs (cfsctl oci mount)";

/// An image of 12,000 files as files and in packs, then one of 1,000,000.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    if !is_root() {
        let notes = vec!["Mounting needs the superuser: nothing was measured.".to_owned()];
        return Ok(vec![Table { name: "mount".into(), title: "Mounts".into(), notes, ..Table::default() }]);
    }
    let usual = setting.choose(images::bench as fn() -> Result<Image>, images::small)()?;
    let mut tables = Vec::new();
    for (form, at_most) in [("files", 2.0), ("packs", 1.5)] {
        let title = format!("A plain mount, {form}");
        let mut table = table(setting, &usual, form, &title, setting.cfsctl.clone())?;
        table.name = format!("mount-{form}");
        table.goals.push(Goal::ratio(&table.rows, (OURS, HAND), Figure::Wall, at_most)?);
        if setting.cfsctl.is_some() {
            table.goals.push(Goal::ratio(&table.rows, (OURS, CFSCTL), Figure::Wall, 1.0)?);
        }
        tables.push(table);
    }
    let many = setting.choose(images::million_entries as fn() -> Result<Image>, images::small)()?;
    // It would have to pull as many files before.
    let mut table = table(setting, &many, "files", "A plain mount of 1,000,000 files", None)?;
    table.name = "mount-million".into();
    tables.push(table);
    Ok(tables)
}

fn table(setting: &Setting, image: &Image, form: &str, title: &str, cfsctl: Option<Cfsctl>) -> Result<Table> {
    let (place, runs) = (setting.directory("mount")?, setting.runs(15));
    run_command(&mut pull_command(&setting.sealpack, place.path(), &image.source(), form))?;
    let target = place.path().join("target");
    fs::create_dir(&target)?;
    let mut contenders = vec![ours(setting, place.path(), &target)];
    contenders.push(by_hand(setting, &place.path().join("store"), form, &target)?);
    if let Some(cfsctl) = cfsctl {
        let repository = place.path().join("repository");
        run_command(&mut cfsctl.init(&repository, Algorithm::Sha256))?;
        run_command(&mut cfsctl.pull(&repository, image))?;
        let (tag, target) = (image.tag().to_owned(), target.clone());
        contenders.push(Contender::several(CFSCTL, move |_| {
            let mut mount = cfsctl.command(&repository);
            mount.args(["oci", "mount", &tag]).arg(&target);
            let mut umount = Command::new("umount");
            umount.arg(&target);
            vec![mount, umount]
        }));
    }
    let rows = measure_all(setting, &contenders, runs, place.path())?;
    let about = format!("Both mounting and unmounting, two processes; medians of {runs} rounds.");
    Ok(Table { name: String::new(), title: title.into(), about, rows, ..Table::default() })
}

fn ours(setting: &Setting, place: &Path, target: &Path) -> Contender {
    let (sealpack, store, target) = (setting.sealpack.clone(), place.join("store"), target.to_owned());
    Contender::several(OURS, move |_| {
        ["mount", "umount"]
            .map(|verb| {
                let mut command = sealpack_tests::program::start(&sealpack);
                command.arg("--store").arg(&store).args(["--quiet", verb]);
                command.args((verb == "mount").then_some("image")).arg(&target);
                command
            })
            .into()
    })
}

fn by_hand(setting: &Setting, store: &Path, form: &str, target: &Path) -> Result<Contender> {
    let program = setting.tool("sealpack-by-hand")?;
    let is_image = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "erofs");
    let image =
        list(&store.join("images"))?.into_iter().find(is_image).context("there is no metadata image")?;
    let data = if form == "files" { vec![store.join("objects")] } else { list(&store.join("packs/sha256"))? };
    let (form, target) = (form.to_owned(), target.to_owned());
    Ok(Contender::several(HAND, move |_| {
        let mut mount = Command::new(&program);
        mount.arg("mount").arg(&target).arg(&image).arg(&form).args(&data);
        let mut umount = Command::new(&program);
        umount.arg("umount").arg(&target);
        vec![mount, umount]
    }))
}

fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    ensure!(!paths.is_empty(), "{} is empty", directory.display());
    Ok(paths)
}
