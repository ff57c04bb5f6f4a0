//! Seals that are used, and what is done without.

use crate::market::{Market, Publisher, image, image_for, put_seal, said};
use anyhow::{Context, Result, ensure};
use sealpack_oci::artifact::{Artifact, Part};
use sealpack_oci::environment::Environment;
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::registry::ClientOptions;
use sealpack_oci::target::Target;
use sealpack_oci::transport::Naming;
use sealpack_test_registry::{Action, Fault, Image, Registry, digest_of};
use sealpack_tests::command::find;
use sealpack_tests::layout::architecture;
use sealpack_tests::refusal::{Exit, judge_output};
use sealpack_tests::{images, paths, registry, skip};
use sealpack_trust::seal::{
    ARTIFACT_TYPE, SIGNATURES_MEDIA_TYPE, STATEMENT_MEDIA_TYPE, Seal, StatementContents,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn an_image_with_a_good_seal_comes_in_packs_and_its_seal_and_epoch_are_kept() -> Result<()> {
    let market = Market::new()?;
    let seal = market.seal(17)?;
    let digest = market.publish(&seal);
    let value = market.json(&["pull", &market.name()])?;
    ensure!(value["kept_in"] == "packs" && value["judgement"]["label"] == digest, "{value}");
    ensure!(
        value["seal"]["epoch"] == 17 && value["judgement"]["trusted_signers"] == json!(["publisher"]),
        "{value}"
    );
    ensure!(value["seals_passed_over"] == json!([]), "{value}");
    ensure!(market.stored_seal()? == seal, "another seal is in the store than the one that was published");
    let history = market.json(&["history", &market.name()])?;
    ensure!(history["remembered_epoch"]["epoch"] == 17, "{history}");
    ensure!(history["remembered_epoch"]["manifest"] == market.manifest(), "{history}");
    market.node.run(["fsck"])?;
    // And again, with everything there.
    let text = String::from_utf8(market.run(&["pull", "--require", "sealed", &market.name()])?.stdout)?;
    ensure!(text.contains("sealed by       publisher, as") && text.contains("epoch 17"), "{text}");
    Ok(())
}

/// A proxy, or a limit, that refuses the question for composefs digests once would otherwise make an image an unsealed one.
#[test]
fn a_registry_that_refuses_another_question_does_not_hide_a_seal() -> Result<()> {
    for fault in [
        Fault::status("composefs", 404),
        Fault::status("composefs", 400),
        Fault::answer("composefs", 200, ("Content-Type", "text/html"), "<html>"),
    ] {
        let market = Market::new()?;
        market.publish(&market.seal(17)?);
        market.registry.fault(fault);
        let value = market.json(&["pull", &market.name()])?;
        ensure!(value["seal"]["epoch"] == 17, "{value}");
        // And when it is known.
        let value = market.json(&["pull", &market.name()])?;
        ensure!(value["seal"]["epoch"] == 17, "{value}");
    }
    Ok(())
}

#[test]
fn a_seal_of_nobody_who_is_known_is_told_and_not_used() -> Result<()> {
    let market = Market::with_image(image(1), Registry::start())?;
    let digest = market.publish(&market.seal(17)?);
    let output = market.run(&["pull", &market.name()])?;
    let words = [&format!("the seal {digest} is not used"), "not signed by any certificate", "CN=publisher"];
    for word in words {
        ensure!(said(&output).contains(word), "{word}: {}", said(&output));
    }
    ensure!(String::from_utf8_lossy(&output.stdout).contains("not sealed      1 seal cannot be used"));
    let value = market.json(&["inspect", &market.name()])?;
    ensure!(value["kept_in"] == "files" && value["seal"].is_null(), "{value}");
    let value = market.json(&["pull", &market.name(), "--name", "again"])?;
    ensure!(value["seal"].is_null() && value["seals_passed_over"][0]["label"] == digest, "{value}");
    market.refuses(&["--require", "sealed"], &["must be sealed (it is required now)", &digest])
}

#[test]
fn of_several_seals_the_one_with_the_highest_epoch_is_used() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    let highest = market.publish(&market.seal(7)?);
    market.publish(&market.seal(6)?);
    let bad = market.publish(&Publisher::new("other")?.seal(market.contents(99))?);
    let value = market.json(&["pull", &market.name()])?;
    ensure!(value["judgement"]["label"] == highest && value["seal"]["epoch"] == 7, "{value}");
    ensure!(value["seals_passed_over"][0]["label"] == bad, "{value}");
    Ok(())
}

#[test]
fn the_rules_can_want_certain_signers_and_one_seal_can_have_several() -> Result<()> {
    let market = Market::new()?;
    let site = Publisher::new("site")?;
    market.trust("site", &site)?;
    market.demand_seals("signed_by = [\"publisher\", \"site\"]\nall = true")?;
    let mut seal = market.seal(1)?;
    market.publish(&seal);
    market.refuses(&[], &["must be sealed (the rule for", "wants the signature of site"])?;
    let keys = sealpack_trust::seal::SealingKeys { packs: site.pair(), statement: site.pair() };
    seal.add_signatures(&keys)?;
    market.publish(&seal);
    let value = market.json(&["pull", &market.name()])?;
    ensure!(value["judgement"]["trusted_signers"] == json!(["publisher", "site"]), "{value}");
    Ok(())
}

#[test]
fn signatures_over_the_same_statement_come_together() -> Result<()> {
    let market = Market::new()?;
    let site = Publisher::new("site")?;
    let contents = market.contents(3);
    market.publish(&market.publisher.seal(contents.clone())?);
    market.run(&["pull", &market.name()])?;
    fs::remove_file(market.trust_dir().join("statements/publisher.crt"))?;
    fs::remove_file(market.trust_dir().join("packs/publisher.crt"))?;
    market.trust("site", &site)?;
    market.publish(&site.seal(contents)?);
    let value = market.json(&["pull", &market.name()])?;
    ensure!(value["judgement"]["trusted_signers"] == json!(["site"]), "{value}");
    let signers = market.stored_seal()?.signers();
    ensure!(signers.len() == 2, "one of the two signers is lost: {signers:?}");
    Ok(())
}

#[test]
fn a_form_that_is_asked_for_is_kept_to_and_a_store_of_sha512_does_without() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(1)?);
    let output = market.run(&["pull", "--objects", "files", &market.name()])?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.contains("kept as files: the seal counts when"), "{text}");
    market.run(&["convert", &market.name(), "--to", "packs"])?;
    let value = market.json(&["inspect", &market.name()])?;
    ensure!(value["kept_in"] == "packs" && value["seal"]["signers"].is_array(), "{value}");

    let other = sealpack_tests::program::Sealpack::new()?;
    let trust = market.trust_dir().display().to_string();
    let output = other.run(["--trust", &trust, "pull", "--digest", "sha512", &market.name()])?;
    ensure!(said(&output).contains("not for stores that name objects by sha512"), "{}", said(&output));
    Ok(())
}

#[test]
fn a_mirror_may_use_the_seals_of_what_it_mirrors_if_the_rules_say_so() -> Result<()> {
    let market = Market::new()?;
    let contents = StatementContents { names: vec!["docker.io/some/app:v1".parse()?], ..market.contents(4) };
    market.publish(&market.publisher.seal(contents)?);
    let host = market.registry.host();
    market.demand_seals("")?;
    market.refuses(&[], &["it may be used for docker.io/some/app:v1, not for"])?;
    market.demand_seals(&format!("[mirrors]\n\"{host}\" = \"docker.io\""))?;
    let value = market.json(&["pull", &market.name()])?;
    ensure!(value["judgement"]["judged_for"] == "docker.io/some/app:v1", "{value}");
    // What is remembered is remembered of the name, wherever it comes from.
    let history = market.json(&["history", "docker.io/some/app:v1"])?;
    ensure!(history["remembered_epoch"]["epoch"] == 4, "{history}");
    // And of the one that the image has here, so that no tag gives that to an image without a seal.
    let output = market.attempt(&["tag", "other", &market.name()])?;
    judge_output(&output, Exit::Refused, &["had an image with a seal of epoch 4", "has none here"])?;
    market.run(&["pull", &market.name()])?;
    Ok(())
}

#[test]
fn a_pin_can_be_of_the_manifest_or_of_the_index() -> Result<()> {
    let market = Market::new()?;
    let foreign = image_for("linux/s390x", 3);
    let here = format!("linux/{}", architecture());
    let index = Image::index(&[(here.as_str(), &market.image), ("linux/s390x", &foreign)]);
    let index_type = "application/vnd.oci.image.index.v1+json";
    let index = market.registry.put_manifest("some/app", "many", index_type, index);
    let name = format!("{}/some/app:many", market.registry.host());
    let pin = |digest: &str| market.rules(&format!("[[pin]]\nname = \"{name}\"\ndigest = \"{digest}\"\n"));
    for pinned in [&index, &market.manifest()] {
        pin(pinned)?;
        market.run(&["pull", &name])?;
    }
    let record = fs::read_dir(market.node.store().join("refs"))?
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .find(|record| record.contains("app:many\""))
        .context("no record")?;
    let record: Value = serde_json::from_str(&record)?;
    ensure!(record["index"] == index, "the index is not known any more: {record}");
    pin(&digest_of(b"another"))?;
    market.refuses_source(&name, &[], &["is pinned to", &digest_of(b"another"), &index])
}

#[test]
fn a_seal_in_a_layout_counts_as_one_in_a_registry() -> Result<()> {
    let market = Market::new()?;
    let layout = market.path("layout");
    let source = format!("oci:{}", layout.display());
    let seal = market.seal(8)?;
    write_layout(&layout, &market.image, &seal)?;
    let value = market.json(&["pull", &source, "--name", &market.name()])?;
    ensure!(value["seal"]["epoch"] == 8 && value["kept_in"] == "packs", "{value}");
    // Under another name it is none.
    let output = market.run(&["pull", &source, "--name", "localhost/elsewhere:1"])?;
    ensure!(said(&output).contains("not for localhost/elsewhere:1"), "{}", said(&output));
    market.refuses_source(
        &source,
        &["--name", "localhost/elsewhere:1", "--require", "sealed"],
        &["localhost/elsewhere:1"],
    )
}

/// Otherwise whoever made the layout would say what is signed.
#[test]
fn a_layout_does_not_name_what_is_sealed() -> Result<()> {
    let market = Market::new()?;
    let layout = market.path("layout");
    write_layout(&layout, &market.image, &market.seal(8)?)?;
    let index = fs::read(layout.join("index.json"))?;
    let index = crate::market::changed(&index, |index| {
        index["manifests"][0]["annotations"] =
            json!({"io.containerd.image.name": "docker.io/library/debian:12"});
    })?;
    fs::write(layout.join("index.json"), index)?;
    let [source, key, cert] = [
        format!("oci:{}", layout.display()),
        market.path("k").display().to_string(),
        market.path("c").display().to_string(),
    ];
    market.run(&["key", "new", "--key", &key, "--cert", &cert])?;
    let seal = ["seal", &source, "--key", &key, "--cert", &cert];
    for more in ["--pull", "--all-platforms"] {
        judge_output(
            &market.attempt(&[&seal[..], &[more]].concat())?,
            Exit::Usage,
            &["is from no registry", "--name"],
        )?;
    }
    let value = market.json(&[&seal[..], &["--pull", "--name", "localhost/mine:1"]].concat())?;
    ensure!(value["seal"]["names"] == json!(["localhost/mine:1"]), "{value}");
    Ok(())
}

fn write_layout(dir: &Path, image: &Image, seal: &Seal) -> Result<()> {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let put = |bytes: &[u8]| fs::write(blobs.join(&digest_of(bytes)[7..]), bytes);
    let layers = image.layers.iter().map(|layer| &layer.blob);
    layers.chain([&image.manifest, &image.config]).try_for_each(|blob| put(blob))?;
    let artifact = artifact(image, seal);
    let mut parts = artifact.layers.iter().chain([&artifact.config]);
    parts.try_for_each(|part| put(&part.bytes))?;
    let manifest = artifact.manifest();
    put(&manifest)?;
    let index = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": image.manifest_type, "digest": digest_of(&image.manifest), "size": image.manifest.len()},
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": ARTIFACT_TYPE,
            "digest": digest_of(&manifest), "size": manifest.len(),
        },
    ]});
    fs::write(dir.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
    Ok(fs::write(dir.join("index.json"), index.to_string())?)
}

fn artifact(image: &Image, seal: &Seal) -> Artifact {
    Artifact {
        artifact_type: ARTIFACT_TYPE.to_owned(),
        subject: Some(Descriptor::of(image.manifest_type, &image.manifest)),
        config: Part::new(STATEMENT_MEDIA_TYPE, seal.statement().bytes()),
        layers: vec![Part::new(SIGNATURES_MEDIA_TYPE, seal.bundle())],
        annotations: BTreeMap::new(),
    }
}

#[test]
fn a_registry_without_a_list_of_referrers_lists_seals_by_a_tag() -> Result<()> {
    if find("docker-registry").is_none() || find("skopeo").is_none() {
        skip("docker-registry or skopeo is not installed");
        return Ok(());
    }
    let registry = registry::Registry::start(&paths::fixtures())?;
    let market = Market::new()?;
    let (layout, seal) = (market.path("layout"), market.seal(12)?);
    write_layout(&layout, &market.image, &seal)?;
    // skopeo takes a name in the layout.
    let index = fs::read_to_string(layout.join("index.json"))?;
    let mut index: Value = serde_json::from_str(&index)?;
    index["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    fs::write(layout.join("index.json"), index.to_string())?;
    registry.push(&images::Image::in_layout(layout, "v1"), "some/app:v1")?;

    let name = format!("{}/some/app:v1", registry.host());
    let seal =
        market.publisher.seal(StatementContents { names: vec![name.parse()?], ..market.contents(12) })?;
    let Target::Registry(reference) = name.parse::<Target>()? else { anyhow::bail!("{name} is no registry") };
    let target = Target::Registry(reference).open(
        None,
        &ClientOptions::default(),
        &Environment::of_process(std::env::var_os),
    )?;
    let pushed = artifact(&market.image, &seal).push(target.as_ref(), Naming::Digest)?;
    ensure!(pushed.fallback_tag.is_some(), "it has the API now: {pushed:?}");
    let value = market.json(&["pull", "--require", "sealed", &name])?;
    ensure!(value["seal"]["epoch"] == 12, "{value}");
    let value = market.json(&["verify", &name])?;
    ensure!(value["good"] == true, "{value}");
    Ok(())
}

#[test]
fn a_tag_that_moves_while_it_is_pulled_gives_one_image_with_its_own_seal() -> Result<()> {
    let market = Market::new()?;
    let digest = market.publish(&market.seal(2)?);
    let moved = image(5);
    let bytes = String::from_utf8(moved.manifest.clone())?;
    // Whoever asks for the tag a second time gets another image.
    market.registry.put_image("some/app", "moved", &moved);
    let headers = vec![("Content-Type".to_owned(), moved.manifest_type.to_owned())];
    let answer = Action::Answer { status: 200, headers, body: bytes };
    market.registry.fault(Fault::new("/v2/some/app/manifests/v1", answer).after(1));
    put_seal(&market.registry, "some/app", &moved, b"{}", b"{}");
    let value = market.json(&["pull", "--require", "sealed", &market.name()])?;
    ensure!(value["manifest"] == market.manifest() && value["judgement"]["label"] == digest, "{value}");
    Ok(())
}

#[test]
fn without_anything_that_demands_it_a_registry_that_cannot_list_referrers_is_no_hindrance() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(2)?);
    let answer = Action::Answer { status: 403, headers: Vec::new(), body: "{}".to_owned() };
    market.registry.fault(Fault::new("/referrers/", answer));
    let output = market.run(&["pull", &market.name()])?;
    ensure!(said(&output).contains("whether the image has seals is not known"), "{}", said(&output));
    market.demand_seals("")?;
    let output = market.attempt(&["pull", &market.name()])?;
    ensure!(!output.status.success() && said(&output).contains("referrers"), "{}", said(&output));
    Ok(())
}
