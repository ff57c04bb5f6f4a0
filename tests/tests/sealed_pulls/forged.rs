//! Parts of an image that are whole, and those of another: what a mount would use, and what rules are held against, is all
//! compared.

use crate::market::{Market, changed, image, said};
use anyhow::{Context, Result, ensure};
use sealpack_kernel::Kernel;
use sealpack_tests::command::{is_root, run};
use sealpack_tests::layout::architecture;
use sealpack_tests::skip;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// What a verb with `failures` or `problems` in its document lists, as texts.
fn listed(market: &Market, arguments: &[&str]) -> Result<Vec<String>> {
    let output = market.attempt(&[&["--json"], arguments].concat())?;
    let value: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{arguments:?}: {}", said(&output)))?;
    let all = value["failures"].as_array().or_else(|| value["problems"].as_array()).context("no list")?;
    Ok(all.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect())
}

/// Each of these verbs lists something with these words.
#[track_caller]
fn all_say(market: &Market, verbs: &[&str], words: &[&str]) -> Result<()> {
    for verb in verbs {
        let name = market.name();
        let arguments = if *verb == "fsck" { vec!["fsck"] } else { vec![*verb, &name] };
        let found = listed(market, &arguments)?;
        let has = |one: &String| words.iter().all(|word| one.contains(word));
        ensure!(found.iter().any(has), "{verb}: {words:?} in none of {found:#?}");
    }
    Ok(())
}

/// The same verbs list nothing at all.
fn none_say(market: &Market) -> Result<()> {
    for arguments in [vec!["verify", &market.name()], vec!["fsck"], vec!["inspect", &market.name()]] {
        let found = listed(market, &arguments)?;
        ensure!(found.is_empty(), "{arguments:?}: {found:#?}");
    }
    Ok(())
}

fn pulled() -> Result<Market> {
    let market = Market::new()?;
    market.publish(&market.seal(5)?);
    market.run(&["pull", &market.name()])?;
    none_say(&market)?;
    Ok(market)
}

fn file_of(market: &Market, name: &str) -> Result<PathBuf> {
    let refs = fs::read_dir(market.node.store().join("refs"))?;
    let paths = refs.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.into_iter().find(|path| path.to_string_lossy().contains(name)).context("no such name")
}

/// Changes the record of the image's name.
fn forge(market: &Market, change: impl FnOnce(&mut Value)) -> Result<()> {
    let path = file_of(market, "some%2Fapp")?;
    Ok(fs::write(&path, changed(&fs::read(&path)?, change)?)?)
}

fn record_of(market: &Market, name: &str) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(file_of(market, name)?)?)?)
}

/// A mount puts the hash area under the device; a changed one was called good until the kernel met it.
#[test]
fn a_hash_area_that_is_not_the_metadata_images_is_bad() -> Result<()> {
    let market = pulled()?;
    let id = record_of(&market, "some%2Fapp")?["image"].as_str().context("no image")?.to_owned();
    let id = id.rsplit(':').next().context("no digest")?.to_owned();
    let area = market.node.store().join(format!("images/{id}.verity"));
    if let Ok(mut bytes) = fs::read(&area) {
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        fs::remove_file(&area)?;
        fs::write(&area, bytes)?;
    } else {
        fs::write(&area, [0; 8192])?;
    }
    fs::set_permissions(&area, fs::Permissions::from_mode(0o444))?;
    all_say(&market, &["verify"], &["its hash area: ", &format!("{id}.verity is not that of it")])?;
    all_say(&market, &["fsck"], &["damaged_hash_area"])
}

/// A pin on an index was satisfied by whatever index a record named.
#[test]
fn an_index_that_does_not_list_the_manifest_is_bad_and_satisfies_no_pin() -> Result<()> {
    let market = pulled()?;
    let manifest = |digest: String| {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        json!({ "mediaType": media_type, "digest": digest, "size": 7,
            "platform": { "os": "linux", "architecture": architecture() } })
    };
    let index = |entries: Value| {
        json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries }).to_string()
    };
    let put = |index: &str| -> Result<String> {
        let digest = sealpack_test_registry::digest_of(index.as_bytes());
        let path = market.node.store().join("blobs").join(digest.replace(':', "/"));
        fs::write(&path, index)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444))?;
        Ok(digest)
    };
    let genuine = put(&index(json!([manifest(market.manifest())])))?;
    let other = put(&index(json!([manifest(format!("sha256:{}", "ab".repeat(32)))])))?;
    let nested = put(&index(json!([
        { "mediaType": INDEX_TYPE, "digest": format!("sha256:{}", "cd".repeat(32)), "size": 7 }
    ])))?;
    let pin = |digest: &str| {
        market.rules(&format!("[[pin]]\nname = \"{}\"\ndigest = \"{digest}\"\n", market.name()))
    };
    forge(&market, |record| record["index"] = genuine.as_str().into())?;
    pin(&genuine)?;
    none_say(&market)?;
    forge(&market, |record| record["index"] = other.as_str().into())?;
    pin(&other)?;
    all_say(&market, &["verify", "fsck", "inspect"], &[&other, "does not list the manifest"])?;
    all_say(&market, &["verify"], &["rules for", "pinned to", &other])?;
    // What could be in an index that is not kept is not said to be bad, but does not count either.
    forge(&market, |record| record["index"] = nested.as_str().into())?;
    pin(&nested)?;
    all_say(&market, &["verify"], &["rules for", "pinned to", &nested])?;
    ensure!(listed(&market, &["fsck"])?.is_empty());
    Ok(())
}

#[test]
fn a_record_with_another_images_parts_is_bad() -> Result<()> {
    let market = pulled()?;
    let before = record_of(&market, "some%2Fapp")?;
    let other = record_of(&market, "other")?;
    let verbs = ["verify", "fsck", "inspect"];
    let taken = |fields: &[&str]| {
        forge(&market, |record| {
            *record = before.clone();
            fields.iter().for_each(|field| record[field] = other[field].clone());
        })
    };
    taken(&["config"])?;
    all_say(&market, &verbs, &["the manifest names the config"])?;
    taken(&["manifest"])?;
    all_say(&market, &verbs, &["the manifest names the config"])?;
    taken(&["manifest", "config"])?;
    all_say(&market, &verbs, &["other layers"])?;
    // Everything but the seal is the other's.
    taken(&["manifest", "config", "layers", "image", "image_size_bytes"])?;
    all_say(&market, &["verify"], &["seal"])?;
    all_say(&market, &["fsck"], &["missing_seal"])?;
    taken(&["image_size_bytes"])?;
    forge(&market, |record| record["image_size_bytes"] = 4096.into())?;
    all_say(&market, &verbs, &["bytes, not 4096"])?;
    forge(&market, |record| {
        *record = before.clone();
        record["layers"][0]["blob_size_bytes"] = 1.into();
    })?;
    all_say(&market, &verbs, &["other layers"])?;
    forge(&market, |record| {
        *record = before.clone();
        record["platform"] = "linux/s390x".into();
    })?;
    let own = format!("the config is for linux/{}", architecture());
    all_say(&market, &verbs, &["linux/s390x", &own])?;
    // Nothing of it was written back.
    forge(&market, |record| *record = before.clone())?;
    none_say(&market)
}

/// Only `verify` made the metadata image again.
#[test]
fn fsck_finds_the_metadata_image_of_another_image() -> Result<()> {
    let market = Market::new()?;
    market.run(&["pull", &market.name()])?;
    let other = record_of(&market, "other")?;
    forge(&market, |record| {
        for field in ["image", "image_size_bytes"] {
            record[field] = other[field].clone();
        }
    })?;
    all_say(&market, &["verify", "fsck"], &["layers"])?;
    all_say(&market, &["fsck"], &["wrong_record", "its layers make"])?;
    // It is set aside, and a pull brings it back.
    market.attempt(&["fsck", "--repair"])?;
    market.run(&["pull", &market.name()])?;
    none_say(&market)
}

/// What is remembered of a merge is of the bytes of the layers' records, not of the layers that they are named for.
#[test]
fn fsck_finds_the_record_of_another_layer_after_it_has_seen_the_right_one() -> Result<()> {
    let market = pulled()?;
    let facts = market.node.store().join("facts");
    let seen = fs::read(&facts)?;
    none_say(&market)?;
    ensure!(fs::read(&facts)? == seen && !seen.is_empty(), "the same is remembered again, or nothing is");
    let top = |name: &str| -> Result<PathBuf> {
        let record = record_of(&market, name)?;
        let diff_id = record["layers"][1]["diff_id"].as_str().context("no second layer")?.replace(':', "/");
        Ok(market.node.store().join("layers").join(diff_id))
    };
    let (path, other) = (top("some%2Fapp")?, fs::read(top("other")?)?);
    let right = fs::read(&path)?;
    ensure!(right != other);
    let put = |bytes: &[u8]| {
        fs::remove_file(&path)?;
        fs::write(&path, bytes)
    };
    // A whole one, its checksum right.
    put(&other)?;
    for _ in 0..2 {
        all_say(&market, &["fsck"], &["wrong_record", "its layers make"])?;
    }
    ensure!(fs::read(&facts)? == seen, "what is wrong is remembered");
    put(&right)?;
    none_say(&market)
}

#[test]
fn a_seal_that_was_swapped_or_taken_away_is_bad() -> Result<()> {
    let market = pulled()?;
    let path = fs::read_dir(market.node.store().join("seals"))?.next().context("no seal")??.path();
    let kept = fs::read(&path)?;
    // Another of the same image by the same publisher, with another statement.
    fs::write(&path, market.seal(9)?.to_json())?;
    all_say(&market, &["verify"], &["seal", "another statement"])?;
    all_say(&market, &["fsck"], &["damaged_seal", "another statement"])?;
    all_say(&market, &["inspect"], &["the seal", "another statement"])?;
    // That of another image, under a name that says so.
    let other = market.publisher.seal(market.contents_of(&image(3))?)?;
    fs::write(&path, other.to_json())?;
    all_say(&market, &["verify", "inspect"], &["seal", "not of"])?;
    all_say(&market, &["fsck"], &["damaged_seal"])?;
    fs::remove_file(&path)?;
    all_say(&market, &["verify"], &["seal", "is missing"])?;
    all_say(&market, &["fsck"], &["missing_seal"])?;
    fs::write(&path, kept)?;
    none_say(&market)
}

/// Whoever may mount may give any source: an overlay of two directories was listed as a mount of the image, and `umount`
/// took it away as one.
#[test]
fn a_foreign_overlay_with_our_source_is_no_mount_of_ours() -> Result<()> {
    if !is_root() {
        skip("mounting needs the superuser");
        return Ok(());
    }
    let test = || -> Result<()> {
        let market = pulled()?;
        let image = record_of(&market, "some%2Fapp")?["image"].as_str().context("no image")?.to_owned();
        let id = image.rsplit(':').next().context("no digest")?.to_owned();
        let [one, two, foreign, own] = ["one", "two", "foreign", "own"].map(|name| market.path(name));
        [&one, &two, &foreign, &own].into_iter().try_for_each(fs::create_dir)?;
        let lowers = format!("lowerdir={}:{}", one.display(), two.display());
        let source = format!("sealpack:{id}");
        run(Command::new("mount").args(["-t", "overlay", &source, "-o", &lowers]).arg(&foreign))?;
        let [foreign, own] = [&foreign, &own].map(|path| path.display().to_string());
        let value = market.json(&["verify", &market.name()])?;
        ensure!(value["mounts"] == json!([]), "{value:#}");
        let text = String::from_utf8(market.run(&["verify", &market.name()])?.stdout)?;
        ensure!(text.contains(&format!("{foreign} calls itself a mount of the image")), "{text}");
        let output = market.attempt(&["umount", &foreign])?;
        ensure!(!output.status.success() && said(&output).contains("left alone"), "{}", said(&output));
        market.run(&["mount", &market.name(), &own])?;
        let value = market.json(&["verify", &market.name()])?;
        ensure!(value["mounts"].as_array().is_some_and(|all| all.len() == 1), "{value:#}");
        ensure!(value["mounts"][0]["target"] == own.as_str(), "{value:#}");
        market.run(&["umount", &own])?;
        run(Command::new("umount").arg(&foreign)).map(drop)
    };
    Kernel::new().with_private_mounts(test).context("a mount namespace")?
}
