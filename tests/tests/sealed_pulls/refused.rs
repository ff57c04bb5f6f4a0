//! Seals that must not be used. Where seals are demanded, the pull is refused by name, and the store stays as it was.

use crate::market::{Market, Publisher, changed, image, put_seal, said};
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Action, Fault, Image, Registry, digest_of};
use sealpack_tests::layout::architecture;
use sealpack_tests::refusal::{Exit, judge_output};
use sealpack_trust::seal::{Seal, SealedPack, SealingKeys, Signed, Statement, StatementContents};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, SystemTime};

/// A market where an unsealed image is refused.
fn strict() -> Result<Market> {
    let market = Market::new()?;
    market.demand_seals("")?;
    Ok(market)
}

/// A pull is refused with these words, the digest of the seal among them, and without the rule it says why the seal is
/// not used.
fn is_refused(market: &Market, seal: &str, words: &[&str]) -> Result<()> {
    let all = [words, &[seal, "must be sealed (the rule for"]].concat();
    market.refuses(&[], &all).context("demanded by the rules")?;
    fs::remove_file(market.trust_dir().join("rules.toml"))?;
    let all = [words, &[seal, "must be sealed (it is required now)"]].concat();
    market.refuses(&["--require", "sealed"], &all).context("demanded by --require")?;
    let output = market.run(&["pull", &market.name()])?;
    for word in words {
        ensure!(said(&output).contains(word), "{word}: {}", said(&output));
    }
    let value = market.json(&["inspect", &market.name()])?;
    ensure!(value["seal"].is_null(), "a seal was kept that must not be used: {value}");
    Ok(())
}

#[test]
fn an_image_without_a_seal_where_one_is_demanded() -> Result<()> {
    let market = strict()?;
    market.refuses(&[], &["must be sealed (the rule for", "it has no seal"])?;
    ensure!(market.registry.count("/blobs/sha256") < 20, "layers were fetched in vain");
    Ok(())
}

/// A registry cannot make a revoked image good by leaving its seal out.
#[test]
fn a_revoked_image_without_its_seal_where_none_is_demanded() -> Result<()> {
    let market = Market::new()?;
    let contents = market.contents(1);
    for revoked in [contents.metadata[0].root_hash, contents.packs[0].root_hash] {
        let revocation = format!("[[root_hash]]\nroot_hash = \"{revoked}\"\nreason = \"it bites\"\n");
        fs::write(market.trust_dir().join("revoked.toml"), revocation)?;
        let words = ["must not be pulled", &revoked.to_string(), "is revoked: it bites"];
        market.refuses(&["--objects", "packs"], &words)?;
    }
    Ok(())
}

/// Whoever revokes a pack means what is in it. Kept as files the same contents came in, stayed, and were called good.
#[test]
fn a_revoked_root_hash_stops_the_image_in_whichever_form_it_is_kept() -> Result<()> {
    let market = Market::new()?;
    let contents = market.contents(1);
    for revoked in [contents.metadata[0].root_hash, contents.packs[0].root_hash] {
        let revocations = market.trust_dir().join("revoked.toml");
        let revocation = format!("[[root_hash]]\nroot_hash = \"{revoked}\"\nreason = \"it bites\"\n");
        let words = [&revoked.to_string(), "is revoked: it bites"];
        fs::write(&revocations, &revocation)?;
        market.refuses(&["--objects", "files"], &words)?;

        // One that came before it was revoked.
        fs::write(&revocations, "")?;
        market.run(&["pull", "--objects", "files", &market.name()])?;
        fs::write(&revocations, &revocation)?;
        let target = tempfile::tempdir()?;
        let directory = target.path().to_str().context("a path in UTF-8")?;
        for command in [
            &["convert", &market.name(), "--to", "packs"][..],
            &["mount", &market.name(), directory],
            &["seal", "prepare", &market.name(), "--out", &format!("{directory}/out")],
        ] {
            judge_output(&market.attempt(command)?, Exit::Refused, &words)?;
        }
        let report = market.attempt(&["verify", &market.name()])?;
        assert_eq!(report.status.code(), Some(3));
        let text = String::from_utf8_lossy(&report.stdout);
        assert!(text.contains("is revoked: it bites"), "{text}");
        market.run(&["rm", &market.name()])?;
        market.run(&["gc", "--keep-previous", "0"])?;
        fs::write(&revocations, "")?;
    }
    Ok(())
}

/// A seal that counts for one of the two names only is held to the layers, too.
#[test]
fn a_seal_of_other_bytes_for_the_name_that_the_image_gets() -> Result<()> {
    let market = Market::new()?;
    let local = "registry.example/prod/app:1";
    market.rules("[[namespace]]\nprefix = \"registry.example\"\nrequire = \"sealed\"\n")?;
    market.publish(&market.seal(9)?);
    let mut contents = StatementContents { names: vec![local.parse()?], ..market.contents(5) };
    contents.packs[0].root_hash = "7".repeat(64).parse()?;
    let bad = market.publish(&market.publisher.seal(contents)?);
    market.refuses(&["--objects", "packs", "--name", local], &[&bad, "is not what the layers"])
}

/// Where all but one place is for sealed images, that place gives no unsealed one the name of another.
#[test]
fn an_unsealed_image_from_where_that_is_allowed_under_a_name_from_where_it_is_not() -> Result<()> {
    let market = Market::new()?;
    for (default, words) in [("sealed", "must be sealed (the default"), ("refuse", "must not be pulled")] {
        let host = market.registry.host();
        market.rules(&format!(
            "default = \"{default}\"\n[[namespace]]\nprefix = \"{host}\"\nrequire = \"allow\"\n"
        ))?;
        market
            .refuses(&["--name", "registry.example/prod/app:1"], &["registry.example/prod/app:1", words])?;
        market.run(&["pull", &market.name()])?;
        market.run(&["rm", &market.name()])?;
    }
    Ok(())
}

#[test]
fn a_name_that_the_rules_refuse_is_not_even_asked_for() -> Result<()> {
    let market = Market::new()?;
    market.publish(&market.seal(1)?);
    market.rules("default = \"refuse\"")?;
    let before = market.registry.requests().len();
    market.refuses(&[], &["must not be pulled: the default of the rules refuses it"])?;
    assert_eq!(market.registry.requests().len(), before, "it was asked for");
    Ok(())
}

#[test]
fn a_seal_for_another_image() -> Result<()> {
    let market = strict()?;
    let other = digest_of(b"another manifest");
    let contents = StatementContents { manifest: other.parse()?, ..market.contents(1) };
    let seal = market.publish(&market.publisher.seal(contents)?);
    is_refused(&market, &seal, &["it is the seal of the image", &other, &market.manifest()])
}

#[test]
fn a_whole_seal_of_another_image_under_the_same_name() -> Result<()> {
    let market = strict()?;
    let seal = market.publisher.seal(market.contents_of(&image(7))?)?;
    let seal = market.publish(&seal);
    is_refused(&market, &seal, &["it is the seal of the image", &market.manifest()])
}

#[test]
fn a_valid_seal_for_another_name() -> Result<()> {
    for (name, words) in [
        (format!("{}/some/other:v1", "registry.example"), "not for"),
        ("docker.io/some/app:v1".to_owned(), "not for"),
    ] {
        let market = strict()?;
        let contents = StatementContents { names: vec![name.parse()?], ..market.contents(1) };
        let seal = market.publish(&market.publisher.seal(contents)?);
        is_refused(&market, &seal, &[&format!("it may be used for {name}"), words])?;
    }
    Ok(())
}

#[test]
fn a_valid_seal_for_another_tag_of_the_repository() -> Result<()> {
    let market = strict()?;
    let other = format!("{}/some/app:v2", market.registry.host());
    let contents = StatementContents { names: vec![other.parse()?], ..market.contents(1) };
    let seal = market.publish(&market.publisher.seal(contents)?);
    // By digest, any name of the repository will do.
    let by_digest = format!("{}/some/app@{}", market.registry.host(), market.manifest());
    market.run(&["pull", &by_digest])?;
    market.run(&["rm", &by_digest])?;
    market.run(&["gc"])?;
    is_refused(&market, &seal, &[&other, "another tag of the same repository"])
}

#[test]
fn a_valid_seal_for_another_repository_is_none_by_digest_either() -> Result<()> {
    let market = strict()?;
    let contents = StatementContents { names: vec!["docker.io/some/app:v1".parse()?], ..market.contents(1) };
    market.publish(&market.publisher.seal(contents)?);
    let by_digest = format!("{}/some/app@{}", market.registry.host(), market.manifest());
    market.refuses_source(&by_digest, &[], &["it may be used for docker.io/some/app:v1, not for"])
}

#[test]
fn a_valid_seal_for_another_platform() -> Result<()> {
    let market = strict()?;
    let contents = StatementContents { platform: "linux/s390x".to_owned(), ..market.contents(1) };
    let seal = market.publish(&market.publisher.seal(contents)?);
    let here = format!("not for linux/{}", architecture());
    is_refused(&market, &seal, &["it is the seal of an image for linux/s390x", &here])
}

#[test]
fn a_statement_with_one_byte_changed() -> Result<()> {
    let market = strict()?;
    let seal = market.seal(1_000_000)?;
    let text = seal.statement().text().replace("\"epoch\":1000000", "\"epoch\":9000000");
    ensure!(text != seal.statement().text());
    let seal = market.publish_parts(text.as_bytes(), &seal.bundle());
    is_refused(&market, &seal, &["a signature of the statement is bad"])
}

#[test]
fn a_statement_that_is_not_in_the_canonical_form() -> Result<()> {
    let market = strict()?;
    let seal = market.seal(1)?;
    let text = seal.statement().text().replacen(':', ": ", 1);
    let seal = market.publish_parts(text.as_bytes(), &seal.bundle());
    is_refused(&market, &seal, &["canonical"])
}

#[test]
fn a_signature_swapped_with_anothers() -> Result<()> {
    let market = strict()?;
    let seal = market.seal(1)?;
    let bundle = changed(&seal.bundle(), |bundle| {
        let hashes: Vec<String> =
            bundle["root_hashes"].as_object().into_iter().flatten().map(|(hash, _)| hash.clone()).collect();
        let (one, other) =
            (bundle["root_hashes"][&hashes[0]].take(), bundle["root_hashes"][&hashes[1]].take());
        bundle["root_hashes"][&hashes[0]] = other;
        bundle["root_hashes"][&hashes[1]] = one;
    })?;
    let seal = market.publish_parts(seal.statement().bytes(), &bundle);
    is_refused(&market, &seal, &["a signature of root hash", "is bad"])
}

#[test]
fn a_missing_signature() -> Result<()> {
    let market = strict()?;
    let seal = market.seal(1)?;
    let first = seal.statement().root_hashes().next().context("no root hash")?.to_string();
    let bundle = changed(&seal.bundle(), |bundle| {
        bundle["root_hashes"].as_object_mut().map(|hashes| hashes.remove(&first));
    })?;
    let digest = market.publish_parts(seal.statement().bytes(), &bundle);
    is_refused(&market, &digest, &[&first, "signature"])?;

    let market = strict()?;
    let seal = market.seal(1)?;
    let bundle = changed(&seal.bundle(), |bundle| bundle["statement"] = json!([]))?;
    let digest = market.publish_parts(seal.statement().bytes(), &bundle);
    is_refused(&market, &digest, &["statement", "signature"])
}

#[test]
fn a_root_hash_that_the_layers_do_not_give() -> Result<()> {
    let other = "5a".repeat(32);
    let change_pack = |contents: &mut StatementContents| -> Result<()> {
        let pack = contents.packs[1].clone();
        contents.packs[1] = SealedPack { root_hash: other.parse()?, ..pack };
        Ok(())
    };
    let change_metadata = |contents: &mut StatementContents| -> Result<()> {
        contents.metadata[0].root_hash = other.parse()?;
        Ok(())
    };
    for change in [&change_pack as &dyn Fn(&mut StatementContents) -> Result<()>, &change_metadata] {
        for is_demanded in [true, false] {
            let market = Market::new()?;
            if is_demanded {
                market.demand_seals("")?;
            }
            let mut contents = market.contents(1);
            change(&mut contents)?;
            let seal = market.publish(&market.publisher.seal(contents)?);
            let words = [&*seal, "is not what the layers of", &market.name(), &other];
            market.refuses(&[], &words)?;
            ensure!(market.json(&["images"])?["images"].as_array().is_some_and(|images| images.len() == 1));
        }
    }
    Ok(())
}

#[test]
fn a_pack_too_few() -> Result<()> {
    let market = strict()?;
    let mut contents = market.contents(1);
    let pack = contents.packs.pop().context("no pack")?;
    let seal = market.publish(&market.publisher.seal(contents)?);
    market.refuses(&[], &[&seal, "it has no pack of layer", &pack.layers[0].to_string()])
}

#[test]
fn an_unknown_version_and_a_critical_field_that_is_not_known() -> Result<()> {
    let market = strict()?;
    let seal = market.seal(1)?;
    let text = seal.statement().text();
    let newer = text.replace("\"version\":1", "\"version\":2");
    let digest = market.publish_parts(newer.as_bytes(), &seal.bundle());
    is_refused(&market, &digest, &["version 2"])?;

    let market = strict()?;
    let critical = changed(text.as_bytes(), |statement| {
        statement["critical"] = json!(["expires"]);
        statement["expires"] = json!("2027-01-01T00:00:00Z");
    })?;
    // As whoever knows the field would sign it.
    let signed = resigned(&market.publisher, &critical)?;
    let digest = market.publish_parts(&critical, &signed);
    is_refused(&market, &digest, &["expires"])?;

    let market = strict()?;
    let format =
        changed(text.as_bytes(), |statement| statement["formats"]["pack"] = json!("sealpack-pack-9"))?;
    let digest = market.publish_parts(&format, &resigned(&market.publisher, &format)?);
    is_refused(&market, &digest, &["sealpack-pack-9"])
}

/// A bundle of good signatures over a statement that this version does not read.
fn resigned(publisher: &Publisher, statement: &[u8]) -> Result<Vec<u8>> {
    let sign = |content: &[u8]| -> Result<Value> {
        let pair = publisher.pair();
        let der = sealpack_trust::pkcs7::sign_detached(pair.signer, pair.certificate, content)?;
        Ok(json!([base64(&der)]))
    };
    let parsed: Value = serde_json::from_slice(statement)?;
    let hashes = parsed["metadata"].as_array().into_iter().chain(parsed["packs"].as_array()).flatten();
    let mut root_hashes = serde_json::Map::new();
    for hash in hashes.filter_map(|part| part["root_hash"].as_str()) {
        root_hashes.insert(hash.to_owned(), sign(hash.as_bytes())?);
    }
    let bundle = json!({"root_hashes": root_hashes, "statement": sign(statement)?, "version": 1});
    Ok(bundle.to_string().into_bytes())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number =
            chunk.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[test]
fn a_signer_who_is_not_known() -> Result<()> {
    let market = strict()?;
    let seal = market.publish(&Publisher::new("somebody")?.seal(market.contents(1))?);
    is_refused(
        &market,
        &seal,
        &[
            "the statement is not signed by any certificate that the trust store has for statements",
            "somebody",
        ],
    )
}

#[test]
fn a_signer_of_statements_does_not_count_for_packs() -> Result<()> {
    let market = strict()?;
    let other = Publisher::new("other")?;
    let keys = SealingKeys { packs: other.pair(), statement: market.publisher.pair() };
    let seal = market.publish(&Seal::sign(Statement::new(market.contents(1))?, &keys)?);
    is_refused(
        &market,
        &seal,
        &["root hash", "is not signed by any certificate that the trust store has for packs"],
    )
}

#[test]
fn a_signer_outside_the_rules() -> Result<()> {
    let market = Market::new()?;
    market.trust("site", &Publisher::new("site")?)?;
    market.demand_seals("signed_by = [\"site\"]")?;
    let seal = market.publish(&market.seal(1)?);
    let words = ["the statement is signed by publisher, but the rule for", "wants the signature of site"];
    market.refuses(&[], &[&words[..], &[&seal]].concat())
}

#[test]
fn a_signer_whose_certificate_has_expired_or_is_not_valid_yet() -> Result<()> {
    let later = SystemTime::now() + Duration::from_hours(24 * 30);
    for (publisher, words) in [
        (Publisher::expired("old")?, ["whose certificate", "expired"]),
        (Publisher::valid_from("early", later)?, ["whose certificate", "not valid"]),
    ] {
        let market = strict()?;
        market.trust("known", &publisher)?;
        let seal = market.publish(&publisher.seal(market.contents(1))?);
        is_refused(&market, &seal, &[&words[..], &["is signed by known"]].concat())?;
    }
    Ok(())
}

#[test]
fn a_signer_who_was_revoked() -> Result<()> {
    let market = strict()?;
    let seal = market.publish(&market.seal(1)?);
    let revoked = format!(
        "[[certificate]]\nsha256 = \"{}\"\nname = \"publisher\"\nreason = \"the key was stolen\"\nrevoked = 2026-11-01\n",
        market.publisher.certificate.fingerprint()
    );
    fs::write(market.trust_dir().join("revoked.toml"), revoked)?;
    is_refused(&market, &seal, &["is signed by publisher", "revoked", "the key was stolen"])
}

#[test]
fn a_root_hash_that_was_revoked() -> Result<()> {
    let market = strict()?;
    let seal = market.seal(1)?;
    let root_hash = seal.statement().root_hashes().last().context("no root hash")?.to_string();
    let seal = market.publish(&seal);
    let revoked = format!(
        "[[root_hash]]\nroot_hash = \"{root_hash}\"\nimage = \"some/app:v1\"\nreason = \"a hole\"\nrevoked = 2026-11-01\n"
    );
    fs::write(market.trust_dir().join("revoked.toml"), revoked)?;
    let words = [&root_hash, "is revoked", "a hole", &seal];
    market.refuses(&[], &[&words[..], &["must be sealed (the rule for"]].concat())?;
    // By what is sealed, it is the image that was revoked, whether or not it needs a seal.
    market.rules("")?;
    market.refuses(&[], &[&words[..], &["must not be pulled"]].concat())?;
    // What nobody signed whose signatures count says nothing.
    fs::remove_dir_all(market.trust_dir().join("statements"))?;
    market.refuses(&["--objects", "files"], &["must not be pulled", &root_hash, "is revoked"])
}

#[test]
fn a_bundle_that_is_none_and_an_artifact_that_is_no_seal() -> Result<()> {
    let market = strict()?;
    let seal = market.publish_parts(market.seal(1)?.statement().bytes(), b"{}");
    is_refused(&market, &seal, &["is not used"])?;
    let market = strict()?;
    let seal = market.publish_parts(b"{", &market.seal(1)?.bundle());
    is_refused(&market, &seal, &["is not used"])
}

#[test]
fn a_list_of_referrers_that_names_something_about_another_image() -> Result<()> {
    let market = strict()?;
    let (other, seal) = (image(3), market.seal(1)?);
    let digest = put_seal(&market.registry, "some/app", &other, seal.statement().bytes(), &seal.bundle());
    let bytes = market.registry.manifest("some/app", &digest).context("it is not there")?;
    let entry = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": bytes.len(),
        "artifactType": sealpack_trust::seal::ARTIFACT_TYPE,
    });
    market.registry.pretend_referrer(&market.manifest(), entry);
    let other = digest_of(&other.manifest);
    is_refused(&market, &digest, &["its subject is", &other])
}

#[test]
fn a_registry_that_serves_another_manifest_the_second_time() -> Result<()> {
    let market = strict()?;
    market.publish(&market.seal(1)?);
    let here = format!("linux/{}", architecture());
    let index = Image::index(&[(here.as_str(), &market.image)]);
    market.registry.put_manifest("some/app", "v1", "application/vnd.oci.image.index.v1+json", index);
    let headers = vec![("Content-Type".to_owned(), market.image.manifest_type.to_owned())];
    let body = String::from_utf8(image(6).manifest)?;
    let answer = Action::Answer { status: 200, headers, body };
    market.registry.fault(Fault::new(&format!("/manifests/{}", market.manifest()), answer));
    market.refuses(&[], &[&market.manifest()])
}

#[test]
fn a_seal_whose_blobs_are_others() -> Result<()> {
    let market = strict()?;
    let seal = market.seal(1)?;
    let digest = market.publish(&seal);
    let statement = digest_of(seal.statement().bytes());
    market.registry.put_blob_as(&statement, vec![b'x'; seal.statement().bytes().len()]);
    market.refuses(&[], &[&digest, &statement])
}

#[test]
fn another_image_does_not_get_a_name_that_stands_for_sealed_ones() -> Result<()> {
    let market = strict()?;
    let elsewhere = Registry::start();
    elsewhere.put_image("evil/app", "v1", &image(4));
    let source = format!("{}/evil/app:v1", elsewhere.host());
    // Its own name is free, the one that it is to get is not.
    market.run(&["pull", &source])?;
    market.refuses_source(&source, &["--name", &market.name()], &["must be sealed (the rule for"])
}

#[test]
fn rules_that_cannot_be_read_stop_everything() -> Result<()> {
    let market = Market::new()?;
    market.rules("defualt = \"sealed\"")?;
    let output = market.attempt(&["pull", &market.name()])?;
    let words = ["rules.toml", "defualt"];
    ensure!(output.status.code() == Some(1), "{}", said(&output));
    ensure!(words.iter().all(|word| said(&output).contains(word)), "{}", said(&output));
    Ok(())
}

#[test]
fn signatures_count_only_over_what_they_are_said_to_be_over() -> Result<()> {
    // A signature of a root hash is none of the statement, though the same key made both.
    let market = strict()?;
    let seal = market.seal(1)?;
    let hash = *seal.statement().root_hashes().next().context("no root hash")?;
    let of_hash = base64(&seal.signatures_of(Signed::RootHash(hash))[0]);
    let bundle = changed(&seal.bundle(), |bundle| bundle["statement"] = json!([of_hash]))?;
    let digest = market.publish_parts(seal.statement().bytes(), &bundle);
    is_refused(&market, &digest, &["a signature of the statement is bad"])
}
