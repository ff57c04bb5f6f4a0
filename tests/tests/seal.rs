//! `sealpack seal`, and mounts of sealed images where the kernel may know no signatures.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, is_root, run};
use sealpack_tests::program::Sealpack;
use sealpack_tests::{images, skip};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

/// A store with an image, as an ordinary pull leaves it, and two keys.
struct Desk {
    sealpack: Sealpack,
    keys: tempfile::TempDir,
}

impl Desk {
    fn new() -> Result<Self> {
        let desk = Self { sealpack: Sealpack::new()?, keys: tempfile::tempdir()? };
        for (name, kind) in [("one", "p256"), ("two", "rsa2048")] {
            let [key, certificate] = desk.key(name)?;
            let arguments = ["key", "new", "--key", &key, "--cert", &certificate];
            desk.sealpack.run(arguments.into_iter().chain(["--type", kind, "--subject", name]))?;
        }
        desk.sealpack.run(["pull", &images::busybox()?.source(), "--name", "busybox"])?;
        Ok(desk)
    }

    /// The files of a key.
    fn key(&self, name: &str) -> Result<[String; 2]> {
        let path = |end: &str| self.keys.path().join(format!("{name}.{end}"));
        let text = |path: PathBuf| path.to_str().map(str::to_owned).context("an odd path");
        Ok([text(path("key"))?, text(path("pem"))?])
    }

    fn seal(&self, key: &str, more: &[&str]) -> Result<Output> {
        let [key, certificate] = self.key(key)?;
        let arguments = ["--json", "seal", "busybox", "--key", &key, "--cert", &certificate];
        self.sealpack.attempt(arguments.iter().chain(more))
    }

    fn sealed(&self, key: &str, more: &[&str]) -> Result<Value> {
        let output = self.seal(key, more)?;
        ensure!(output.status.success(), "{}", said(&output));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn seal_path(&self) -> Result<PathBuf> {
        let seals: Vec<_> = fs::read_dir(self.sealpack.store().join("seals"))?.collect::<Result<_, _>>()?;
        ensure!(seals.len() == 1, "there is not one seal: {seals:?}");
        Ok(seals[0].path())
    }

    fn mount(&self, more: &[&str]) -> Result<Output> {
        fs::create_dir_all(self.keys.path().join("mnt"))?;
        let target = self.keys.path().join("mnt").display().to_string();
        self.sealpack.attempt(["mount", "busybox", &target].iter().chain(more))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn who_requires_more_than_an_image_can_reach_is_told_what_to_do() -> Result<()> {
    let desk = Desk::new()?;
    let refused = desk.mount(&["--require", "signed"])?;
    ensure!(refused.status.code() == Some(3), "{}", said(&refused));
    ensure!(said(&refused).contains("`sealpack seal` puts the image into packs"), "{}", said(&refused));
    let wrong = desk.mount(&["--require", "signed", "--at-most", "verified"])?;
    ensure!(wrong.status.code() == Some(2), "{}", said(&wrong));
    Ok(())
}

#[test]
fn an_ordinary_image_is_sealed_and_its_signatures_are_openssls() -> Result<()> {
    let desk = Desk::new()?;
    let sealed = desk.sealed("one", &[])?;
    ensure!(sealed["seal"]["signers"].as_array().is_some_and(|signers| signers.len() == 1), "{sealed}");
    let hashes = [&sealed["metadata_root_hash"], &sealed["pack_root_hashes"][0]];
    let shown = desk.sealpack.json(["inspect", "busybox"])?;
    ensure!(shown["kept_in"] == "packs", "it is not in packs now: {shown}");
    for field in ["signers", "root_hash_signers", "names", "epoch", "created"] {
        ensure!(
            shown["seal"][field] == sealed["seal"][field] && !sealed["seal"][field].is_null(),
            "{field}: {shown}"
        );
    }
    let listed = desk.sealpack.json(["images"])?;
    ensure!(listed["images"][0]["sealed"] == true, "{listed}");
    desk.sealpack.run(["fsck"])?;
    desk.sealpack.run(["gc"])?;
    ensure!(desk.seal_path()?.exists(), "gc removed the seal of an image that has a name");

    if find("openssl").is_none() {
        skip("openssl is not installed");
        return Ok(());
    }
    let seal: Value = serde_json::from_slice(&fs::read(desk.seal_path()?)?)?;
    for hash in hashes {
        let hash = hash.as_str().context("no root hash")?;
        let signature = seal["signatures"]["root_hashes"][hash][0]
            .as_str()
            .with_context(|| format!("no signature of {hash}"))?;
        let [content, pkcs7] = ["content", "signature"].map(|name| desk.keys.path().join(name));
        fs::write(&content, hash)?;
        fs::write(&pkcs7, format!("-----BEGIN PKCS7-----\n{signature}\n-----END PKCS7-----\n"))?;
        let [_, certificate] = desk.key("one")?;
        let mut openssl = Command::new("openssl");
        openssl.args(["smime", "-verify", "-binary", "-inform", "pem", "-noverify", "-nointern", "-in"]);
        openssl.arg(&pkcs7).arg("-content").arg(&content).args(["-certfile", &certificate]);
        run(&mut openssl).with_context(|| format!("the signature of {hash}"))?;
    }
    Ok(())
}

#[test]
fn another_key_adds_its_signatures_and_replace_leaves_only_the_new_ones() -> Result<()> {
    let desk = Desk::new()?;
    desk.sealed("one", &[])?;
    let both = desk.sealed("two", &[])?;
    let signers = both["seal"]["signers"].as_array().context("no signers")?;
    let names = |name: &str| signers.iter().filter(|signer| signer.to_string().contains(name)).count();
    ensure!(signers.len() == 2 && names("one") == 1 && names("two") == 1, "{both}");
    let again = desk.sealed("one", &[])?;
    ensure!(again["seal"]["signers"].as_array().is_some_and(|signers| signers.len() == 2), "{again}");
    let replaced = desk.sealed("two", &["--replace"])?;
    ensure!(replaced["seal"]["signers"].as_array().is_some_and(|signers| signers.len() == 1), "{replaced}");
    Ok(())
}

#[test]
fn a_seal_says_for_which_names_and_how_old_it_is() -> Result<()> {
    let desk = Desk::new()?;
    let sealed = desk.sealed("one", &[])?;
    ensure!(sealed["seal"]["names"] == serde_json::json!(["docker.io/library/busybox:latest"]), "{sealed}");
    ensure!(sealed["seal"]["epoch"].as_u64().is_some_and(|epoch| epoch > 1_700_000_000), "{sealed}");
    // Another signature is over the same statement.
    let refused = desk.seal("two", &["--name", "registry.example.org/base/busybox:1"])?;
    ensure!(refused.status.code() == Some(1), "{}", said(&refused));
    ensure!(said(&refused).contains("is for other names") && said(&refused).contains("--replace"));
    let refused = desk.seal("two", &["--epoch", "7"])?;
    ensure!(said(&refused).contains("is for another epoch"), "{}", said(&refused));
    let names = ["--name", "registry.example.org/base/busybox:1", "--name", "busybox"];
    let replaced = desk.sealed("two", &[&names[..], &["--epoch", "7", "--replace"]].concat())?;
    let expected = ["registry.example.org/base/busybox:1", "docker.io/library/busybox:latest"];
    ensure!(
        replaced["seal"]["names"] == serde_json::json!(expected) && replaced["seal"]["epoch"] == 7,
        "{replaced}"
    );
    // Nobody signs for names that he did not think of.
    let refused = desk.seal("one", &["--epoch", "7"])?;
    let flags = "--name registry.example.org/base/busybox:1 --name docker.io/library/busybox:latest";
    ensure!(refused.status.code() == Some(1) && said(&refused).contains(flags), "{}", said(&refused));
    let again = desk.sealed("one", &names)?;
    let only = ["--name", "registry.example.org/base/busybox:1", "--replace"];
    desk.sealed("two", &only)?;
    let refused = desk.seal("one", &[])?;
    let words = "`--name registry.example.org/base/busybox:1` adds a signature to it";
    ensure!(refused.status.code() == Some(1) && said(&refused).contains(words), "{}", said(&refused));
    desk.sealed("one", &only[..2])?;
    ensure!(
        again["seal"]["names"] == replaced["seal"]["names"]
            && again["seal"]["created"] == replaced["seal"]["created"],
        "{again}"
    );
    for (wrong, word) in [
        (format!("busybox@sha256:{}", "ab".repeat(32)), "names, not digests"),
        ("Busy".to_owned(), "must be in lower case"),
    ] {
        let refused = desk.seal("one", &["--replace", "--name", &wrong])?;
        ensure!(refused.status.code() == Some(2) && said(&refused).contains(word), "{}", said(&refused));
    }
    Ok(())
}

#[test]
fn the_source_date_decides_when_a_seal_was_made() -> Result<()> {
    let desk = Desk::new()?;
    let [key, certificate] = desk.key("two")?;
    let seal_with = |date: &str, more: &[&str]| -> Result<Output> {
        let arguments = ["--json", "seal", "busybox", "--replace", "--key", &key, "--cert", &certificate];
        Ok(desk.sealpack.command([&arguments, more].concat()).env("SOURCE_DATE_EPOCH", date).output()?)
    };
    let seal = |date: &str| seal_with(date, &["--epoch", "1795804495"]);
    let output = seal("1795804495")?;
    ensure!(output.status.success(), "{}", said(&output));
    let sealed: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        sealed["seal"]["created"] == "2026-11-27T18:34:55Z" && sealed["seal"]["epoch"] == 1_795_804_495,
        "{sealed}"
    );
    let first = fs::read(desk.seal_path()?)?;
    seal("1795804495")?;
    ensure!(fs::read(desk.seal_path()?)? == first, "the same seal has other bytes (the key is RSA)");
    for wrong in ["yesterday", "-1", "999999999999"] {
        let output = seal(wrong)?;
        ensure!(output.status.code() == Some(1), "{wrong}: {}", output.status);
        ensure!(said(&output).contains("SOURCE_DATE_EPOCH"), "{}", said(&output));
    }
    // A rebuild has the date of the build before: by that, nobody could tell the older one.
    let before = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let sealed: Value = serde_json::from_slice(&seal_with("1795804495", &[])?.stdout)?;
    ensure!(sealed["seal"]["created"] == "2026-11-27T18:34:55Z", "{sealed}");
    ensure!(sealed["seal"]["epoch"].as_u64().is_some_and(|epoch| epoch >= before), "{sealed}");
    Ok(())
}

#[test]
fn the_statement_can_have_a_key_of_its_own() -> Result<()> {
    let desk = Desk::new()?;
    let [key, certificate] = desk.key("two")?;
    let sealed = desk.sealed("one", &["--statement-key", &key, "--statement-cert", &certificate])?;
    ensure!(sealed["seal"]["signers"][0].as_str().is_some_and(|signer| signer.contains("two")), "{sealed}");
    let of_packs = sealed["seal"]["root_hash_signers"].as_array().context("no signers")?;
    ensure!(of_packs.len() == 1 && of_packs[0].to_string().contains("one"), "{sealed}");
    let text = String::from_utf8(desk.sealpack.run(["inspect", "busybox"])?.stdout)?;
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    ensure!(line("sealed by").contains("two") && line("root hashes").contains("one"), "{text}");
    let refused = desk.seal("one", &["--statement-key", &key])?;
    ensure!(refused.status.code() == Some(2), "{}", said(&refused));
    Ok(())
}

#[test]
fn a_key_that_is_not_the_certificates_seals_nothing() -> Result<()> {
    let desk = Desk::new()?;
    let ([key, _], [_, certificate]) = (desk.key("one")?, desk.key("two")?);
    let output = desk.sealpack.attempt(["seal", "busybox", "--key", &key, "--cert", &certificate])?;
    ensure!(output.status.code() == Some(1), "{}", said(&output));
    let shown = desk.sealpack.json(["inspect", "busybox"])?;
    ensure!(shown["seal"].is_null() && shown["kept_in"] == "files", "it changed all the same: {shown}");
    Ok(())
}

#[test]
fn a_seal_that_was_tampered_with_is_refused_and_named() -> Result<()> {
    let desk = Desk::new()?;
    desk.sealed("one", &[])?;
    let path = desk.seal_path()?;
    let good = fs::read_to_string(&path)?;
    let seal: Value = serde_json::from_str(&good)?;
    let statement: Value = serde_json::from_str(seal["statement"].as_str().context("no statement")?)?;
    let pack = statement["packs"][0]["root_hash"].as_str().context("no root hash")?.to_owned();
    let manifest = statement["image"]["digest"].as_str().context("no manifest")?;
    let other = "ab".repeat(32);
    for (what, text, word) in [
        ("cut off", good[..good.len() / 2].to_owned(), "this is not a seal"),
        ("a later version", good.replace("\"version\": 1", "\"version\": 7"), "has version 7"),
        ("a later statement", good.replace("\\\"version\\\":1", "\\\"version\\\":7"), "has version 7"),
        (
            "another image's",
            good.replace(manifest, &format!("sha256:{other}")),
            "it is the seal of the image sha256:abab",
        ),
        ("another pack's", good.replace(&pack, &other), "it has root hash abab"),
        ("without a signature", good.replace(&format!("\"{pack}\": ["), &format!("\"{other}\": [")), "abab"),
    ] {
        fs::write(&path, text)?;
        // Nothing is mounted for it, whoever asks.
        let output = desk.mount(&["--plan"])?;
        ensure!(output.status.code() == Some(3), "{what}: {} {}", output.status, said(&output));
        ensure!(
            said(&output).contains(word) && said(&output).contains("--at-most verified"),
            "{}",
            said(&output)
        );
        let shown = desk.sealpack.json(["inspect", "busybox"])?;
        ensure!(shown["seal"]["problem"].is_string(), "{what}: {shown}");
        let output = desk.seal("two", &[])?;
        ensure!(output.status.code() == Some(3), "{what}: {}", said(&output));
        let output = desk.mount(&["--plan", "--at-most", "verified"])?;
        ensure!(output.status.success(), "{what}: {}", said(&output));
    }
    desk.sealed("two", &["--replace"])?;
    ensure!(desk.mount(&["--plan"])?.status.success(), "a new seal is not used");
    Ok(())
}

#[test]
fn a_plan_shows_the_devices_and_what_is_the_best_that_can_be_reached() -> Result<()> {
    let desk = Desk::new()?;
    let plan = |more: &[&str]| -> Result<String> {
        let output = desk.mount(&[&["--plan"], more].concat())?;
        ensure!(output.status.success(), "{}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    };
    ensure!(!plan(&[])?.contains("device sealpack-"), "files have no devices");
    let sealed = desk.sealed("one", &[])?;
    let pack = sealed["pack_root_hashes"][0].as_str().context("no pack")?;
    let text = plan(&[])?;
    ensure!(text.contains(&format!("device sealpack-s-{pack}, shared")), "{text}");
    ensure!(text.trim_end().ends_with("result: at best enforced; required: plain"), "{text}");
    let text = plan(&["--at-most", "verified"])?;
    ensure!(text.contains(&format!("device sealpack-u-{pack}, shared")), "{text}");
    ensure!(!plan(&["--at-most", "plain"])?.contains("device sealpack-"), "plain needs no devices");
    let output = desk.mount(&["--plan", "--at-most", "verified", "--require", "signed"])?;
    ensure!(!output.status.success(), "what contradicts itself is planned");
    Ok(())
}

#[test]
fn a_sealed_image_is_mounted_as_well_as_the_machine_can_and_shows_the_same() -> Result<()> {
    if !is_root() {
        skip("mounting needs root");
        return Ok(());
    }
    let desk = Desk::new()?;
    desk.sealed("one", &[])?;
    let output = desk.mount(&["--json"])?;
    ensure!(output.status.success(), "{}", said(&output));
    let mounted: Value = serde_json::from_slice(&output.stdout)?;
    let target = desk.keys.path().join("mnt");
    let program = fs::read(target.join("bin/busybox"));
    desk.sealpack.run(["umount".as_ref(), target.as_os_str()])?;
    ensure!(program?.starts_with(b"\x7fELF"), "another program is shown");
    // The key is nobody's whom a kernel trusts.
    let level = mounted["level"].as_str().context("no level")?;
    ensure!(["plain", "verified"].contains(&level), "{mounted}");
    ensure!(mounted["suid"] == false && mounted["why_not_more"] != "", "{mounted}");
    let output = desk.mount(&["--require", "signed"])?;
    ensure!(output.status.code() == Some(3), "{}", said(&output));
    ensure!(fs::read_dir(&target)?.next().is_none(), "something stayed mounted");
    Ok(())
}

#[test]
fn a_pack_that_was_swapped_is_not_mounted() -> Result<()> {
    if !is_root() {
        skip("mounting needs root");
        return Ok(());
    }
    let desk = Desk::new()?;
    desk.sealed("one", &[])?;
    desk.sealpack.run(["pull", &images::oddities()?.source(), "--name", "oddities", "--objects", "packs"])?;
    let packs = desk.sealpack.store().join("packs/sha256");
    let sealed = desk.sealed("one", &[])?;
    let root_hash = sealed["pack_root_hashes"][0].as_str().context("no pack")?;
    let pack = packs.join(format!("{root_hash}.pack"));
    let others: Vec<_> = fs::read_dir(&packs)?.collect::<Result<_, _>>()?;
    let other = others.iter().map(fs::DirEntry::path).find(|path| *path != pack).context("no other pack")?;
    fs::remove_file(&pack)?;
    fs::copy(other, &pack)?;
    let output = desk.mount(&[])?;
    ensure!(output.status.code() == Some(3), "{} {}", output.status, said(&output));
    ensure!(said(&output).contains("its root hash is"), "{}", said(&output));
    fs::remove_file(&pack)?;
    let output = desk.mount(&[])?;
    ensure!(
        output.status.code() == Some(1) && said(&output).contains("pull the image again"),
        "{}",
        said(&output)
    );
    Ok(())
}

#[test]
fn one_root_hash_is_counted_as_one() -> Result<()> {
    let desk = Desk::new()?;
    desk.sealpack.run(["pull", &images::gaps()?.source(), "--name", "gaps"])?;
    let [key, certificate] = desk.key("one")?;
    let sealed = desk.sealpack.run(["seal", "gaps", "--key", &key, "--cert", &certificate])?.stdout;
    let sealed = String::from_utf8(sealed)?;
    ensure!(sealed.contains("the statement and 1 root hash signed by "), "{sealed}");
    Ok(())
}

/// The machine's own trust store had the key revoked, and it went on sealing without a word.
#[test]
fn a_key_that_is_revoked_here_seals_nothing() -> Result<()> {
    let desk = Desk::new()?;
    let [_, certificate] = desk.key("one")?;
    let trust = desk.keys.path().join("trust.d").display().to_string();
    for command in [
        &["trust", "add", "publisher", "--cert", &certificate][..],
        &["trust", "revoke", "publisher", "--reason", "it was stolen"],
    ] {
        desk.sealpack.run(["--trust", &trust].iter().chain(command))?;
    }
    let output = desk.seal("one", &["--trust", &trust])?;
    assert_eq!(output.status.code(), Some(3));
    ensure!(said(&output).contains("is revoked (it was stolen)"), "{}", said(&output));
    ensure!(desk.seal("two", &["--trust", &trust])?.status.success(), "another key seals");
    Ok(())
}
