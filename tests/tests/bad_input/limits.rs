//! What one image may take of a machine, by the options of `pull`, and what a child process then takes.

use crate::support::*;
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Image, ImageLayer, Registry, digest_of};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::refusal::{Exit, judge_output};
use std::process::{Output, Stdio};
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

fn layer(name: &str) -> ImageLayer {
    ImageLayer::gzip(&archive(&[file(name, &text(60, 900_000))]))
}

fn three_layers() -> Image {
    image(vec![layer("a"), layer("b"), layer("c")])
}

/// Four layers of zstd, 132 kB, became 4 GB: each was within what a layer may have.
#[test]
fn an_image_beyond_a_limit_is_refused_and_the_option_that_raises_it_is_named() -> Result<()> {
    let case = Case::new()?;
    let source = case.layout(&three_layers())?;
    for (option, value, words) in [
        ("--max-unpacked", "1MiB", "unpack to more than the limit of 1048576 bytes"),
        ("--max-members", "2", "more members than the limit of 2"),
        ("--max-records", "100", "larger than the limit of 100 bytes"),
        ("--max-memory", "500", "more memory than the limit of 500 bytes"),
    ] {
        case.sealpack.refuses(
            Exit::Failed,
            ["pull", option, value, &source, "--name", "bad"],
            &["layer ", words, &format!("{option} raises the limit")],
        )?;
    }
    case.sealpack.run([
        "pull",
        "--max-unpacked",
        "4MiB",
        "--max-members",
        "3",
        &source,
        "--name",
        "three",
    ])?;
    case.sealpack.state().map(drop)
}

/// A layer declared as a terabyte was read, and kept, as long as it was sent.
#[test]
fn what_is_declared_is_held_against_the_limits_and_the_free_space_before_anything_is_fetched() -> Result<()> {
    let (case, registry) = (Case::new()?, Registry::start());
    let declared = with_manifest(three_layers(), |manifest| {
        manifest["layers"][1]["size"] = (1_u64 << 50).into();
    })?;
    let source = serve(&registry, &declared);
    let digest = digest_of(&declared.layers[1].blob);
    let words = ["layer 2", &digest, "1125899906842624 bytes", "unpack to more", "--max-unpacked"];
    case.sealpack.refuses(Exit::Failed, ["pull", &source, "--name", "bad"], &words)?;
    let raised = ["pull", "--max-unpacked", "2000TiB", &source, "--name", "bad"];
    case.sealpack.refuses(Exit::Failed, raised, &["no space left", "its filesystem has"])?;
    for layer in &declared.layers {
        let asked = registry.count(&format!("/blobs/{}", digest_of(&layer.blob)));
        ensure!(asked == 0, "{asked} requests for a layer");
    }
    Ok(())
}

/// Neither a copy into a layout nor a conversion begins with what cannot fit.
#[test]
fn a_copy_that_cannot_fit_is_not_begun() -> Result<()> {
    let (case, registry) = (Case::without_store()?, Registry::start());
    let declared = with_manifest(three_layers(), |manifest| {
        manifest["layers"][0]["size"] = (1_u64 << 50).into();
    })?;
    let source = serve(&registry, &declared);
    let target = format!("oci:{}:new", case.path("copied").display());
    case.sealpack.fails(
        Exit::Failed,
        ["copy", &source, &target],
        &["no space left", "its filesystem has"],
    )?;
    ensure!(registry.count(&format!("/blobs/{}", digest_of(&declared.layers[1].blob))) == 0);
    Ok(())
}

/// Runs `pull` with these arguments and answers with what it said, and with the most memory that it had.
fn pull_and_peak(case: &Case, arguments: &[&str]) -> Result<(Output, u64)> {
    let mut command = case.sealpack.command(["pull"]);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start the program")?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_bytes = 0;
    while child.try_wait()?.is_none() {
        let said = std::fs::read_to_string(&status).unwrap_or_default();
        let line = said.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak_bytes = peak_bytes.max(peak.unwrap_or(0) * 1024);
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok((child.wait_with_output()?, peak_bytes))
}

/// Layers that take as much memory as they can, each in its way, for so many members.
fn greedy(members: usize) -> Vec<(&'static str, Vec<Entry>)> {
    let numbered = |entry: fn(usize) -> Entry| (0..members).map(entry).collect::<Vec<_>>();
    let linked = |name: fn(usize) -> String| {
        let first = Entry::new("first", Member::File(Vec::new()));
        let links =
            (0..members).map(move |number| Entry::new(name(number), Member::HardLink("first".into())));
        std::iter::once(first).chain(links).collect::<Vec<_>>()
    };
    vec![
        ("empty files", numbered(|number| Entry::new(format!("{number}"), Member::File(Vec::new())))),
        (
            "directories with one entry",
            numbered(|number| Entry::new(format!("{number}/x/"), Member::Directory)),
        ),
        ("hard links", linked(|number| format!("{number}"))),
        (
            "long links",
            numbered(|number| {
                Entry::new(format!("{number}"), Member::Symlink(format!("{number}{}", "x".repeat(90))))
            }),
        ),
        (
            "attributes",
            numbered(|number| {
                let value = number.to_le_bytes();
                Entry::new(format!("{number}"), Member::Fifo).xattr("security.capability", &value)
            }),
        ),
    ]
}

/// A layer of 3.6 MB with 2 million names took 953 MB.
#[test]
fn the_limit_of_memory_is_the_memory_that_is_taken() -> Result<()> {
    let case = Case::new()?;
    let source = case.layout(&three_layers())?;
    let (_, base_bytes) = pull_and_peak(&case, &[&source, "--name", "three"])?;
    for (what, entries) in greedy(100_000) {
        // What is removed after a refusal is found by what the other images need, which has its own size.
        let case = Case::without_store()?;
        let source = case.layout(&image(vec![ImageLayer::gzip(&archive(&entries))]))?;
        let mut limit = 4 * MIB;
        loop {
            let arguments = ["--max-memory", &limit.to_string(), &source, "--name", "greedy"];
            let (output, peak_bytes) = pull_and_peak(&case, &arguments)?;
            let more_bytes = peak_bytes.saturating_sub(base_bytes);
            println!("{what}: {more_bytes} bytes more within a limit of {limit}");
            ensure!(more_bytes <= limit + 8 * MIB, "{what}: {more_bytes} bytes with a limit of {limit}");
            if output.status.success() {
                break;
            }
            judge_output(
                &output,
                Exit::Failed,
                &["more memory than the limit", "--max-memory raises the limit"],
            )?;
            limit *= 2;
        }
        ensure!(limit > 4 * MIB, "{what} are not counted");
    }
    Ok(())
}
