//! Images that say something about their composefs digests: what is true is taken, what is not is refused.

use crate::support::*;
use anyhow::{Context, Result};
use sealpack_format::verity::fsverity_digest;
use sealpack_format::{Algorithm, ObjectId};
use sealpack_test_registry::{Image, ImageLayer, digest_of};
use sealpack_tests::composefs::Tools;
use sealpack_tests::layer_tar::archive;
use sealpack_tests::oracle::{self, Cfsctl};
use sealpack_tests::program::Sealpack;
use sealpack_tests::refusal::Exit;
use sealpack_tests::{paths, skip};
use serde_json::{Value, json};
use std::fs;

const MERGED: &str = "composefs.merged.erofs.v1.fsverity-sha256-12";
const LABEL: &str = "containers.composefs.fsverity";

/// An image with an attribute that only composefs-rs's second mode keeps.
fn other() -> Image {
    let noted = file("usr/noted", &text(41, 5000)).xattr("user.note", b"kept");
    image(vec![ImageLayer::gzip(&archive(&[directory("usr/"), noted]))])
}

/// `image` with an annotation in its manifest.
fn annotated(image: Image, name: &str, value: &str) -> Result<Image> {
    with_manifest(image, |manifest| manifest["annotations"][name] = value.into())
}

/// `image` with a label in its config.
fn labelled(image: Image, name: &str, value: &str) -> Result<Image> {
    with_config(image, |config| config["config"]["Labels"][name] = value.into())
}

/// The digest of the metadata image of [`other`] in both modes.
fn digests() -> Result<[String; 2]> {
    let case = Case::without_store()?;
    case.sealpack.run(["pull", &case.layout(&other())?, "--name", "other"])?;
    let digest = case.sealpack.image_digest("other")?;
    let image = case.sealpack.store().join(format!("images/{digest}.erofs"));
    let tools = Tools::ours()?;
    let dump = String::from_utf8(tools.run("composefs-info", ["dump".as_ref(), image.as_os_str()])?.stdout)?;
    let with_note = |line: &str| match line.starts_with("/usr/noted ") {
        true => format!("{line} user.note=kept\n"),
        false => format!("{line}\n"),
    };
    let path = case.path("dump");
    fs::write(&path, dump.lines().map(with_note).collect::<String>())?;
    let options = ["--print-digest-only", "--min-version=1", "--max-version=1", "--from-file"];
    let arguments = options.iter().map(AsRef::as_ref).chain([path.as_os_str()]);
    let with_user = String::from_utf8(tools.run("mkcomposefs", arguments)?.stdout)?.trim().to_owned();
    anyhow::ensure!(with_user != digest, "the attribute makes no difference");
    Ok([digest, with_user])
}

/// Pulls the image, and returns what comes of the only thing that it says, as the pull and `inspect` show it.
fn outcome(sealpack: &Sealpack, source: &str) -> Result<Value> {
    let pulled = sealpack.json(["pull", source, "--name", "claims"])?["composefs"].take();
    let shown = sealpack.json(["inspect", "claims"])?["composefs"].take();
    assert_eq!((pulled.as_array().map(Vec::len), &pulled), (Some(1), &shown), "{pulled:#}");
    let text = String::from_utf8(sealpack.run(["inspect", "claims"])?.stdout)?;
    let name = pulled[0]["name"].as_str().context("no name")?;
    let line = text.lines().find(|line| line.starts_with("composefs ") && line.contains(name));
    line.with_context(|| format!("{name} is not in {text}"))?;
    Ok(pulled[0].clone())
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> String {
    fsverity_digest(algorithm, bytes).to_string()
}

#[test]
fn what_an_image_says_rightly_is_shown_with_it() -> Result<()> {
    let case = Case::new()?;
    let [plain, with_user] = digests()?;
    for (stated, told) in [(&plain, "holds"), (&with_user, "holds-with-user-xattrs")] {
        for image in [annotated(other(), MERGED, stated)?, labelled(other(), LABEL, stated)?] {
            let outcome = outcome(&case.sealpack, &case.layout(&image)?)?;
            assert_eq!(
                (&outcome["outcome"], &outcome["fsverity_digest"]),
                (&told.into(), &stated.as_str().into())
            );
        }
    }
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let name = format!("composefs.config.fsverity-{algorithm}-12");
        let image = other();
        let right = digest(algorithm, &image.config);
        let image = with_manifest(image, |manifest| manifest["config"]["annotations"][&name] = right.into())?;
        assert_eq!(outcome(&case.sealpack, &case.layout(&image)?)?["outcome"], "holds");
    }
    Ok(())
}

#[test]
fn a_digest_that_is_not_the_images_is_refused_and_leaves_nothing() -> Result<()> {
    let case = Case::new()?;
    let ([right, _], wrong) = (digests()?, digest(Algorithm::Sha256, b"another image"));
    let words = [wrong.as_str(), right.as_str(), "but it is", "hint: ", "--no-composefs-check"];
    let image = annotated(other(), MERGED, &wrong)?;
    case.refuses_image(Exit::Refused, &image, &[&words[..], &["the manifest: composefs.merged"]].concat())?;
    let image = labelled(other(), LABEL, &wrong)?;
    case.refuses_image(
        Exit::Refused,
        &image,
        &[&words[..], &["the config's labels: ", "inherited"]].concat(),
    )?;
    // An image of that name stays, in either form.
    let source = case.layout(&image)?;
    case.sealpack.refuses(Exit::Refused, ["pull", &source, "--name", "good"], &words)?;
    case.sealpack.run(["convert", "good", "--to", "packs"])?;
    case.sealpack.refuses(Exit::Refused, ["pull", &source, "--name", "good"], &words)
}

#[test]
fn a_wrong_digest_of_a_document_is_refused_before_anything_is_fetched() -> Result<()> {
    let case = Case::new()?;
    let wrong = digest(Algorithm::Sha256, b"");
    for (place, name) in [("/config", "composefs.config.fsverity-sha256-12"), ("", MERGED)] {
        let value = if place.is_empty() { "not a digest" } else { &wrong };
        let mut image = with_manifest(other(), |manifest| {
            let at = manifest.pointer_mut(place).expect("it is in every manifest");
            at["annotations"][name] = value.into();
        })?;
        // Were the layer looked at, this would be the error.
        image.layers[0].blob = b"no layer".to_vec();
        case.sealpack.refuses(Exit::Refused, ["pull", &case.layout(&image)?, "--name", "bad"], &[name])?;
    }
    Ok(())
}

#[test]
fn what_the_index_says_of_an_image_counts_too() -> Result<()> {
    let case = Case::new()?;
    let image = other();
    let [right, _] = digests()?;
    let manifest_name = "composefs.manifest.fsverity-sha256-12";
    let manifest_right = digest(Algorithm::Sha256, &image.manifest);
    let wrong = digest(Algorithm::Sha256, b"another");
    let source = |name: &str, value: &str| -> Result<String> {
        let dir = tempfile::tempdir_in(paths::fixtures())?.keep();
        let annotations = json!({"org.opencontainers.image.ref.name": TAG, name: value});
        let entry = json!({
            "mediaType": image.manifest_type, "digest": digest_of(&image.manifest), "size": image.manifest.len(),
            "annotations": annotations,
        });
        write_index(&dir, &[&image], &json!({"schemaVersion": 2, "manifests": [entry]}))?;
        Ok(layout_source(&dir))
    };
    for (name, value) in [(MERGED, &right), (manifest_name, &manifest_right)] {
        let pulled = case.sealpack.json(["pull", &source(name, value)?, "--name", "claims"])?;
        assert_eq!(pulled["composefs"][0]["outcome"], "holds", "{pulled:#}");
        assert_eq!(pulled["composefs"][0]["in"], "the index");
        let words = ["the index: ", name, &wrong];
        case.sealpack.refuses(Exit::Refused, ["pull", &source(name, &wrong)?, "--name", "bad"], &words)?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_checked_is_said_to_be_unchecked() -> Result<()> {
    let case = Case::new()?;
    let (short, long) = (digest(Algorithm::Sha256, b"x"), digest(Algorithm::Sha512, b"x"));
    for (name, value, why) in [
        ("composefs.merged.erofs.v1.fsverity-sha512-12", &long, "the store has sha256"),
        ("composefs.merged.erofs.v2.fsverity-sha256-12", &short, "only format 1 is"),
        ("composefs.merged.bootable.erofs.v1.fsverity-sha256-12", &short, "what composefs-boot makes is not"),
    ] {
        let outcome = outcome(&case.sealpack, &case.layout(&annotated(other(), name, value)?)?)?;
        assert_eq!((&outcome["outcome"], &outcome["problem"]), (&"unchecked".into(), &why.into()), "{name}");
    }
    Ok(())
}

#[test]
fn an_image_with_wrong_digests_can_be_had_by_those_who_ask_for_it() -> Result<()> {
    let case = Case::new()?;
    let wrong = digest(Algorithm::Sha256, b"another image");
    let source = case.layout(&labelled(other(), LABEL, &wrong)?)?;
    let pulled = case.sealpack.json(["pull", "--no-composefs-check", &source, "--name", "claims"])?;
    assert_eq!(pulled["composefs"], json!([]));
    let shown = case.sealpack.json(["inspect", "claims"])?["composefs"].take();
    assert_eq!((&shown[0]["outcome"], &shown[0]["fsverity_digest"]), (&"wrong".into(), &wrong.into()));
    Ok(())
}

#[test]
fn signatures_in_annotations_are_shown_with_their_signer() -> Result<()> {
    let case = Case::new()?;
    let [right, _] = digests()?;
    let image = annotated(other(), MERGED, &right)?;
    let id: ObjectId = right.parse()?;
    assert_eq!(sealpack_format::verity::signed_bytes(&id).len(), 12 + 32);
    for (signature, shown) in [("MAA=", "unreadable: "), ("bm90IERFUg==", "unreadable: ")] {
        let image = annotated(image.clone(), &format!("{MERGED}.sig"), signature)?;
        let outcome = outcome(&case.sealpack, &case.layout(&image)?)?;
        let found = outcome["signature"].as_str().unwrap_or_default();
        assert!(outcome["outcome"] == "holds" && found.starts_with(shown), "{outcome:#}");
    }
    let image = annotated(image, &format!("{MERGED}.sig"), "?")?;
    case.refuses_image(Exit::Refused, &image, &["its signature is not base64"])
}

#[test]
fn both_modes_are_those_of_composefs_rs() -> Result<()> {
    let Some(cfsctl) = Cfsctl::installed() else {
        skip("composefs-rs's cfsctl is not installed (`cargo xtask oracle` does it)");
        return Ok(());
    };
    let case = Case::without_store()?;
    let source = case.layout(&other())?;
    for (algorithm, name) in [(oracle::Algorithm::Sha256, MERGED), (oracle::Algorithm::Sha512, "")] {
        for (xattrs, told) in [("allowlist-only", "holds"), ("keep-user-xattrs", "holds-with-user-xattrs")] {
            let theirs = cfsctl.digest_of_source(&source, algorithm, xattrs)?;
            let name = if name.is_empty() { MERGED.replace("256", "512") } else { name.to_owned() };
            let sealpack = Sealpack::new()?;
            sealpack.run(["pull", "--digest", algorithm.name(), &source, "--name", "first"])?;
            let image = annotated(other(), &name, &theirs)?;
            assert_eq!(outcome(&sealpack, &case.layout(&image)?)?["outcome"], told, "{theirs}");
        }
    }
    Ok(())
}
