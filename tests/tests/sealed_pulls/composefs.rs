//! Artifacts of the composefs project beside an image: published with its seal, and checked when it is pulled.

use super::market::{Market, REPOSITORY, said};
use anyhow::{Context, Result, ensure};
use sealpack_format::Algorithm;
use sealpack_format::verity::fsverity_digest;
use sealpack_test_registry::digest_of;
use serde_json::{Value, json};
use std::fs;

const ARTIFACT_TYPE: &str = "application/vnd.composefs.metadata.v1";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// Puts an artifact into the registry that says `digest` of the image's config.
fn publish(market: &Market, digest: &str, subject: &str) -> String {
    let empty = json!({ "mediaType": EMPTY_TYPE, "digest": market.registry.put_blob("{}"), "size": 2 });
    let mut layer = empty.clone();
    layer["annotations"] = json!({ "composefs.config.fsverity-sha256-12": digest });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": ARTIFACT_TYPE,
        "config": empty, "layers": [layer],
        "subject": { "mediaType": MANIFEST_TYPE, "digest": subject, "size": market.image.manifest.len() },
    });
    market.registry.put_manifest(REPOSITORY, "composefs", MANIFEST_TYPE, manifest.to_string())
}

fn outcomes(pulled: &Value) -> Result<Vec<(&str, &str, bool)>> {
    let claims = pulled["composefs"].as_array().context("no claims")?;
    claims
        .iter()
        .map(|claim| {
            let text = |key: &str| claim[key].as_str().context("no text");
            Ok((text("part")?, text("outcome")?, claim["signature"].is_string()))
        })
        .collect()
}

#[test]
fn the_artifact_is_published_with_the_seal_and_checked_by_pulls() -> Result<()> {
    let market = Market::new()?;
    let [key, certificate] =
        ["key", "crt"].map(|name| market.path("signer").join(name).display().to_string());
    fs::create_dir(market.path("signer"))?;
    market.run(&["key", "new", "--type", "p256", "--key", &key, "--cert", &certificate])?;
    let name = market.name();
    let seal = ["seal", &name, "--key", &key, "--cert", &certificate];
    let made = market.json(&[&seal[..], &["--pull", "--push", "--composefs-artifact"]].concat())?;
    let digest = made["published"]["composefs_artifact"].as_str().context("no artifact")?.to_owned();
    let pulled = market.json(&["pull", &name])?;
    let expected = ["manifest", "config", "merged"].map(|part| (part, "holds", true));
    ensure!(outcomes(&pulled)? == expected, "{pulled:#}");
    ensure!(pulled["composefs"][0]["in"].as_str().is_some_and(|place| place.contains(&digest)), "{pulled:#}");
    let pushed = market.run(&["seal", "push", &name])?;
    ensure!(!said(&pushed).contains("is another image there now"), "{}", said(&pushed));
    // Without a key there are digests all the same, in an artifact of its own.
    let pushed = market.json(&["seal", "push", &name, "--composefs-artifact"])?;
    ensure!(pushed["composefs_artifact"].as_str().is_some_and(|other| other != digest), "{pushed:#}");
    let pulled = market.json(&["pull", &name])?;
    let unsigned = outcomes(&pulled)?.into_iter().filter(|(_, _, is_signed)| !is_signed).count();
    ensure!((outcomes(&pulled)?.len(), unsigned) == (6, 3), "{pulled:#}");
    Ok(())
}

#[test]
fn an_artifact_that_says_a_wrong_digest_is_refused() -> Result<()> {
    let market = Market::new()?;
    let wrong = fsverity_digest(Algorithm::Sha256, b"another config").to_string();
    let digest = publish(&market, &wrong, &market.manifest());
    let right = fsverity_digest(Algorithm::Sha256, &market.image.config).to_string();
    market.refuses(&[], &[&digest, &wrong, &right])?;
    market.run(&["pull", &market.name(), "--no-composefs-check"])?;
    Ok(())
}

#[test]
fn an_artifact_about_another_image_is_passed_over() -> Result<()> {
    let market = Market::new()?;
    let digest =
        publish(&market, &fsverity_digest(Algorithm::Sha256, b"x").to_string(), &digest_of(b"another"));
    // A list that names it nevertheless.
    let list = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": MANIFEST_TYPE, "digest": digest, "size": 1, "artifactType": ARTIFACT_TYPE }],
    });
    let tag = market.manifest().replace(':', "-");
    let bytes = list.to_string();
    market.registry.put_manifest(REPOSITORY, &tag, "application/vnd.oci.image.index.v1+json", bytes);
    let output = market.run(&["pull", &market.name()])?;
    ensure!(said(&output).contains(&digest) && said(&output).contains("passed over"), "{}", said(&output));
    Ok(())
}

/// Whoever could write to a registry could keep a sealed image from everybody with an artifact that nobody had signed.
#[test]
fn a_claim_of_nobody_does_not_stop_a_sealed_image() -> Result<()> {
    let market = Market::new()?;
    market.demand_seals("")?;
    market.publish(&market.seal(5)?);
    let wrong = fsverity_digest(Algorithm::Sha256, b"another config").to_string();
    let digest = publish(&market, &wrong, &market.manifest());
    let remark = said(&market.run(&["pull", &market.name()])?);
    ensure!([&digest, &wrong].iter().all(|word| remark.contains(*word)), "{remark}");
    ensure!(remark.contains("as its seal says"), "{remark}");
    let pulled = market.json(&["pull", &market.name()])?;
    ensure!(outcomes(&pulled)? == [("config", "wrong", false)], "{pulled:#}");
    // A digest that is none, and one of the image's, is no better.
    publish(&market, "sha256:none", &market.manifest());
    market.run(&["pull", &market.name()])?;
    Ok(())
}

/// A seal that is not the image's helps no claim.
#[test]
fn a_wrong_claim_beside_an_unusable_seal_refuses() -> Result<()> {
    let market = Market::new()?;
    let stranger = super::market::Publisher::new("stranger")?;
    market.publish(&stranger.seal(market.contents(5))?);
    let wrong = fsverity_digest(Algorithm::Sha256, b"another config").to_string();
    let digest = publish(&market, &wrong, &market.manifest());
    market.refuses(&[], &[&digest, &wrong])
}
