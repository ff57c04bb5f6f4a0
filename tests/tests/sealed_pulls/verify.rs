//! The whole chain in one report.

use crate::market::{Market, Publisher, image, said};
use anyhow::{Context, Result, ensure};
use sealpack_kernel::Kernel;
use sealpack_tests::command::is_root;
use sealpack_tests::skip;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A market with the sealed image in the store.
fn pulled() -> Result<Market> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", &market.name()])?;
    Ok(market)
}

/// The failures that are listed, with exit status 3; none with exit status 0.
fn failures(market: &Market, image: &str) -> Result<Vec<String>> {
    let output = market.attempt(&["--json", "verify", image])?;
    let value: Value = serde_json::from_slice(&output.stdout)?;
    let failures = value["failures"].as_array().context("no failures")?;
    let failures: Vec<String> = failures.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let expected = if failures.is_empty() { 0 } else { 3 };
    ensure!(output.status.code() == Some(expected), "{value:#}\n{}", said(&output));
    ensure!(value["good"] == failures.is_empty(), "{value:#}");
    Ok(failures)
}

#[track_caller]
fn one_has(failures: &[String], words: &[&str]) -> Result<()> {
    let has = |failure: &&String| words.iter().all(|word| failure.contains(word));
    ensure!(failures.iter().any(|failure| has(&failure)), "{words:?} in none of {failures:#?}");
    Ok(())
}

/// Changes a byte of a read-only file.
fn damage(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::remove_file(path)?;
    fs::write(path, bytes)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o444))?)
}

#[test]
fn a_sealed_image_is_verified_from_its_bytes_to_its_signers() -> Result<()> {
    let market = pulled()?;
    assert_eq!(failures(&market, &market.name())?, Vec::<String>::new());
    let value = market.json(&["verify", &market.name()])?;
    ensure!(value["in_store"] == true && value["root_hashes_computed"] == true, "{value:#}");
    ensure!(
        value["judgements"][0]["trusted_signers"][0] == "publisher" && value["judgements"][0]["epoch"] == 5,
        "{value:#}"
    );
    let text = String::from_utf8(market.run(&["verify", &market.name()])?.stdout)?;
    for word in [
        "manifest",
        "pack of layer 2",
        "3 computed, and the seal has the same",
        "epoch 5",
        "signed by publisher",
    ] {
        ensure!(text.contains(word), "{word}: {text}");
    }
    ensure!(!text.contains("BAD"), "{text}");
    // Another name of it is judged by the one that it was pulled by.
    market.run(&["tag", &market.name(), "stable"])?;
    assert_eq!(failures(&market, "stable")?, Vec::<String>::new());
    Ok(())
}

#[test]
fn an_image_in_the_store_for_another_platform_than_is_asked_for_is_bad() -> Result<()> {
    let market = pulled()?;
    let own = market.json(&["inspect", &market.name()])?["platform"].as_str().context("none")?.to_owned();
    market.run(&["verify", "--platform", &own, &market.name()])?;
    let output = market.attempt(&["verify", "--platform", "linux/s390x", &market.name()])?;
    let words = format!("platform: it is for {own}, not for linux/s390x");
    ensure!(output.status.code() == Some(3) && said(&output).contains(&words), "{}", said(&output));
    Ok(())
}

#[test]
fn an_image_without_a_seal_is_good_unless_one_is_demanded() -> Result<()> {
    let market = Market::new()?;
    market.run(&["pull", &market.name()])?;
    assert_eq!(failures(&market, &market.name())?, Vec::<String>::new());
    market.demand_seals("")?;
    one_has(&failures(&market, &market.name())?, &["must be sealed", "it has no seal"])
}

#[test]
fn a_name_that_was_bent_to_another_images_files_is_noticed() -> Result<()> {
    let market = Market::new()?;
    market.run(&["pull", &market.name()])?;
    let other = market.json(&["inspect", "other"])?["metadata_image"].clone();
    let refs = fs::read_dir(market.node.store().join("refs"))?;
    let paths = refs.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let path = paths.iter().find(|path| path.to_string_lossy().contains("some%2Fapp")).context("no name")?;
    let bent = crate::market::changed(&fs::read(path)?, |record| {
        record["image"] = other["fsverity_digest"].clone();
        record["image_size_bytes"] = other["size_bytes"].clone();
    })?;
    fs::write(path, bent)?;
    let digest = other["fsverity_digest"].as_str().context("no digest")?;
    let text = String::from_utf8(market.attempt(&["verify", &market.name()])?.stdout)?;
    let is_whole = |line: &str| line.contains("good  metadata image") && line.ends_with(digest);
    ensure!(text.lines().any(is_whole), "its own bytes are right: {text}");
    one_has(&failures(&market, &market.name())?, &["made again: the layers give another one"])
}

#[test]
fn everything_that_is_wrong_is_listed() -> Result<()> {
    let market = pulled()?;
    let value = market.json(&["inspect", &market.name()])?;
    let root_hash = |layer: usize| value["layers"][layer]["pack"]["root_hash"].as_str().map(str::to_owned);
    let packs: Vec<String> =
        (0..2).map(|layer| root_hash(layer).context("no pack")).collect::<Result<_>>()?;
    for pack in &packs {
        damage(&market.node.store().join(format!("packs/sha256/{pack}.pack")))?;
    }
    let config = value["config"].as_str().context("no config")?.replace(':', "/");
    damage(&market.node.store().join("blobs").join(config))?;
    let found = failures(&market, &market.name())?;
    packs.iter().try_for_each(|pack| one_has(&found, &[pack]))?;
    one_has(&found, &["config: ", "is damaged"])?;
    ensure!(found.len() == 3, "{found:#?}");
    let output = market.attempt(&["verify", &market.name()])?;
    ensure!(said(&output).contains("3 checks failed, the first of them"), "{}", said(&output));
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.contains("those of damaged packs are not computed"), "{text}");
    Ok(())
}

#[test]
fn damaged_files_are_hashed_whatever_is_remembered_of_them() -> Result<()> {
    let market = Market::new()?;
    market.run(&["pull", &market.name()])?;
    let object =
        market.node.files()?.into_iter().find(|path| path.starts_with("objects")).context("no object")?;
    damage(&market.node.store().join(&object))?;
    one_has(&failures(&market, &market.name())?, &[object.to_str().context("an odd path")?, "is damaged"])
}

#[test]
fn the_trust_store_of_today_judges_the_seal_of_yesterday() -> Result<()> {
    let market = pulled()?;
    let certificate = market.trust_dir().join("statements/publisher.crt");
    fs::write(&certificate, Publisher::new("publisher")?.certificate.pem())?;
    one_has(&failures(&market, &market.name())?, &["the statement is not signed by any certificate"])?;
    market.trust("publisher", &market.publisher)?;
    market.demand_seals("minimum_epoch = 6")?;
    one_has(&failures(&market, &market.name())?, &["its epoch is 5", "wants 6 at least"])
}

#[test]
fn a_seal_in_the_store_that_was_exchanged_is_noticed() -> Result<()> {
    let market = pulled()?;
    let mut contents = market.contents(9);
    contents.packs[0].root_hash = "77".repeat(32).parse()?;
    let path = fs::read_dir(market.node.store().join("seals"))?.next().context("no seal")??.path();
    fs::write(&path, market.publisher.seal(contents)?.to_json())?;
    one_has(&failures(&market, &market.name())?, &["root hash", &"77".repeat(32)])?;
    fs::write(&path, "{")?;
    one_has(&failures(&market, &market.name())?, &["seal: "])
}

#[test]
fn of_a_mounted_image_the_kernel_is_asked() -> Result<()> {
    if !is_root() {
        skip("mounting needs the superuser");
        return Ok(());
    }
    let test = || -> Result<()> {
        let market = pulled()?;
        let target = market.path("mnt");
        fs::create_dir(&target)?;
        let target = target.to_str().context("an odd path")?;
        market.run(&["mount", &market.name(), target])?;
        let value = market.json(&["verify", &market.name()])?;
        ensure!(value["mounts"][0]["target"] == target && value["devices"].is_array(), "{value:#}");
        let text = String::from_utf8(market.run(&["verify", &market.name()])?.stdout)?;
        ensure!(text.contains("mounted on") && text.contains("enforced"), "{text}");
        market.run(&["umount", target])?;
        let value = market.json(&["verify", &market.name()])?;
        ensure!(value["mounts"] == json!([]), "{value:#}");
        Ok(())
    };
    Kernel::new().with_private_mounts(test).context("a mount namespace")?
}

#[test]
fn an_image_that_went_back_is_older_than_what_was_seen() -> Result<()> {
    let market = pulled()?;
    market.registry.put_image("some/app", "v1", &image(2));
    let contents = sealpack_trust::seal::StatementContents { epoch: 6, ..market.contents_of(&image(2))? };
    let seal = market.publisher.seal(contents)?;
    let (statement, bundle) = (seal.statement().bytes(), seal.bundle());
    crate::market::put_seal(&market.registry, "some/app", &image(2), statement, &bundle);
    market.run(&["pull", &market.name()])?;
    market.run(&["rollback", &market.name()])?;
    one_has(&failures(&market, &market.name())?, &["its epoch is 5", "already seen with 6"])?;
    market.run(&["verify", "--allow-rollback", &market.name()])?;
    Ok(())
}

#[test]
fn what_is_not_in_the_store_is_judged_where_it_is_and_nothing_is_made() -> Result<()> {
    let market = Market::new()?;
    let seal = market.publish(&market.seal(5)?);
    let before = market.node.state()?;
    let value = market.json(&["verify", &market.name()])?;
    ensure!(value["in_store"] == false && value["root_hashes_computed"] == false, "{value:#}");
    ensure!(
        value["judgements"][0]["label"] == seal && value["judgements"][0]["accepted"] == true,
        "{value:#}"
    );
    let text = String::from_utf8(market.run(&["verify", &market.name()])?.stdout)?;
    ensure!(text.contains("not computed, as the image is not in the store"), "{text}");
    // Who asked may have meant an image that is gone.
    let output = market.run(&["verify", &market.name()])?;
    let first = format!("remark: the store has no image {}: what the registry has is judged", market.name());
    ensure!(said(&output).lines().next().is_some_and(|line| line.starts_with(&first)), "{}", said(&output));
    let quiet = String::from_utf8(market.run(&["verify", "--quiet", &market.name()])?.stdout)?;
    let first = quiet.lines().next().context("nothing is said")?;
    ensure!(first.ends_with("not in the store: judged where it is"), "{quiet}");
    // One that does not count beside one that does is no failure.
    market.publish(&Publisher::new("other")?.seal(market.contents(7))?);
    assert_eq!(failures(&market, &market.name())?, Vec::<String>::new());
    fs::remove_dir_all(market.trust_dir().join("statements"))?;
    let found = failures(&market, &market.name())?;
    ensure!(found.len() >= 2, "{found:#?}");
    market.node.is_as(&before)
}
