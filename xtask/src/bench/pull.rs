//! The time of a pull from an OCI layout into an empty store.

use super::contender::{Contender, measure_all};
use super::figures::Figure;
use super::goal::Goal;
use super::setting::Setting;
use super::table::{Table, mib};
use anyhow::{Context, Result};
use sealpack_tests::command::{attempt, find, run as run_command, stdout};
use sealpack_tests::images::{self, Image};
use sealpack_tests::oracle::{Algorithm, Cfsctl};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: &str = "sealpack pull";
const PACKS: &str = "sealpack pull --objects packs";
const CFSCTL: &str = "composefs-rs (cfsctl oci pull)";
const TAR: &str = "tar -xzf, one layer after the other";
const FLOOR: &str = "the floor: read, inflate, hash, write, flush";

/// How often each is measured: goals near 1 need many pairs.
const RUNS: usize = 15;

/// An image of two layers, then one of a single large layer.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    let two = setting.choose(images::bench as fn() -> Result<Image>, images::small)()?;
    let mut tables = vec![table(setting, "pull", "A pull of two layers", &two)?];
    if let Some(size) = packs_size(setting, &two)? {
        tables[0].notes.push(size);
    }
    let large = setting.choose(images::large_layer as fn() -> Result<Image>, images::small)()?;
    tables.push(table(setting, "large-layer", "A pull of one large layer", &large)?);
    Ok(tables)
}

fn table(setting: &Setting, name: &str, title: &str, image: &Image) -> Result<Table> {
    let place = setting.directory(name)?;
    let runs = setting.runs(RUNS);
    let (cfsctl, notes) = match setting.cfsctl.clone() {
        Some(cfsctl) => match refusal(&cfsctl, image, &place.path().join("tried"))? {
            Some(why) => (None, vec![format!("composefs-rs refuses this image: {why}")]),
            None => (Some(cfsctl), Vec::new()),
        },
        None => (None, Vec::new()),
    };
    let contenders = contenders(setting, image, cfsctl.clone())?;
    let rows = measure_all(setting, &contenders, runs, place.path())?;
    let goal = |ours, theirs, at_most| Goal::ratio(&rows, (ours, theirs), Figure::Wall, at_most);
    let mut goals = vec![goal(FILES, FLOOR, 1.15)?, goal(FILES, TAR, 0.55)?, goal(PACKS, FILES, 1.0)?];
    if cfsctl.is_some() {
        goals.push(goal(FILES, CFSCTL, 0.55)?);
    }
    let about = about(image, runs)?;
    Ok(Table { name: name.into(), title: title.into(), about, rows, goals, notes, ..Table::default() })
}

/// Why composefs-rs does not take the image, if so: it wants the directories of what is in a layer to be in one, too.
fn refusal(cfsctl: &Cfsctl, image: &Image, repository: &Path) -> Result<Option<String>> {
    run_command(&mut cfsctl.init(repository, Algorithm::Sha256))?;
    let pulled = attempt(&mut cfsctl.pull(repository, image))?;
    let said = String::from_utf8_lossy(&pulled.stderr);
    let why = said.lines().last().unwrap_or_default().trim().to_owned();
    Ok((!pulled.status.success()).then_some(why))
}

fn contenders(setting: &Setting, image: &Image, cfsctl: Option<Cfsctl>) -> Result<Vec<Contender>> {
    let floor = setting.tool("sealpack-floor")?;
    let layers = image.layer_blobs()?;
    let (for_tar, for_gzip) = (layers.clone(), layers.clone());
    let mut contenders = vec![
        Contender::simple(FILES, ours(setting, image, "files")),
        Contender::simple(PACKS, ours(setting, image, "packs")),
        Contender::simple(FLOOR, move |dir| {
            let mut command = Command::new(&floor);
            command.arg(dir.join("streams")).args(&layers);
            command
        }),
        Contender::several(TAR, move |dir| {
            let extract = |layer: &PathBuf| {
                let mut command = Command::new("tar");
                command.arg("--directory").arg(dir.join("tree")).arg("-xzf").arg(layer);
                command
            };
            for_tar.iter().map(extract).collect()
        })
        .prepared_by(|dir| Ok(fs::create_dir(dir.join("tree"))?)),
        Contender::several("gzip -dc into sha256sum, one layer after the other", move |_| {
            let sum = |layer: &PathBuf| {
                let mut command = Command::new("sh");
                command.args(["-c", "gzip -dc \"$0\" | sha256sum"]).arg(layer);
                command
            };
            for_gzip.iter().map(sum).collect()
        })
        .for_comparison(),
    ];
    contenders.extend(cfsctl.map(|cfsctl| of_cfsctl(cfsctl, image.clone())));
    contenders.extend(of_umoci(image));
    contenders.extend(of_podman(image));
    Ok(contenders)
}

fn ours(setting: &Setting, image: &Image, objects: &'static str) -> impl Fn(&Path) -> Command + 'static {
    let (sealpack, source) = (setting.sealpack.clone(), image.source());
    move |dir| pull_command(&sealpack, dir, &source, objects)
}

fn of_cfsctl(cfsctl: Cfsctl, image: Image) -> Contender {
    let for_prepare = cfsctl.clone();
    Contender::simple(CFSCTL, move |dir| cfsctl.pull(&dir.join("repository"), &image)).prepared_by(
        move |dir| run_command(&mut for_prepare.init(&dir.join("repository"), Algorithm::Sha256)).map(drop),
    )
}

/// Where umoci is installed.
fn of_umoci(image: &Image) -> Option<Contender> {
    let (umoci, source) = (find("umoci")?, format!("{}:{}", image.dir().display(), image.tag()));
    let unpack = Contender::simple("umoci unpack", move |dir| {
        let mut command = Command::new(&umoci);
        command.args(["unpack", "--image", &source]).arg(dir.join("bundle"));
        command
    });
    Some(unpack.for_comparison())
}

/// Where podman is installed.
fn of_podman(image: &Image) -> Option<Contender> {
    let (podman, source) = (find("podman")?, image.source());
    // Podman takes no path of more than 50 characters for it.
    let run = tempfile::tempdir().ok()?;
    let pull = Contender::simple("podman pull", move |dir| {
        let mut command = Command::new(&podman);
        command.arg("--root").arg(dir.join("root")).arg("--runroot").arg(run.path());
        command.args(["pull", "--quiet", &source]);
        command
    });
    Some(pull.for_comparison())
}

/// `sealpack pull` into an empty store in `dir`, objects kept as `files` or in `packs`.
pub(crate) fn pull_command(sealpack: &Path, dir: &Path, source: &str, objects: &str) -> Command {
    let mut command = sealpack_tests::program::start(sealpack);
    command.arg("--store").arg(dir.join("store"));
    command.args(["--quiet", "pull", "--objects", objects, source, "--name", "image"]);
    command
}

/// How large packs are, the hash trees included, beside the objects in them. `None` when the image has none.
fn packs_size(setting: &Setting, image: &Image) -> Result<Option<String>> {
    let dir = setting.directory("packs")?;
    run_command(&mut pull_command(&setting.sealpack, dir.path(), &image.source(), "packs"))?;
    let shown = stdout(setting.sealpack(&dir.path().join("store")).args(["--json", "inspect", "image"]))?;
    let shown: Value = serde_json::from_str(&shown).context("inspect printed no JSON")?;
    let layers = shown["layers"].as_array().context("inspect names no layers")?;
    let sum = |field: &str| layers.iter().filter_map(|layer| layer["pack"][field].as_u64()).sum::<u64>();
    let (pack_bytes, object_bytes) = (sum("size_bytes"), sum("object_bytes"));
    // Both are far below what a floating-point number holds exactly.
    let ratio = pack_bytes as f64 / object_bytes as f64;
    Ok((object_bytes > 0).then(|| {
        format!(
            "{} of objects are in packs of {}: {ratio:.4} times, the hash trees included.",
            mib(object_bytes),
            mib(pack_bytes)
        )
    }))
}

fn about(image: &Image, runs: usize) -> Result<String> {
    let layers = image.layer_blobs()?;
    let (mut packed_bytes, mut tar_bytes, mut files) = (0, 0, 0);
    for layer in &layers {
        packed_bytes += fs::metadata(layer)?.len();
        // In two passes by the tools at hand, so that nothing of ours counts for itself.
        let mut sizes = Command::new("sh");
        sizes.args(["-c", r#"zcat "$1" | wc -c; tar -tvzf "$1" | grep -c '^-'"#, "sh"]).arg(layer);
        let sizes = stdout(&mut sizes)?;
        let mut numbers = sizes.lines().map(str::parse::<u64>);
        let mut next = || numbers.next().context("no number from wc or grep")?.context("not a number");
        tar_bytes += next()?;
        files += next()?;
    }
    Ok(format!(
        "{} of gzip: {}, {} of tar, {files} regular files; medians of {runs} rounds.",
        if layers.len() == 1 { "One layer".to_owned() } else { format!("{} layers", layers.len()) },
        mib(packed_bytes),
        mib(tar_bytes),
    ))
}
