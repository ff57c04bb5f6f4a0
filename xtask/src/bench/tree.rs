//! The time of a dm-verity hash tree, and of an fs-verity digest.

use super::contender::{Contender, measure_all};
use super::figures::Figure;
use super::goal::Goal;
use super::setting::Setting;
use super::table::{Table, mib};
use anyhow::{Result, ensure};
use sealpack_tests::command::{find, stdout};
use sealpack_tests::composefs::Tools;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const OURS: &str = "sealpack";
const THEIRS: &str = "veritysetup format";
const HASHING: &str = "hashing alone, all cores";

/// All contenders in turns over the same file.
///
/// Both that make a tree read it from the page cache, write their hash area to a file, and wait until it is on the disk.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    let (place, runs) = (setting.directory("tree")?, setting.runs(9));
    let data = place.path().join("data");
    std::fs::create_dir(&data)?;
    // As many files as there may be cores, so that hashing them one by one uses all of these.
    let (data_bytes, parts) = (setting.choose(1 << 30, 1 << 20), setting.choose(64, 4));
    write_noise(&data, data_bytes, parts)?;
    let whole = place.path().join("whole");
    let mut join = Command::new("sh");
    sealpack_tests::command::run(join.args(["-c", "cat \"$0\"/* > \"$1\""]).args([&data, &whole]))?;
    let ours = two_files(setting.tool("sealpack-tree")?, &[], &whole);
    let (hashing, for_hashing) = (setting.tool("sealpack-hashing")?, data.clone());
    let mut contenders = vec![Contender::simple(HASHING, move |_| {
        let mut command = Command::new(&hashing);
        command.arg(&for_hashing);
        command
    })];
    let veritysetup = find("veritysetup");
    if let Some(veritysetup) = &veritysetup {
        let theirs = two_files(veritysetup.clone(), &["format", "--salt=-"], &whole);
        let (our_root, their_output) = (stdout(&mut ours(place.path()))?, stdout(&mut theirs(place.path()))?);
        ensure!(their_output.contains(our_root.trim()), "not the same root hash: {our_root}{their_output}");
        contenders.push(Contender::simple(THEIRS, theirs));
    }
    contenders.insert(0, Contender::simple(OURS, ours));
    let rows = measure_all(setting, &contenders, runs, place.path())?;
    let mut goals = vec![Goal::ratio(&rows, (OURS, HASHING), Figure::Wall, 1.2)?];
    if veritysetup.is_some() {
        goals.push(Goal::ratio(&rows, (OURS, THEIRS), Figure::Wall, 0.4)?);
    }
    let about = format!(
        "Of {}, which is in the page cache, written and flushed; medians of {runs} rounds.",
        mib(data_bytes)
    );
    let title = "A dm-verity hash tree".into();
    let tree = Table { name: "tree".into(), title, about, rows, goals, ..Table::default() };
    Ok(vec![tree, digest(setting, place.path(), &whole)?])
}

/// The fs-verity digest of the same file.
fn digest(setting: &Setting, place: &Path, file: &Path) -> Result<Table> {
    let (ours, runs) = (Tools::links_to(&setting.sealpack)?, setting.runs(9));
    let measure = |tools: &Tools| {
        let (program, file) = (tools.directory().join("composefs-info"), file.to_owned());
        move |_: &Path| {
            let mut command = Command::new(&program);
            command.arg("measure-file").arg(&file);
            command
        }
    };
    let mut contenders = vec![Contender::simple("sealpack as composefs-info measure-file", measure(&ours))];
    if let Some(c) = Tools::c()? {
        contenders.push(Contender::simple("C composefs-info measure-file", measure(&c)));
    }
    if let Some(fsverity) = find("fsverity") {
        let file = file.to_owned();
        contenders.push(Contender::simple("fsverity digest", move |_| {
            let mut command = Command::new(&fsverity);
            command.args(["digest", "--compact"]).arg(&file);
            command
        }));
    }
    let mut said = Vec::new();
    for contender in &contenders {
        for mut command in (contender.commands)(place) {
            let digest = stdout(&mut command)?.trim().trim_start_matches("sha256:").to_owned();
            ensure!(said.first().is_none_or(|first| *first == digest), "{}: {digest}", contender.name);
            said.push(digest);
        }
    }
    let rows = measure_all(setting, &contenders, runs, place)?;
    let about = format!("Of the same file; medians of {runs} rounds.");
    let title = "An fs-verity digest".into();
    Ok(Table { name: "digest".into(), title, about, rows, ..Table::default() })
}

fn two_files(
    program: PathBuf,
    arguments: &'static [&'static str],
    data: &Path,
) -> impl Fn(&Path) -> Command + 'static {
    let data = data.to_owned();
    move |dir| {
        let mut command = Command::new(&program);
        command.args(arguments).arg(&data).arg(dir.join("area"));
        command
    }
}

/// Fills files with bytes that look random.
fn write_noise(directory: &Path, size_bytes: u64, parts: u64) -> Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for part in 0..parts {
        let file = File::create(directory.join(format!("{part:03}")))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        for _ in 0..size_bytes / parts / 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            out.write_all(&state.to_le_bytes())?;
        }
        out.flush()?;
    }
    Ok(())
}
