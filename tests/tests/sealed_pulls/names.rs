//! What is remembered of names: by whatever way they get images, and images of the same epoch.

use crate::market::{Market, image, image_for, put_seal, said};
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Image, digest_of};
use sealpack_tests::refusal::{Exit, judge_output};
use sealpack_trust::seal::StatementContents;
use sealpack_trust::timestamp::Timestamp;
use std::fs;

/// Puts an image under the tag, and a seal of it.
fn publish(market: &Market, image: &Image, epoch: u64, created: u64) -> Result<String> {
    market.registry.put_image("some/app", "v1", image);
    let created = Timestamp::from_unix_seconds(created).context("a time")?;
    let contents = StatementContents { epoch, created, ..market.contents_of(image)? };
    let seal = market.publisher.seal(contents)?;
    put_seal(&market.registry, "some/app", image, seal.statement().bytes(), &seal.bundle());
    Ok(digest_of(&image.manifest))
}

fn current(market: &Market, name: &str) -> Result<String> {
    let value = market.json(&["inspect", name])?;
    Ok(value["manifest"].as_str().context("no manifest")?.to_owned())
}

/// With the date of the source as epoch a rebuild has that of the build before.
#[test]
fn an_image_of_the_same_epoch_is_taken_only_where_it_was_sealed_later() -> Result<()> {
    let market = Market::new()?;
    let [old, new] = [image(2), image(3)];
    publish(&market, &old, 5, 1000)?;
    market.run(&["pull", &market.name()])?;
    let digest = publish(&market, &new, 5, 1001)?;
    market.run(&["pull", &market.name()])?;
    market.registry.put_image("some/app", "v1", &old);
    let words = [
        "its epoch is 5, with which",
        &format!("was already seen as {digest}"),
        "made no later",
        "--allow-rollback",
    ];
    market.refuses(&[], &words)?;
    market.refuses(&["--require", "sealed"], &words)?;
    // One that was made at the same time is no later one.
    publish(&market, &image(4), 5, 1001)?;
    market.refuses(&[], &words)?;
    market.registry.put_image("some/app", "v1", &new);
    market.run(&["pull", &market.name()])?;
    market.run(&["rm", &market.name()])?;
    market.run(&["gc"])?;
    market.registry.put_image("some/app", "v1", &old);
    market.refuses(&[], &words)?;
    market.run(&["pull", "--allow-rollback", &market.name()])?;
    Ok(())
}

#[test]
fn images_of_other_platforms_may_have_the_same_epoch() -> Result<()> {
    let market = Market::new()?;
    publish(&market, &image(2), 5, 1000)?;
    market.run(&["pull", &market.name()])?;
    let other = if sealpack_tests::layout::architecture() == "arm64" { "linux/amd64" } else { "linux/arm64" };
    let image = image_for(other, 2);
    market.registry.put_image("some/app", "v1", &image);
    let mut contents = market.contents_of_platform(&image, other)?;
    (contents.epoch, contents.created) = (5, Timestamp::from_unix_seconds(1000).context("a time")?);
    let seal = market.publisher.seal(contents)?;
    put_seal(&market.registry, "some/app", &image, seal.statement().bytes(), &seal.bundle());
    market.run(&["pull", "--platform", other, &market.name()])?;
    Ok(())
}

/// A registry's image under a name of this machine's own.
const CURRENT: &str = "docker.io/prod/app:current";

/// `CURRENT` stands for a sealed image, and then the registry has one without a seal under its tag.
fn given() -> Result<Market> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", "--require", "sealed", &market.name(), "--name", CURRENT])?;
    market.registry.put_image("some/app", "v2", &image(2));
    Ok(market)
}

fn unsealed(market: &Market) -> String {
    market.name().replace(":v1", ":v2")
}

#[test]
fn a_name_that_was_given_to_a_sealed_image_gets_no_unsealed_one_by_a_pull() -> Result<()> {
    let market = given()?;
    let words = [CURRENT, "was sealed before, with epoch 5, but it has no seal", "--allow-rollback"];
    market.refuses_source(&unsealed(&market), &["--name", CURRENT], &words)?;
    // By digest neither, nor from a file.
    let digest = digest_of(&image(2).manifest);
    let by_digest = format!("{}@{digest}", market.name().trim_end_matches(":v1"));
    market.refuses_source(&by_digest, &["--name", CURRENT], &words)?;
    let layout = format!("oci:{}:x", market.path("layout").display());
    market.run(&["copy", &unsealed(&market), &layout])?;
    market.refuses_source(&layout, &["--name", CURRENT], &words)?;
    // Not after the name is gone, either.
    market.run(&["rm", CURRENT])?;
    market.refuses_source(&unsealed(&market), &["--name", CURRENT], &words)?;
    market.run(&["pull", "--allow-rollback", &unsealed(&market), "--name", CURRENT])?;
    Ok(())
}

#[test]
fn a_name_that_was_given_gets_sealed_images_that_are_no_older_from_wherever() -> Result<()> {
    let market = given()?;
    let later = publish(&market, &image(3), 6, 1000)?;
    market.run(&["pull", "--require", "sealed", &market.name(), "--name", CURRENT])?;
    assert_eq!(current(&market, CURRENT)?, later);
    market.registry.put_image("some/app", "v1", &market.image);
    let words = [CURRENT, "was already seen with 6"];
    let old = format!("{}@{}", market.name().trim_end_matches(":v1"), market.manifest());
    market.refuses_source(&old, &["--name", CURRENT], &words)
}

#[test]
fn no_tag_and_no_rollback_gives_an_unsealed_image_the_name_of_a_sealed_one() -> Result<()> {
    let market = given()?;
    market.run(&["pull", &unsealed(&market), "--name", "unsealed"])?;
    let before = current(&market, CURRENT)?;
    let state = market.node.state()?;
    let words = [CURRENT, "had an image with a seal of epoch 5", "has none here", "--allow-rollback"];
    for image in ["unsealed", &digest_of(&image(2).manifest)] {
        judge_output(&market.attempt(&["tag", image, CURRENT])?, Exit::Refused, &words)?;
    }
    market.node.is_as(&state)?;
    // Where it was taken on purpose, a rollback goes back to the sealed one, and never from it.
    market.run(&["tag", "--allow-rollback", "unsealed", CURRENT])?;
    market.run(&["rollback", CURRENT])?;
    assert_eq!(current(&market, CURRENT)?, before);
    let state = market.node.state()?;
    let unsealed = digest_of(&image(2).manifest);
    judge_output(&market.attempt(&["rollback", CURRENT, "--to", &unsealed])?, Exit::Refused, &words[..3])?;
    market.node.is_as(&state)?;
    // A conversion changes no image.
    market.run(&["convert", CURRENT, "--to", "files"])?;
    market.run(&["convert", CURRENT, "--to", "packs"])?;
    Ok(())
}

#[test]
fn a_tag_of_a_sealed_image_is_remembered_as_a_pull_is() -> Result<()> {
    let market = Market::new()?;
    publish(&market, &image(3), 5, 1000)?;
    market.run(&["pull", &market.name()])?;
    market.run(&["tag", &market.name(), CURRENT])?;
    market.registry.put_image("some/app", "v2", &image(2));
    market.refuses_source(&unsealed(&market), &["--name", CURRENT], &["was sealed before, with epoch 5"])?;
    // An older one that is sealed is no better, and one that is not older is.
    let later = publish(&market, &image(4), 6, 1000)?;
    market.run(&["pull", &market.name()])?;
    market.run(&["tag", &market.name(), CURRENT])?;
    assert_eq!(current(&market, CURRENT)?, later);
    market.run(&["rollback", &market.name()])?;
    let output = market.attempt(&["tag", &market.name(), CURRENT])?;
    judge_output(
        &output,
        Exit::Refused,
        &["had an image with a seal of epoch 6", "is an older image, of epoch 5"],
    )
}

#[test]
fn a_name_that_was_sealed_here_gets_no_unsealed_image() -> Result<()> {
    let market = Market::new()?;
    market.run(&["pull", "--objects", "packs", &market.name()])?;
    let [key, certificate] = ["keys/key", "keys/crt"].map(|name| market.path(name).display().to_string());
    market.run(&["seal", &market.name(), "--key", &key, "--cert", &certificate])?;
    market.registry.put_image("some/app", "v1", &image(2));
    market.refuses(&[], &["was sealed before, with epoch", "has no seal"])?;
    // Whoever seals brings the next image and seals that.
    market.run(&["seal", "--pull", &market.name(), "--key", &key, "--cert", &certificate])?;
    assert_eq!(current(&market, &market.name())?, digest_of(&image(2).manifest));
    Ok(())
}

/// The same image in dev and in prod.
#[test]
fn each_name_of_an_image_has_a_seal_of_its_own() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", "--require", "sealed", &market.name()])?;
    let prod = format!("{}/prod/app:1", market.registry.host());
    market.run(&["tag", &market.name(), &prod])?;
    let [key, certificate] = ["keys/key", "keys/crt"].map(|name| market.path(name).display().to_string());
    let seal = ["seal", &prod, "--name", &prod, "--replace", "--key", &key, "--cert", &certificate];
    market.run(&seal)?;
    for (name, sealed_for) in [(market.name(), market.name()), (prod.clone(), prod.clone())] {
        let shown = market.json(&["inspect", &name])?;
        ensure!(shown["seal"]["names"] == serde_json::json!([sealed_for]), "{shown}");
    }
    market.run(&["verify", &market.name()])?;
    market.run(&["gc"])?;
    assert_eq!(fs::read_dir(market.node.store().join("seals"))?.count(), 2);
    market.run(&["verify", &market.name()])?;
    // What is pushed, and goes back and forth, is each one's own.
    market.registry.put_image("prod/app", "1", &market.image);
    let pushed = market.json(&["seal", "push", &prod, "--to", &prod])?;
    ensure!(pushed["referrer"].is_string(), "{pushed}");
    market.run(&["convert", &prod, "--to", "files"])?;
    let shown = market.json(&["inspect", &prod])?;
    ensure!(shown["seal"]["names"] == serde_json::json!([prod]), "{shown}");
    market.run(&["rm", &prod])?;
    market.run(&["gc"])?;
    assert_eq!(fs::read_dir(market.node.store().join("seals"))?.count(), 1);
    market.run(&["verify", &market.name()])?;
    // By digest nobody could say which of several names is meant.
    market.run(&["tag", &market.name(), "further"])?;
    let output = market.attempt(&["seal", &market.manifest(), "--key", &key, "--cert", &certificate])?;
    ensure!(said(&output).contains("has several names"), "{}", said(&output));
    Ok(())
}

/// Whoever owns the store can put any seal to any image; as files no packs give it away.
#[test]
fn the_seal_of_another_image_is_not_shown_as_that_of_one_in_files() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", &market.name()])?;
    market.run(&["convert", "other", "--to", "files"])?;
    let store = market.node.store();
    let record_of = |name: &str| -> Result<std::path::PathBuf> {
        let found = fs::read_dir(store.join("refs"))?.collect::<Result<Vec<_>, _>>()?;
        let is_its = |entry: &&fs::DirEntry| entry.file_name().to_string_lossy().contains(name);
        Ok(found.iter().find(is_its).context("no record")?.path())
    };
    let read = |path: &std::path::Path| -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    };
    let (sealed, other) = (read(&record_of("app")?)?, record_of("other")?);
    let mut record = read(&other)?;
    let digits = |value: &serde_json::Value| value.as_str().map(|text| text["sha256:".len()..].to_owned());
    let file = |manifest: &serde_json::Value| -> Result<std::path::PathBuf> {
        let (manifest, statement) = (digits(manifest), digits(&sealed["statement"]));
        let (manifest, statement) = manifest.zip(statement).context("no digests")?;
        Ok(store.join("seals").join(format!("{manifest}-{statement}.json")))
    };
    fs::copy(file(&sealed["manifest"])?, file(&record["manifest"])?)?;
    record["statement"] = sealed["statement"].clone();
    fs::write(&other, serde_json::to_vec(&record)?)?;
    let shown = market.json(&["inspect", "other"])?;
    ensure!(
        shown["seal"]["problem"].as_str().is_some_and(|problem| problem.contains("seal of the image")),
        "{shown}"
    );
    let words = ["it is the seal of the image", &market.manifest()];
    judge_output(&market.attempt(&["tag", "other", "another"])?, Exit::Refused, &words)?;
    judge_output(&market.attempt(&["seal", "push", "other"])?, Exit::Refused, &words)
}
