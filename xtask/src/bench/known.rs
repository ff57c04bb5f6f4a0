//! A pull of an image that is there.

use super::contender::{Contender, measure_all};
use super::figures::Figure;
use super::goal::Goal;
use super::setting::Setting;
use super::table::Table;
use anyhow::Result;
use sealpack_tests::command::{find, run as run_command};
use sealpack_tests::images::{self, Image};
use sealpack_tests::oracle::Algorithm;
use sealpack_tests::registry::Registry;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "bench/known:1";
const FILES: &str = "sealpack pull, files, from a registry";
const PACKS: &str = "sealpack pull, packs, from a registry";
const REQUEST: &str = "one request for the manifest";

pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    let image = setting.choose(images::bench as fn() -> Result<Image>, images::small)()?;
    let (place, runs) = (setting.directory("known")?, setting.runs(15));
    let mut notes = Vec::new();
    let mut contenders = from_layout(setting, &image, place.path())?;
    // It ends with this.
    let registry = match find("docker-registry") {
        Some(_) => Some(Registry::start(place.path())?),
        None => {
            notes.push("docker-registry is not installed: nothing was pulled from a registry.".to_owned());
            None
        }
    };
    if let Some(registry) = &registry {
        registry.push(&image, NAME)?;
        contenders.extend(from_registry(setting, registry, place.path())?);
    }
    let rows = measure_all(setting, &contenders, runs, place.path())?;
    let goal = |ours| Goal::ratio(&rows, (ours, REQUEST), Figure::Wall, 1.5);
    let goals = match &registry {
        Some(_) => vec![goal(FILES)?, goal(PACKS)?],
        None => Vec::new(),
    };
    let about =
        format!("The image of the first table, with docker-registry on loopback; medians of {runs} rounds.");
    let title = "A pull of an image that is there".into();
    Ok(vec![Table { name: "known".into(), title, about, rows, goals, notes, ..Table::default() }])
}

fn from_layout(setting: &Setting, image: &Image, place: &Path) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    for (objects, name) in [("files", "sealpack pull, files"), ("packs", "sealpack pull, packs")] {
        contenders.push(again(
            setting,
            name,
            place.join(format!("layout-{objects}")),
            objects,
            image.source(),
        )?);
    }
    if let Some(cfsctl) = setting.cfsctl.clone() {
        let (repository, image) = (place.join("repository"), image.clone());
        run_command(&mut cfsctl.init(&repository, Algorithm::Sha256))?;
        run_command(&mut cfsctl.pull(&repository, &image))?;
        let pull = move |_: &Path| cfsctl.pull(&repository, &image);
        contenders.push(Contender::simple("composefs-rs (cfsctl oci pull)", pull));
    }
    Ok(contenders)
}

fn from_registry(setting: &Setting, registry: &Registry, place: &Path) -> Result<Vec<Contender>> {
    let source = format!("{}/{NAME}", registry.host());
    let (request, host) = (setting.tool("sealpack-request")?, registry.host());
    Ok(vec![
        again(setting, FILES, place.join("registry-files"), "files", source.clone())?,
        again(setting, PACKS, place.join("registry-packs"), "packs", source)?,
        Contender::simple(REQUEST, move |_| {
            let mut command = Command::new(&request);
            command.args([host.as_str(), "bench/known", "1"]);
            command
        }),
    ])
}

/// Pulls once into `store`, and then again and again.
fn again(
    setting: &Setting,
    name: &str,
    store: PathBuf,
    objects: &'static str,
    source: String,
) -> Result<Contender> {
    let sealpack = setting.sealpack.clone();
    let pull = move |_: &Path| {
        let mut command = sealpack_tests::program::start(&sealpack);
        command.arg("--store").arg(&store).args(["--quiet", "pull", "--objects", objects, &source]);
        command.args(["--name", "image"]);
        command
    };
    run_command(&mut pull(Path::new("")))?;
    Ok(Contender::simple(name, pull))
}
