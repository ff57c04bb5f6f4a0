//! Images in packs, on the command line.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, run};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::program::Sealpack;
use sealpack_tests::{images, paths, skip};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A store with one image in packs, of three layers of which the last has no objects.
fn with_packs() -> Result<(Sealpack, tempfile::TempDir)> {
    let file = |path: &str, content: Vec<u8>| Entry::new(path, Member::File(content));
    let layers = [
        archive(&[Entry::new("usr/", Member::Directory), file("usr/large", vec![7; 300_000])]),
        archive(&[file("other", b"another text ".repeat(400)), file("empty", Vec::new())]),
        archive(&[file("tiny", b"inline".to_vec())]),
    ];
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    let image = images::at(&dir.path().join("image"), &layers.map(|layer| (layer, Packing::Zstd)))?;
    let sealpack = Sealpack::new()?;
    sealpack.run(["pull", "--objects", "packs", &image.source(), "--name", "image"])?;
    Ok((sealpack, dir))
}

/// The packs of the image, as `inspect` lists them.
fn packs(sealpack: &Sealpack) -> Result<Vec<(PathBuf, Value)>> {
    let shown = sealpack.json(["inspect", "image"])?;
    ensure!(shown["kept_in"] == "packs", "{shown:#}");
    let layers = shown["layers"].as_array().context("no layers")?.clone();
    ensure!(
        layers.len() == 3 && layers[2]["pack"].is_null(),
        "a layer without objects has no pack: {shown:#}"
    );
    let path = |pack: &Value| -> Result<PathBuf> {
        let root_hash = pack["root_hash"].as_str().context("no root hash")?;
        Ok(sealpack.store().join(format!("packs/sha256/{root_hash}.pack")))
    };
    let packs = layers.iter().map(|layer| layer["pack"].clone()).filter(|pack| !pack.is_null());
    packs.map(|pack| Ok((path(&pack)?, pack))).collect()
}

#[test]
fn packs_are_listed_with_their_root_hashes_and_sizes_and_their_contents_are_printed() -> Result<()> {
    let (sealpack, _dir) = with_packs()?;
    let packs = packs(&sealpack)?;
    ensure!(packs.len() == 2);
    for (path, pack) in &packs {
        ensure!(pack["size_bytes"].as_u64() == Some(fs::metadata(path)?.len()), "{pack}");
    }
    ensure!(sealpack.run(["cat", "image", "/usr/large"])?.stdout == vec![7; 300_000]);
    ensure!(sealpack.run(["cat", "image", "/other"])?.stdout == b"another text ".repeat(400));
    ensure!(sealpack.run(["cat", "image", "/tiny"])?.stdout == b"inline");
    let listed = sealpack.json(["images"])?;
    ensure!(listed["images"][0]["packs"] == 2 && listed["images"][0]["kept_in"] == "packs", "{listed:#}");
    let checked = sealpack.json(["fsck"])?;
    ensure!(checked["clean"] == true && checked["checked"]["packs"]["count"] == 2, "{checked:#}");
    Ok(())
}

#[test]
fn an_image_is_converted_and_back_and_the_other_form_collected() -> Result<()> {
    let (sealpack, _dir) = with_packs()?;
    let before = packs(&sealpack)?;
    let converted = sealpack.json(["convert", "image", "--to", "files"])?;
    ensure!(converted["kept_in_before"] == "packs" && converted["added"]["objects"] == 2, "{converted:#}");
    let removed = sealpack.json(["gc"])?;
    ensure!(
        removed["removed"]["packs"]["count"] == 2 && before.iter().all(|(path, _)| !path.exists()),
        "{removed:#}"
    );
    ensure!(sealpack.run(["cat", "image", "/other"])?.stdout == b"another text ".repeat(400));
    let text = sealpack.run(["convert", "image", "--to", "packs"])?.stdout;
    let text = String::from_utf8(text)?;
    ensure!(text.contains("is kept in packs now: 2 packs added") && text.contains("sealpack gc"), "{text}");
    ensure!(packs(&sealpack)? == before, "the same packs as those that were pulled");
    let text = String::from_utf8(sealpack.run(["convert", "image", "--to", "packs"])?.stdout)?;
    ensure!(text.contains("is kept in packs already"), "{text}");
    ensure!(sealpack.json(["gc"])?["removed"]["objects"]["count"] == 2);
    ensure!(sealpack.json(["fsck"])?["clean"] == true);
    Ok(())
}

#[test]
fn a_changed_pack_is_found_named_and_brought_back() -> Result<()> {
    let (sealpack, dir) = with_packs()?;
    let (path, _) = packs(&sealpack)?.remove(0);
    let good = fs::read(&path)?;
    let mut bad = good.clone();
    bad[10_000] ^= 1;
    fs::remove_file(&path)?;
    fs::write(&path, bad)?;
    let refused = sealpack.attempt(["cat", "image", "/usr/large"])?;
    ensure!(refused.status.code() == Some(3) && refused.stdout.is_empty(), "{refused:?}");
    let found = sealpack.attempt(["fsck", "--repair"])?;
    let text = String::from_utf8(found.stdout)?;
    ensure!(found.status.code() == Some(3) && text.contains(&path.display().to_string()), "{text}");
    ensure!(text.contains("needed by docker.io/library/image:latest"), "{text}");
    let source = images::Image::in_layout(dir.path().join("image"), "latest").source();
    sealpack.run(["pull", &source, "--name", "image"])?;
    ensure!(fs::read(&path)? == good, "the name keeps its form, and the pack its bytes");
    ensure!(sealpack.json(["fsck"])?["clean"] == true);
    Ok(())
}

#[test]
fn a_store_of_sha512_says_that_it_has_no_packs() -> Result<()> {
    let (_other, dir) = with_packs()?;
    let source = images::Image::in_layout(dir.path().join("image"), "latest").source();
    let sealpack = Sealpack::new()?;
    let refused =
        sealpack.attempt(["pull", "--digest", "sha512", "--objects", "packs", &source, "--name", "image"])?;
    ensure!(refused.status.code() == Some(2) && !sealpack.store().exists(), "{refused:?}");
    sealpack.run(["pull", "--digest", "sha512", &source, "--name", "image"])?;
    for arguments in [
        &["convert", "image", "--to", "packs"][..],
        &["pull", "--objects", "packs", &source, "--name", "image"],
    ] {
        let refused = sealpack.attempt(arguments)?;
        let text = String::from_utf8(refused.stderr)?;
        ensure!(refused.status.code() == Some(1) && text.contains("packs need sha256"), "{text}");
    }
    Ok(())
}

#[test]
fn other_tools_accept_the_packs_and_the_hash_area_of_a_pull() -> Result<()> {
    let (sealpack, _dir) = with_packs()?;
    for (path, pack) in packs(&sealpack)? {
        if find("fsck.erofs").is_some() {
            run(Command::new("fsck.erofs").arg(&path))?;
        } else {
            skip("fsck.erofs is not installed");
        }
        let offset = pack["filesystem_blocks"].as_u64().context("no number of blocks")? * 4096;
        let root_hash = pack["root_hash"].as_str().context("no root hash")?;
        verify(&path, &path, offset, root_hash)?;
    }
    let image = sealpack.image_digest("image")?;
    let file = |ending: &str| sealpack.store().join(format!("images/{image}.{ending}"));
    ensure!(file("verity").exists(), "an image in packs has the hash area of its metadata image");
    Ok(())
}

fn verify(data: &std::path::Path, area: &std::path::Path, offset: u64, root_hash: &str) -> Result<()> {
    if find("veritysetup").is_none() {
        skip("veritysetup is not installed");
        return Ok(());
    }
    let mut command = Command::new("veritysetup");
    command.arg("verify").arg(data).arg(area).arg(root_hash).arg(format!("--hash-offset={offset}"));
    run(&mut command).map(drop)
}
