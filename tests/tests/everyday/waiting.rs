//! What is said while a command waits: for a registry that says nothing, for others that use the store, for bytes.

use crate::support::*;
use crate::terminal::on_a_terminal_of;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sealpack_test_registry::{Action, Fault, Image, digest_of};
use sealpack_tests::layout::architecture;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// An image whose only layer stands still for a while after its first 100 kB.
fn slow(desk: &Desk, pause: Duration) -> (String, Image) {
    let image = Image::new(&format!("linux/{}", architecture()), vec![layer(200, 400_000)]);
    let blob = digest_of(&image.layers[0].blob);
    let fault = Fault::new(&format!("/blobs/{blob}"), Action::StallAfter(100_000, pause));
    desk.registry.fault(fault.times(1));
    (desk.serve("slow", &image), image)
}

fn start(desk: &Desk, arguments: &[&str]) -> Result<Child> {
    let mut command = desk.sealpack.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("cannot start sealpack")
}

/// The first line on standard error that has these words, and when it came.
fn line_with(child: &mut Child, words: &[&str]) -> Result<(String, Duration)> {
    let start = Instant::now();
    let stderr = child.stderr.take().context("standard error is taken")?;
    let mut seen = Vec::new();
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        if words.iter().all(|word| line.contains(word)) {
            return Ok((line, start.elapsed()));
        }
        seen.push(line);
    }
    anyhow::bail!("no line has {words:?}: {seen:#?}")
}

#[test]
fn a_registry_that_says_nothing_is_named_after_a_second_with_how_long_it_is_waited_for() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &image(1));
    desk.registry.fault(Fault::new("/manifests/", Action::StallAfter(0, Duration::from_secs(4))).times(1));
    let mut pull = start(&desk, &["pull", &source])?;
    let (line, after) = line_with(&mut pull, &["waiting for http://", "s more at most"])?;
    ensure!(after < Duration::from_secs(3), "{line} came after {after:?}");
    ensure!(pull.wait()?.success());
    // Machines are told the same.
    desk.registry.fault(Fault::new("/manifests/", Action::StallAfter(0, Duration::from_secs(3))).times(1));
    let mut pull = start(&desk, &["--json", "pull", &source])?;
    let (line, _) = line_with(&mut pull, &["\"waiting\""])?;
    let value: serde_json::Value = serde_json::from_str(&line)?;
    ensure!(value["seconds_left"].as_u64() > Some(10), "{line}");
    ensure!(pull.wait()?.success());
    Ok(())
}

#[test]
fn what_is_tried_again_is_told_with_why_and_when() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &image(1));
    desk.registry.fault(Fault::status("/manifests/", 503).times(2));
    let said = desk.succeeds(&["pull", &source])?;
    for words in ["it answered 503", "; once more in 0.", "(1 of 5)", "(2 of 5)"] {
        ensure!(said.contains(words), "{words}: {said}");
    }
    desk.registry.fault(Fault::status("/manifests/", 503).times(1));
    let output = desk.attempt(&["--json", "pull", &source])?;
    let lines = String::from_utf8(output.stderr)?;
    let again = lines.lines().find(|line| line.contains("\"again\"")).context("no line tells of it")?;
    let again: serde_json::Value = serde_json::from_str(again)?;
    ensure!(again["repetition"] == 1 && again["wait_seconds"].is_number(), "{again}");
    desk.registry.fault(Fault::status("/manifests/", 503).times(1));
    let output = desk.attempt(&["--quiet", "pull", &source])?;
    ensure!(output.stderr.is_empty(), "{}", said_of(&output.stderr));
    Ok(())
}

fn said_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_gc_behind_a_pull_says_whom_it_waits_for_and_for_how_long() -> Result<()> {
    let desk = Desk::new()?;
    desk.succeeds(&["pull", &desk.serve("one", &image(1))])?;
    let (source, _) = slow(&desk, Duration::from_secs(6));
    let mut pull = start(&desk, &["pull", &source])?;
    std::thread::sleep(Duration::from_millis(1500));
    let mut gc = start(&desk, &["gc", "--wait", "30"])?;
    let holder = format!("process {} ", pull.id());
    let (line, after) = line_with(&mut gc, &["waiting for the store", &holder, "s more at most"])?;
    ensure!(after < Duration::from_secs(3), "{line} came after {after:?}");
    ensure!(line.contains("28 s") || line.contains("29 s"), "{line}");
    ensure!(gc.wait()?.success() && pull.wait()?.success());
    Ok(())
}

#[test]
fn a_pull_tells_machines_and_logs_how_far_it_is_and_how_long_it_takes_yet() -> Result<()> {
    let desk = Desk::new()?;
    let (source, image) = slow(&desk, Duration::from_secs(6));
    let said = desk.succeeds(&["pull", &source])?;
    ensure!(said.contains(" of 4") && said.contains(" s left"), "{said}");
    ensure!(said.contains("waiting for"), "a transfer that stands still is not told of: {said}");
    drop(image);
    Ok(())
}

#[test]
fn bars_fit_into_the_terminal_and_say_what_is_left_of_all() -> Result<()> {
    for columns in [40, 64, 80] {
        let desk = Desk::new()?;
        let (source, _) = slow(&desk, Duration::from_secs(3));
        let Some(shown) = on_a_terminal_of(columns, &desk, &["pull", &source])? else { return Ok(()) };
        // Bars are padded to the terminal's width, without an end of line between them.
        let text = shown.split(['\r', '\n']).map(without_sequences);
        for bars in text.filter(|text| text.contains('%') || text.contains("kB/")) {
            // Behind the last of them is the result.
            let bars = bars.split("metadata image").next().unwrap_or_default();
            let characters: Vec<char> = bars.chars().collect();
            for line in characters.chunks(columns).map(|line| line.iter().collect::<String>()) {
                let begins = ["layer ", "total ", "metadata image "];
                let begins = begins.iter().any(|word| line.trim_start().starts_with(word));
                let is_total = line.contains("merging layers")
                    || line.trim_end().ends_with(" left") && line.contains("kB/");
                ensure!(
                    begins || is_total || line.trim().is_empty(),
                    "{columns} columns: {line:?} of {bars:?}"
                );
            }
        }
        ensure!(shown.contains(" left"), "{shown}");
        ensure!(columns < 80 || shown.contains("total "), "{shown}");
    }
    Ok(())
}

/// A line of a terminal without what moves the cursor or colours.
fn without_sequences(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let end =
            part.find(|character: char| character.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        text + &part[end..]
    })
}

#[test]
fn whoever_interrupts_a_pull_is_told_what_stays_and_it_goes_on_from_there() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let desk = Desk::new()?;
        let (source, image) = slow(&desk, Duration::from_secs(20));
        let mut pull = start(&desk, &["pull", &source])?;
        std::thread::sleep(Duration::from_millis(2500));
        kill_process(Pid::from_child(&pull), signal)?;
        let (line, after) = line_with(&mut pull, &["interrupted: "])?;
        ensure!(line.contains("goes on from there") && after < Duration::from_secs(2), "{line}");
        ensure!(pull.wait()?.signal() == Some(signal.as_raw()), "it ended otherwise");
        let said = desk.succeeds(&["pull", &source])?;
        ensure!(said.contains("going on with"), "{said}");
        ensure!(desk.names()?.len() == 1);
        drop(image);
    }
    Ok(())
}

#[test]
fn a_verbose_pull_says_what_it_asks() -> Result<()> {
    let desk = Desk::new()?;
    let source = desk.serve("one", &image(1));
    let usual = desk.succeeds(&["pull", &source])?;
    ensure!(!usual.contains("GET "), "{usual}");
    let said = desk.succeeds(&["-v", "pull", &source])?;
    for words in ["GET http://", "/v2/one/manifests/v1"] {
        ensure!(said.contains(words), "{words}: {said}");
    }
    Ok(())
}
