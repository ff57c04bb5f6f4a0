//! Older images under the same name, and the way back to them on purpose.

use crate::market::{Market, Publisher, image, put_seal, said};
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Action, Fault, Image, digest_of};
use sealpack_tests::refusal::{Exit, judge_output};
use sealpack_trust::seal::StatementContents;
use std::fs;
use std::time::Duration;

/// Gives the name to another image, with a seal of that epoch. Answers with the manifest's digest.
fn move_on(market: &Market, number: u8, epoch: u64) -> Result<(Image, String)> {
    let next = image(number);
    market.registry.put_image("some/app", "v1", &next);
    let contents = sealpack_trust::seal::StatementContents { epoch, ..market.contents_of(&next)? };
    let seal = market.publisher.seal(contents)?;
    put_seal(&market.registry, "some/app", &next, seal.statement().bytes(), &seal.bundle());
    let digest = digest_of(&next.manifest);
    Ok((next, digest))
}

fn epoch(market: &Market) -> Result<serde_json::Value> {
    Ok(market.json(&["history", &market.name()])?["remembered_epoch"]["epoch"].clone())
}

fn current(market: &Market) -> Result<String> {
    let value = market.json(&["inspect", &market.name()])?;
    Ok(value["manifest"].as_str().context("no manifest")?.to_owned())
}

#[test]
fn an_older_validly_sealed_image_is_refused_unless_it_is_asked_for() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    let old = market.manifest();
    market.run(&["pull", &market.name()])?;
    let (_, new) = move_on(&market, 2, 6)?;
    market.run(&["pull", &market.name()])?;
    assert_eq!(current(&market)?, new);
    // The registry serves the old one again.
    market.registry.put_image("some/app", "v1", &market.image);
    let words = ["its epoch is 5, but", "was already seen with 6", "--allow-rollback"];
    market.refuses(&[], &words)?;
    market.refuses(&["--require", "sealed"], &words[..2])?;
    market.run(&["pull", "--allow-rollback", &market.name()])?;
    assert_eq!(current(&market)?, old);
    ensure!(epoch(&market)? == 6, "what is remembered has fallen");
    // Without leave it is refused still, and by digest it never was a question.
    market.refuses(&[], &words)?;
    market.run(&["pull", &format!("{}@{old}", market.name().trim_end_matches(":v1"))])?;
    Ok(())
}

#[test]
fn what_is_remembered_outlives_the_name_and_the_contents() -> Result<()> {
    let market = Market::new()?;
    let (_, _) = move_on(&market, 2, 6)?;
    market.run(&["pull", &market.name()])?;
    market.run(&["rm", &market.name()])?;
    market.run(&["gc"])?;
    market.registry.put_image("some/app", "v1", &market.image);
    market.publish(&market.seal(5)?);
    market.refuses(&[], &["was already seen with 6"])
}

#[test]
fn an_image_whose_seal_is_gone_is_a_rollback() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", &market.name()])?;
    market.registry.put_image("some/app", "v1", &image(2));
    let words = ["was sealed before, with epoch 5, but it has no seal", "--allow-rollback"];
    market.refuses(&[], &words)?;
    // From a file or another registry under the same name it is the same.
    let elsewhere = sealpack_test_registry::Registry::start();
    elsewhere.put_image("some/app", "v1", &image(2));
    let source = format!("{}/some/app:v1", elsewhere.host());
    market.refuses_source(&source, &["--name", &market.name()], &words)?;
    market.run(&["pull", "--allow-rollback", &market.name()])?;
    ensure!(epoch(&market)? == 5, "what is remembered has fallen");
    Ok(())
}

/// The registry decides how long a pull takes, and so which of two ends last.
#[test]
fn an_unsealed_image_that_is_slow_does_not_come_after_a_sealed_one() -> Result<()> {
    let market = Market::new()?;
    let layer = digest_of(&market.image.layers[0].blob);
    let slow = Action::StallAfter(10, Duration::from_secs(8));
    market.registry.fault(Fault::new(&format!("/blobs/{layer}"), slow).times(1));
    let (name, before) = (market.name(), market.registry.count(&layer));
    std::thread::scope(|scope| -> Result<()> {
        let slow = scope.spawn(|| market.attempt(&["pull", &name]));
        for _ in 0..500 {
            if market.registry.count(&layer) > before {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        market.publish(&market.seal(5)?);
        market.run(&["pull", &name])?;
        let slow = slow.join().ok().context("the thread ended")??;
        judge_output(&slow, Exit::Refused, &["was seen with a seal of epoch 5 meanwhile", "has none"])
    })
}

#[test]
fn the_rules_can_name_the_lowest_epoch() -> Result<()> {
    let market = Market::new()?;
    market.demand_seals("minimum_epoch = 17")?;
    market.publish(&market.seal(16)?);
    market.refuses(&["--allow-rollback"], &["its epoch is 16, but the rule for", "wants 17 at least"])?;
    market.publish(&market.seal(17)?);
    market.run(&["pull", &market.name()])?;
    Ok(())
}

#[test]
fn rollback_goes_back_to_the_image_with_the_epoch_before_without_fetching_anything() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", &market.name()])?;
    let first = market.manifest();
    let (_, second) = move_on(&market, 2, 6)?;
    market.run(&["pull", &market.name()])?;
    let (_, third) = move_on(&market, 3, 7)?;
    market.run(&["pull", &market.name()])?;
    let before = market.registry.requests().len();
    let value = market.json(&["rollback", &market.name()])?;
    ensure!(value["manifest"] == second && value["manifest_before"] == third, "{value}");
    ensure!(value["epoch"] == 6 && value["epoch_before"] == 7, "{value}");
    market.run(&["rollback", &market.name()])?;
    assert_eq!(current(&market)?, first);
    let refused = market.attempt(&["rollback", &market.name()])?;
    ensure!(refused.status.code() == Some(1), "{}", said(&refused));
    ensure!(said(&refused).contains("no image with a seal of an epoch before 5"), "{}", said(&refused));
    // Forth again, by digest.
    market.run(&["rollback", &market.name(), "--to", &third[..20]])?;
    assert_eq!(current(&market)?, third);
    assert_eq!(market.registry.requests().len(), before, "something was fetched");
    ensure!(epoch(&market)? == 7, "what is remembered has changed");
    let unknown = market.attempt(&["rollback", &market.name(), "--to", &"0".repeat(12)])?;
    ensure!(said(&unknown).contains("is not in the history of"), "{}", said(&unknown));
    let short = market.attempt(&["rollback", &market.name(), "--to", "1234"])?;
    ensure!(said(&short).contains("give at least 8 digits of a digest"), "{}", said(&short));
    let history = market.json(&["history", &market.name()])?;
    ensure!(history["current"]["epoch"] == 7, "{history}");
    let epochs = history["earlier"].as_array().context("no history")?.iter().map(|entry| &entry["epoch"]);
    ensure!(epochs.clone().any(|epoch| *epoch == 5) && epochs.clone().any(|epoch| *epoch == 6), "{history}");
    market.run(&["fsck"])?;
    Ok(())
}

#[test]
fn rollback_passes_over_what_was_revoked_or_is_refused_by_now() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", &market.name()])?;
    let (_, second) = move_on(&market, 2, 6)?;
    market.run(&["pull", &market.name()])?;
    let (_, third) = move_on(&market, 3, 7)?;
    market.run(&["pull", &market.name()])?;
    let seals = fs::read_dir(market.node.store().join("seals"))?.collect::<Result<Vec<_>, _>>()?;
    let is_second = |entry: &&fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&second[7..]);
    let seal = fs::read(seals.iter().find(is_second).context("no seal")?.path())?;
    let revoked = sealpack_trust::seal::Seal::parse(&seal)?.statement().metadata()[0].root_hash;
    fs::write(
        market.trust_dir().join("revoked.toml"),
        format!("[[root_hash]]\nroot_hash = \"{revoked}\"\n"),
    )?;
    let output = market.run(&["rollback", &market.name()])?;
    ensure!(said(&output).contains(&format!("root hash {revoked} is revoked")), "{}", said(&output));
    assert_eq!(current(&market)?, market.manifest());
    market.run(&["rollback", &market.name(), "--to", &third[..20]])?;
    market.demand_seals("minimum_epoch = 6")?;
    let output = market.attempt(&["rollback", &market.name()])?;
    ensure!(said(&output).contains("wants 6 at least"), "{}", said(&output));
    assert_eq!(current(&market)?, third);
    Ok(())
}

#[test]
fn rollback_passes_over_what_a_revoked_key_has_sealed() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", &market.name()])?;
    let stolen = Publisher::new("stolen")?;
    market.trust("stolen", &stolen)?;
    for (number, epoch, publisher) in [(2, 6, &stolen), (3, 7, &market.publisher)] {
        let next = image(number);
        market.registry.put_image("some/app", "v1", &next);
        let seal = publisher.seal(StatementContents { epoch, ..market.contents_of(&next)? })?;
        put_seal(&market.registry, "some/app", &next, seal.statement().bytes(), &seal.bundle());
        market.run(&["pull", &market.name()])?;
    }
    market.run(&["trust", "revoke", "stolen", "--reason", "it was stolen"])?;
    let output = market.run(&["rollback", &market.name()])?;
    ensure!(said(&output).contains("revoked: it was stolen"), "{}", said(&output));
    assert_eq!(current(&market)?, market.manifest());
    Ok(())
}

#[test]
fn rollback_passes_over_what_is_not_sealed() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", &market.name()])?;
    for number in [2, 3] {
        market.registry.put_image("some/app", "v1", &image(number));
        market.run(&["pull", "--allow-rollback", &market.name()])?;
    }
    let value = market.json(&["rollback", &market.name()])?;
    ensure!(value["manifest"] == market.manifest() && value["epoch_before"].is_null(), "{value}");
    Ok(())
}
