//! The time of a dm-verity hash tree.

use super::contender::{Contender, measure_all};
use super::table::{markdown, mib};
use crate::packages::{self, Missing};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, stdout};
use sealpack_tests::{debian, paths, program};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

const DATA_BYTES: u64 = 1 << 30;

/// Measures both contenders in turns over the same file, prints the table, and writes it to target/bench/tree.md.
///
/// Both read it from the page cache, write their hash area to a file, and wait until it is on the disk.
pub(crate) fn run(runs: usize) -> Result<()> {
    packages::provide(&[debian::FOR_BENCH], Missing::InstallOrFail)?;
    let tree = program::build_tool("sealpack-tree")?;
    let veritysetup = find("veritysetup").context("veritysetup is not installed")?;
    let place = paths::target().join("bench");
    fs::create_dir_all(&place)?;
    let outputs = tempfile::Builder::new().prefix("outputs-").tempdir_in(&place)?;
    let data = outputs.path().join("data");
    write_noise(&data)?;

    let for_tree = data.clone();
    let ours = move |dir: &Path| {
        let mut command = Command::new(&tree);
        command.arg(&for_tree).arg(dir.join("area"));
        command
    };
    let theirs = move |dir: &Path| {
        let mut command = Command::new(&veritysetup);
        command.args(["format", "--salt=-"]).arg(&data).arg(dir.join("area"));
        command
    };
    let (our_root, their_output) = (stdout(&mut ours(outputs.path()))?, stdout(&mut theirs(outputs.path()))?);
    ensure!(their_output.contains(our_root.trim()), "not the same root hash: {our_root}{their_output}");
    let contenders = [Contender::simple("sealpack", ours), Contender::simple("veritysetup format", theirs)];
    let rows = measure_all(&contenders, runs, outputs.path())?;

    let [ours, theirs] = rows.as_slice() else { unreachable!("there are two contenders") };
    let ratio = ours.median_wall().as_secs_f64() / theirs.median_wall().as_secs_f64();
    let processor = ours.median_processor().as_secs_f64() / theirs.median_processor().as_secs_f64();
    let report = format!(
        "The dm-verity hash tree of {}, the data in the page cache, the tree written and flushed. \
         {} cores; medians of {runs} runs.\n\n{}\nsealpack takes {ratio:.2} of veritysetup's time, and {processor:.2} of its processor time.\n",
        mib(DATA_BYTES),
        std::thread::available_parallelism()?,
        markdown(&rows),
    );
    let file = place.join("tree.md");
    fs::write(&file, &report)?;
    println!("{report}");
    eprintln!("# also in {}", file.display());
    Ok(())
}

/// Fills a file with bytes that look random.
fn write_noise(path: &Path) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..DATA_BYTES / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.write_all(&state.to_le_bytes())?;
    }
    Ok(out.flush()?)
}
