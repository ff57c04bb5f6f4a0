//! Commands at the same time.

use crate::interrupted::Slow;
use crate::support::*;
use anyhow::{Result, ensure};
use sealpack_test_registry::{Action, Fault, ImageLayer, digest_of};
use sealpack_tests::layer_tar::archive;
use sealpack_tests::refusal::{Exit, judge, judge_output};
use std::process::{Child, Stdio};
use std::time::Duration;

fn succeeded(child: Child) -> Result<()> {
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn two_pulls_of_the_same_image_at_the_same_time_both_succeed() -> Result<()> {
    let slow = Slow::new()?;
    slow.stall(Duration::from_secs(8));
    let mut first = slow.start("one")?;
    slow.wait_for_stall()?;
    // The second one does not wait for the first: it fetches by itself what the first is at.
    slow.sealpack().run(["pull", &slow.source, "--name", "two"])?;
    ensure!(first.try_wait()?.is_none(), "the second pull waited for the first");
    succeeded(first)?;
    slow.is_whole("one")?;
    slow.is_whole("two")
}

#[test]
fn pulls_started_together_into_a_store_that_is_not_there_yet_all_succeed() -> Result<()> {
    let case = Case::without_store()?;
    let source = case.layout(&good_image())?;
    let pulls: Vec<Child> = (0..4)
        .map(|number| {
            let mut command = case.sealpack.command(["pull", &source, "--name", &format!("image:{number}")]);
            Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
        })
        .collect::<Result<_>>()?;
    pulls.into_iter().try_for_each(succeeded)?;
    case.sealpack.state()?;
    let images = case.sealpack.json(["images"])?;
    assert_eq!(images["images"].as_array().map(Vec::len), Some(4), "{images}");
    Ok(())
}

#[test]
fn gc_that_may_not_wait_says_which_process_has_the_store() -> Result<()> {
    let slow = Slow::new()?;
    slow.stall(Duration::from_secs(60));
    let mut pull = slow.start("image")?;
    slow.wait_for_stall()?;
    let listing = slow.sealpack().listing()?;
    let pid = format!("process {}", pull.id());
    let mut gc = slow.sealpack().command(["gc", "--wait", "0"]);
    let judged = judge(&mut gc, Exit::Failed, &["in use", &pid, "try again"]);
    pull.kill()?;
    pull.wait()?;
    judged?;
    ensure!(slow.sealpack().listing()? == listing, "gc has changed the store that it could not have");
    Ok(())
}

#[test]
fn gc_waits_for_a_pull_and_takes_nothing_that_it_needs() -> Result<()> {
    let slow = Slow::new()?;
    slow.stall(Duration::from_secs(2));
    let pull = slow.start("image")?;
    slow.wait_for_stall()?;
    // Nothing but the pull needs what it has brought so far, and with the name gone nobody needs the rest.
    slow.sealpack().run(["rm", "good"])?;
    slow.sealpack().run(["gc", "--wait", "60"])?;
    succeeded(pull)?;
    slow.is_whole("image")
}

#[test]
fn gc_after_a_killed_pull_leaves_what_was_fetched_for_the_next_one() -> Result<()> {
    let slow = Slow::new()?;
    slow.stall(Duration::from_secs(60));
    let mut pull = slow.start("image")?;
    slow.wait_for_stall()?;
    pull.kill()?;
    pull.wait()?;
    let fetched_bytes = slow.partial_bytes();
    slow.sealpack().run(["gc"])?;
    assert_eq!(slow.partial_bytes(), fetched_bytes);
    let left: Vec<_> = slow.sealpack().files()?.into_iter().filter(|path| path.starts_with("tmp")).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    slow.is_whole("image")
}

/// A pull whose second layer is bad cleans up its first one, which another pull has found in the store meanwhile.
#[test]
fn a_pull_that_fails_takes_nothing_from_one_that_goes_on() -> Result<()> {
    let slow = Slow::new()?;
    let bad = archive(&[file("opt/x", &text(80, 30_000)), file("../bad", "x")]);
    let bad_image = image(vec![slow.image.layers[0].clone(), ImageLayer::plain(&bad)]);
    slow.registry.put_image("bad", "v1", &bad_image);
    let bad_source = format!("{}/bad:v1", slow.registry.host());
    let path = format!("/blobs/{}", digest_of(&bad));
    slow.registry.fault(Fault::new(&path, Action::StallAfter(10_000, Duration::from_secs(2))).times(1));
    let mut command = slow.sealpack().command(["pull", &bad_source, "--name", "bad"]);
    let failing = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let layer = digest_of(&slow.image.layers[0].tar).replace(':', "/");
    let layer = slow.sealpack().store().join("layers").join(layer);
    wait_until("the first layer", || Ok(layer.exists()))?;
    // It finds the first layer there, and is slower than the other one.
    slow.stall(Duration::from_secs(6));
    let pull = slow.start("image")?;
    judge_output(&failing.wait_with_output()?, Exit::Failed, &["../bad"])?;
    succeeded(pull)?;
    slow.is_whole("image")
}

#[test]
fn an_image_can_be_read_while_a_pull_runs() -> Result<()> {
    let slow = Slow::new()?;
    slow.stall(Duration::from_secs(60));
    let mut pull = slow.start("image")?;
    slow.wait_for_stall()?;
    let read = slow.sealpack().run(["cat", "good", "/etc/motd"]);
    let removed = slow.sealpack().run(["rm", "good"]);
    pull.kill()?;
    pull.wait()?;
    assert_eq!(read?.stdout, text(1, 5000).as_bytes());
    removed.map(drop)
}
