//! Pulls that break off: what is whole stays, what was fetched stays, and the next pull goes on from there.

use crate::support::*;
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Action, Fault, Image, ImageLayer, Registry, digest_of};
use sealpack_tests::command::run;
use sealpack_tests::layer_tar::archive;
use sealpack_tests::program::Sealpack;
use sealpack_tests::refusal::{Exit, judge_output};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

/// How much of the upper layer gets through.
const KEPT_BYTES: usize = 300_000;

/// A small layer and one of 600 kB above it, plain, so that every byte of a blob counts.
pub(crate) struct Slow {
    pub(crate) case: Case,
    pub(crate) registry: Registry,
    pub(crate) image: Image,
    pub(crate) source: String,
}

impl Slow {
    pub(crate) fn new() -> Result<Self> {
        let lower = archive(&[directory("usr/"), file("usr/lower", &text(60, 20_000))]);
        let upper = archive(&[directory("opt/"), file("opt/upper", &text(61, 600_000))]);
        let image = image(vec![ImageLayer::plain(&lower), ImageLayer::plain(&upper)]);
        let (case, registry) = (Case::new()?, Registry::start());
        let source = serve(&registry, &image);
        Ok(Self { case, registry, image, source })
    }

    pub(crate) fn sealpack(&self) -> &Sealpack {
        &self.case.sealpack
    }

    pub(crate) fn digest(&self, layer: usize) -> String {
        digest_of(&self.image.layers[layer].blob)
    }

    /// From now on the upper layer stops once after [`KEPT_BYTES`], for so long.
    pub(crate) fn stall(&self, pause: Duration) {
        let path = format!("/blobs/{}", self.digest(1));
        self.registry.fault(Fault::new(&path, Action::StallAfter(KEPT_BYTES, pause)).times(1));
    }

    /// A pull in the background.
    pub(crate) fn start(&self, name: &str) -> Result<Child> {
        let mut command = self.sealpack().command(["pull", &self.source, "--name", name]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().context("cannot start sealpack")
    }

    fn partial_of(&self, layer: usize) -> PathBuf {
        self.sealpack().store().join("tmp/partial").join(self.digest(layer).replace(':', "-"))
    }

    /// What is kept of the upper layer.
    fn partial(&self) -> PathBuf {
        self.partial_of(1)
    }

    /// How much of the upper layer is kept.
    pub(crate) fn partial_bytes(&self) -> u64 {
        fs::metadata(self.partial()).map_or(0, |metadata| metadata.len())
    }

    fn has_layer(&self, layer: usize) -> bool {
        let diff_id = digest_of(&self.image.layers[layer].tar).replace(':', "/");
        self.sealpack().store().join("layers").join(diff_id).exists()
    }

    /// Waits until the pull stands still: the lower layer is there, and all of the upper one that is to be had.
    pub(crate) fn wait_for_stall(&self) -> Result<()> {
        wait_until("the stall", || {
            let is_stored = self.has_layer(0) && !self.partial_of(0).exists();
            Ok(is_stored && self.partial_bytes() == KEPT_BYTES as u64)
        })
    }

    /// The `Range` headers of all requests for the upper layer.
    fn ranges(&self) -> Vec<Option<String>> {
        let digest = self.digest(1);
        let requests =
            self.registry.requests().into_iter().filter(|request| request.target.contains(&digest));
        requests.map(|request| request.header("range").map(str::to_owned)).collect()
    }

    /// The image is there, complete, and equal to one that was pulled without interruption; nothing else is left.
    pub(crate) fn is_whole(&self, name: &str) -> Result<()> {
        let undisturbed = Case::without_store()?;
        undisturbed.sealpack.run(["pull", &undisturbed.layout(&self.image)?, "--name", "image"])?;
        let expected = undisturbed.sealpack.image_digest("image")?;
        ensure!(self.sealpack().image_digest(name)? == expected, "another image came out of it");
        self.sealpack().state()?;
        let left: Vec<PathBuf> =
            self.sealpack().files()?.into_iter().filter(|path| path.starts_with("tmp")).collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    }
}

#[test]
fn a_pull_killed_in_the_middle_keeps_what_it_has_and_the_next_one_goes_on() -> Result<()> {
    let slow = Slow::new()?;
    let images = slow.sealpack().json(["images"])?;
    slow.stall(Duration::from_secs(60));
    let mut pull = slow.start("image")?;
    slow.wait_for_stall()?;
    pull.kill()?;
    pull.wait()?;
    slow.sealpack().state().context("after the kill")?;
    assert_eq!(slow.sealpack().json(["images"])?, images);
    assert!(slow.has_layer(0), "a layer that was whole is gone");
    assert_eq!(slow.partial_bytes(), KEPT_BYTES as u64);
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    assert_eq!(slow.registry.count(&slow.digest(0)), 1, "a layer that was whole was fetched again");
    assert_eq!(slow.ranges(), [None, Some(format!("bytes={KEPT_BYTES}-"))]);
    slow.is_whole("image")
}

#[test]
fn a_pull_whose_connection_is_lost_for_good_keeps_what_it_has_and_the_next_one_goes_on() -> Result<()> {
    let slow = Slow::new()?;
    let path = format!("/blobs/{}", slow.digest(1));
    slow.registry.fault(Fault::new(&path, Action::CutAfter(KEPT_BYTES)).times(1));
    slow.registry.fault(Fault::status(&path, 403));
    let images = slow.sealpack().json(["images"])?;
    let output = slow.start("image")?.wait_with_output()?;
    judge_output(&output, Exit::Failed, &[&slow.digest(1)])?;
    slow.sealpack().state()?;
    assert_eq!(slow.sealpack().json(["images"])?, images);
    assert_eq!(slow.partial_bytes(), KEPT_BYTES as u64);
    slow.registry.clear_faults();
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    assert_eq!(slow.ranges().last(), Some(&Some(format!("bytes={KEPT_BYTES}-"))));
    slow.is_whole("image")
}

#[test]
fn a_connection_that_breaks_now_and_then_is_resumed_within_the_same_pull() -> Result<()> {
    let slow = Slow::new()?;
    let path = format!("/blobs/{}", slow.digest(1));
    slow.registry.fault(Fault::new(&path, Action::CutAfter(KEPT_BYTES)).times(1));
    slow.registry.fault(Fault::new(&path, Action::HangUp).times(1));
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    assert_eq!(slow.ranges().last(), Some(&Some(format!("bytes={KEPT_BYTES}-"))));
    slow.is_whole("image")
}

#[test]
fn a_connection_that_breaks_again_and_again_is_given_up_with_how_far_it_came() -> Result<()> {
    let slow = Slow::new()?;
    let path = format!("/blobs/{}", slow.digest(1));
    slow.registry.fault(Fault::new(&path, Action::CutAfter(1000)));
    let output = slow.start("image")?.wait_with_output()?;
    let size = slow.image.layers[1].blob.len().to_string();
    judge_output(&output, Exit::Failed, &["broke", "times", &slow.digest(1), &size])?;
    slow.sealpack().state()?;
    assert!(slow.partial_bytes() > 1000, "what came is not kept: {} bytes", slow.partial_bytes());
    slow.registry.clear_faults();
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    slow.is_whole("image")
}

/// Leaves the upper layer half fetched.
fn interrupted() -> Result<Slow> {
    let slow = Slow::new()?;
    slow.stall(Duration::from_secs(60));
    let mut pull = slow.start("image")?;
    slow.wait_for_stall()?;
    pull.kill()?;
    pull.wait()?;
    Ok(slow)
}

#[test]
fn what_is_kept_of_a_layer_is_not_trusted() -> Result<()> {
    let slow = interrupted()?;
    let mut bytes = fs::read(slow.partial())?;
    bytes[1000] ^= 1;
    fs::write(slow.partial(), bytes)?;
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    assert_eq!(slow.ranges(), [None, Some(format!("bytes={KEPT_BYTES}-")), None]);
    slow.is_whole("image")
}

#[test]
fn more_than_there_can_be_of_a_layer_is_thrown_away() -> Result<()> {
    let slow = interrupted()?;
    fs::write(slow.partial(), vec![0; slow.image.layers[1].blob.len() + 1])?;
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    assert_eq!(slow.ranges(), [None, None]);
    slow.is_whole("image")
}

#[test]
fn a_layer_that_was_fetched_to_its_end_is_not_asked_for_again() -> Result<()> {
    let slow = interrupted()?;
    fs::write(slow.partial(), &slow.image.layers[1].blob)?;
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    assert_eq!(slow.ranges(), [None]);
    slow.is_whole("image")
}

/// A kill can hit between the storing of a layer and the removal of its download.
#[test]
fn what_is_kept_of_a_layer_that_is_whole_goes_with_the_next_pull() -> Result<()> {
    let slow = interrupted()?;
    fs::write(slow.partial_of(0), &slow.image.layers[0].blob)?;
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    slow.is_whole("image")
}

#[test]
fn a_bad_image_takes_nothing_from_an_interrupted_pull() -> Result<()> {
    let slow = interrupted()?;
    // Removes what the dead process had not committed.
    slow.sealpack().run(["pull", &slow.case.layout(&good_image())?, "--name", "good"])?;
    let bad = archive(&[file("opt/x", &text(62, 5000)), file("../bad", "x")]);
    let bad = image(vec![slow.image.layers[0].clone(), ImageLayer::gzip(&bad)]);
    slow.case.refuses_image(Exit::Failed, &bad, &["layer 2", "../bad"])?;
    assert_eq!(slow.partial_bytes(), KEPT_BYTES as u64);
    slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
    assert_eq!(slow.registry.count(&slow.digest(0)), 1, "a layer that was whole was fetched again");
    assert_eq!(slow.ranges(), [None, Some(format!("bytes={KEPT_BYTES}-"))]);
    slow.is_whole("image")
}

#[test]
fn a_registry_that_does_not_resume_is_asked_for_the_whole() -> Result<()> {
    for action in [Action::RefuseRange, Action::IgnoreRange, Action::ShiftRange(7)] {
        let slow = interrupted()?;
        slow.registry.fault(Fault::new(&format!("/blobs/{}", slow.digest(1)), action));
        slow.sealpack().run(["pull", &slow.source, "--name", "image"])?;
        slow.is_whole("image")?;
    }
    Ok(())
}

#[test]
fn an_interrupted_pull_goes_on_under_another_name_and_from_another_repository() -> Result<()> {
    let slow = interrupted()?;
    slow.registry.put_image("another/place", "v2", &slow.image);
    slow.sealpack().run([
        "pull",
        &format!("{}/another/place:v2", slow.registry.host()),
        "--name",
        "other",
    ])?;
    assert_eq!(slow.ranges(), [None, Some(format!("bytes={KEPT_BYTES}-"))]);
    slow.is_whole("other")
}

/// Wherever the kill hits, the store opens, is in order, and the pull can be made good.
#[test]
fn a_pull_can_be_killed_at_any_time() -> Result<()> {
    let case = Case::new()?;
    let layers = (0..6).map(|layer| {
        let entries: Vec<_> = (0..40)
            .map(|number| file(&format!("f{layer}-{number}"), &text(70 + 100 * layer + number, 30_000)))
            .collect();
        ImageLayer::gzip(&archive(&entries))
    });
    let source = case.layout(&image(layers.collect()))?;
    let delays_ms: Vec<u64> = match sealpack_tests::all() {
        true => (0..300).collect(),
        false => vec![0, 5, 10, 20, 40, 60, 80, 120, 160, 240],
    };
    for delay_ms in delays_ms {
        let mut command = case.sealpack.command(["pull", &source, "--name", "image"]);
        let mut pull = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(delay_ms));
        pull.kill()?;
        let done = pull.wait()?.success();
        case.sealpack.state().with_context(|| format!("killed after {delay_ms} ms"))?;
        let images = case.sealpack.json(["images"])?;
        let names = images["images"].as_array().map_or(0, Vec::len);
        ensure!(!done || names == 2, "a pull that was done has left no image: {images}");
    }
    run(&mut case.sealpack.command(["pull", &source, "--name", "image"]))?;
    run(&mut case.sealpack.command(["gc"]))?;
    case.sealpack.state().map(drop)
}
