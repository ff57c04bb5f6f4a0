//! The time of a pull from an OCI layout into an empty store.

use super::contender::{Contender, measure_all};
use super::table::{markdown, mib};
use super::{memory, packs};
use crate::oracle;
use crate::packages::{self, Missing};
use anyhow::{Context, Result};
use sealpack_tests::command::{find, run as run_command, stdout};
use sealpack_tests::images::{self, Image};
use sealpack_tests::oracle::{Algorithm, Cfsctl};
use sealpack_tests::program::{self, Profile};
use sealpack_tests::{debian, paths};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Measures all contenders in turns, prints the table, and writes it to target/bench/pull.md.
pub(crate) fn run(name: &str, runs: usize, with_memory: bool) -> Result<()> {
    packages::provide(&[debian::FOR_TESTS, debian::FOR_BENCH], Missing::InstallOrFail)?;
    let cfsctl = oracle::install()?;
    let (_, build) = images::ALL.iter().find(|(known, _)| *known == name).with_context(|| {
        let known: Vec<_> = images::ALL.iter().map(|(known, _)| *known).collect();
        format!("there is no image {name}, but {}", known.join(", "))
    })?;
    let image = build()?;
    let sealpack = program::build(Profile::Release)?;
    let place = paths::target().join("bench");
    fs::create_dir_all(&place)?;
    let outputs = tempfile::Builder::new().prefix("outputs-").tempdir_in(&place)?;
    let contenders = contenders(&sealpack, &cfsctl, &image)?;
    let rows = measure_all(&contenders, runs, outputs.path())?;
    let mut report = format!("{}\n{}", headline(&image, runs)?, markdown(&rows));
    report.push_str(&packs::report(&sealpack, outputs.path(), &image)?);
    if with_memory {
        report.push_str(&memory::report(&sealpack, &place)?);
    }
    let file = place.join("pull.md");
    fs::write(&file, &report)?;
    println!("{report}");
    eprintln!("# also in {}", file.display());
    Ok(())
}

fn contenders(sealpack: &Path, cfsctl: &Cfsctl, image: &Image) -> Result<Vec<Contender>> {
    let floor = build_floor()?;
    let tar = find("tar").context("tar is not installed")?;
    let layers = image.layer_blobs()?;
    let ours = |objects: &'static str| {
        let (sealpack, source) = (sealpack.to_path_buf(), image.source());
        move |dir: &Path| pull_command(&sealpack, dir, &source, objects)
    };
    let (for_prepare, for_pull, pulled) = (cfsctl.clone(), cfsctl.clone(), image.clone());
    let for_tar = layers.clone();
    Ok(vec![
        Contender::simple("sealpack pull", ours("files")),
        Contender::simple("sealpack pull --objects packs", ours("packs")),
        Contender {
            name: "composefs-rs (cfsctl oci pull)",
            prepare: Box::new(move |dir| {
                run_command(&mut for_prepare.init(&dir.join("repository"), Algorithm::Sha256)).map(drop)
            }),
            commands: Box::new(move |dir| vec![for_pull.pull(&dir.join("repository"), &pulled)]),
        },
        Contender {
            name: "tar -xzf, one layer after the other",
            prepare: Box::new(|dir| Ok(fs::create_dir(dir.join("tree"))?)),
            commands: Box::new(move |dir| {
                let extract = |layer: &PathBuf| {
                    let mut command = Command::new(&tar);
                    command.arg("--directory").arg(dir.join("tree")).arg("-xzf").arg(layer);
                    command
                };
                for_tar.iter().map(extract).collect()
            }),
        },
        Contender::simple("the floor: read, inflate, hash, write", move |dir| {
            let mut command = Command::new(&floor);
            command.arg(dir.join("streams")).args(&layers);
            command
        }),
    ])
}

/// `sealpack pull` into an empty store in `dir`, objects kept as `files` or in `packs`.
pub(crate) fn pull_command(sealpack: &Path, dir: &Path, source: &str, objects: &str) -> Command {
    let mut command = program::start(sealpack);
    command.arg("--store").arg(dir.join("store"));
    command.args(["--quiet", "pull", "--objects", objects, source, "--name", "image"]);
    command
}

fn build_floor() -> Result<PathBuf> {
    program::build_tool("sealpack-floor")
}

fn headline(image: &Image, runs: usize) -> Result<String> {
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
    let cores = std::thread::available_parallelism()?;
    Ok(format!(
        "{} layers of gzip: {} packed, {} of tar, {files} regular files. {cores} cores; medians of {runs} runs.\n",
        layers.len(),
        mib(packed_bytes),
        mib(tar_bytes),
    ))
}
