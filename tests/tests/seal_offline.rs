//! `sealpack seal prepare` and `attach`: keys that never meet the store.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, run};
use sealpack_tests::program::Sealpack;
use sealpack_tests::{images, paths, skip};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A store with an image, and keys that OpenSSL uses.
struct Desk {
    sealpack: Sealpack,
    dir: tempfile::TempDir,
}

impl Desk {
    /// `None` where there is no OpenSSL; says so.
    fn new() -> Result<Option<Self>> {
        if find("openssl").is_none() {
            skip("openssl is not installed");
            return Ok(None);
        }
        let desk = Self { sealpack: Sealpack::new()?, dir: tempfile::tempdir_in(paths::fixtures())? };
        for (name, kind) in [("packs", "rsa2048"), ("statements", "p256"), ("other", "p384")] {
            let [key, certificate] = [desk.file(&format!("{name}.key"))?, desk.file(&format!("{name}.crt"))?];
            let arguments = ["key", "new", "--type", kind, "--subject", name, "--key", &key, "--cert"];
            desk.sealpack.run(arguments.into_iter().chain([certificate.as_str()]))?;
        }
        desk.sealpack.run(["pull", &images::busybox()?.source(), "--name", "busybox"])?;
        Ok(Some(desk))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str) -> Result<String> {
        self.path(name).to_str().map(str::to_owned).context("an odd path")
    }

    fn prepare(&self, more: &[&str]) -> Result<Value> {
        let out = self.file("out")?;
        let arguments = ["seal", "prepare", "busybox", "--out", &out];
        self.sealpack.json(arguments.iter().chain(more))
    }

    fn attach(&self, certificates: &[&str], more: &[&str]) -> Result<Output> {
        let out = self.file("out")?;
        let mut arguments = vec!["--json".to_owned(), "seal".into(), "attach".into(), "busybox".into(), out];
        for certificate in certificates {
            arguments.extend(["--cert".to_owned(), self.file(certificate)?]);
        }
        self.sealpack.attempt(arguments.iter().map(String::as_str).chain(more.iter().copied()))
    }

    fn refused(&self, certificates: &[&str], status: i32) -> Result<String> {
        let output = self.attach(certificates, &[])?;
        ensure!(output.status.code() == Some(status), "{}: {}", output.status, said(&output));
        let seals = self.sealpack.store().join("seals");
        ensure!(!seals.exists() || fs::read_dir(seals)?.next().is_none(), "a seal was kept");
        Ok(said(&output))
    }

    /// What is to be signed: the statement, then the root hashes.
    fn to_be_signed(&self) -> Result<Vec<PathBuf>> {
        let mut files = vec![self.path("out/statement.json")];
        for entry in fs::read_dir(self.path("out"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "txt") {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// Has OpenSSL sign a file as the README says.
    fn sign(&self, file: &Path, key: &str, form: &str) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl.args(["smime", "-sign", "-binary", "-noattr", "-nocerts", "-outform", form, "-md"]);
        openssl.arg(if key == "other" { "sha384" } else { "sha256" });
        openssl.arg("-signer").arg(self.path(&format!("{key}.crt")));
        openssl.arg("-inkey").arg(self.path(&format!("{key}.key")));
        openssl.arg("-in").arg(file).arg("-out").arg(signature_of(file));
        run(&mut openssl).map(drop)
    }

    fn sign_all(&self, key: &str) -> Result<()> {
        self.to_be_signed()?.iter().try_for_each(|file| self.sign(file, key, "der"))
    }
}

fn signature_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".p7s");
    name.into()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn signatures_by_openssl_make_the_seal_that_the_keys_themselves_would() -> Result<()> {
    let Some(desk) = Desk::new()? else { return Ok(()) };
    let prepared = desk.prepare(&["--epoch", "17", "--name", "registry.example.org/base/busybox:1"])?;
    ensure!(prepared["epoch"] == 17, "{prepared}");
    let files = desk.to_be_signed()?;
    ensure!(files.len() == 3 && prepared["to_be_signed"].as_array().is_some_and(|all| all.len() == 3));
    for file in &files[1..] {
        let content = fs::read_to_string(file)?;
        ensure!(file.file_stem().is_some_and(|stem| *stem == *content) && content.len() == 64, "{content}");
    }
    ensure!(
        fs::read_to_string(desk.path("out/README"))?.contains("openssl smime -sign -binary -noattr -nocerts")
    );
    let shown = desk.sealpack.json(["inspect", "busybox"])?;
    ensure!(shown["seal"].is_null(), "it keeps a seal: {shown}");

    desk.sign(&files[0], "statements", "pem")?;
    files[1..].iter().try_for_each(|file| desk.sign(file, "packs", "der"))?;
    let output = desk.attach(&["packs.crt", "statements.crt"], &[])?;
    ensure!(output.status.success(), "{}", said(&output));
    let sealed: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(sealed["seal"]["epoch"] == 17, "{sealed}");
    ensure!(sealed["seal"]["names"][0] == "registry.example.org/base/busybox:1", "{sealed}");
    ensure!(
        sealed["seal"]["signers"][0].as_str().is_some_and(|signer| signer.contains("CN=statements")),
        "{sealed}"
    );
    let plan = desk.sealpack.run(["mount", "busybox", "/mnt", "--plan"])?;
    let plan = String::from_utf8(plan.stdout)?;
    ensure!(plan.trim_end().ends_with("result: at best enforced; required: plain"), "{plan}");
    Ok(())
}

#[test]
fn another_signer_is_added_over_the_same_statement() -> Result<()> {
    let Some(desk) = Desk::new()? else { return Ok(()) };
    let [key, certificate] = [desk.file("packs.key")?, desk.file("packs.crt")?];
    desk.sealpack.run(["seal", "busybox", "--key", &key, "--cert", &certificate, "--epoch", "17"])?;
    let refused = desk.file("out")?;
    let refused =
        desk.sealpack.attempt(["seal", "prepare", "busybox", "--epoch", "18", "--out", &refused])?;
    ensure!(refused.status.code() == Some(1) && said(&refused).contains("for another epoch"));
    ensure!(!desk.path("out").exists(), "something is left");
    ensure!(desk.prepare(&[])?["epoch"] == 17, "another statement");
    desk.sign_all("other")?;
    let output = desk.attach(&["other.crt"], &[])?;
    ensure!(output.status.success(), "{}", said(&output));
    let sealed: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(sealed["seal"]["signers"].as_array().is_some_and(|signers| signers.len() == 2), "{sealed}");
    // A new statement takes the place of the old one only on purpose.
    fs::remove_dir_all(desk.path("out"))?;
    desk.prepare(&["--replace", "--epoch", "18"])?;
    desk.sign_all("other")?;
    let refused = desk.attach(&["other.crt"], &[])?;
    ensure!(refused.status.code() == Some(1) && said(&refused).contains("--replace"), "{}", said(&refused));
    let output = desk.attach(&["other.crt"], &["--replace"])?;
    let sealed: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        sealed["seal"]["epoch"] == 18
            && sealed["seal"]["signers"].as_array().is_some_and(|all| all.len() == 1),
        "{sealed}"
    );
    Ok(())
}

#[test]
fn signatures_that_are_missing_swapped_or_somebody_elses_make_no_seal() -> Result<()> {
    let Some(desk) = Desk::new()? else { return Ok(()) };
    desk.prepare(&[])?;
    let files = desk.to_be_signed()?;
    desk.sign_all("packs")?;
    fs::rename(signature_of(&files[1]), desk.path("kept"))?;
    let text = desk.refused(&["packs.crt"], 1)?;
    ensure!(text.contains("the signature of root hash") && text.contains("is missing"), "{text}");
    fs::copy(signature_of(&files[2]), signature_of(&files[1]))?;
    let text = desk.refused(&["packs.crt"], 3)?;
    ensure!(text.contains("over this content: one of the two was changed"), "{text}");
    fs::copy(desk.path("kept"), signature_of(&files[1]))?;
    let text = desk.refused(&["other.crt"], 3)?;
    ensure!(text.contains("which is none of the 1 certificate given"), "{text}");
    fs::write(signature_of(&files[1]), "no signature")?;
    let text = desk.refused(&["packs.crt"], 3)?;
    ensure!(text.contains(".txt.p7s: the PKCS#7 is damaged"), "{text}");
    fs::copy(desk.path("packs.crt"), signature_of(&files[1]))?;
    let text = desk.refused(&["packs.crt"], 3)?;
    ensure!(text.contains("this is a certificate, not a PKCS#7 signature"), "{text}");
    fs::copy(desk.path("kept"), signature_of(&files[1]))?;
    // A statement that was changed and signed all the same is another image's, or none.
    let good = fs::read_to_string(&files[0])?;
    fs::write(&files[0], good.replace("\"size_bytes\":", "\"size_bytes\":1"))?;
    desk.sign(&files[0], "packs", "der")?;
    let text = desk.refused(&["packs.crt"], 3)?;
    ensure!(text.contains("is not for it") && text.contains("was prepared for"), "{text}");
    fs::write(&files[0], format!("{good}\n"))?;
    let text = desk.refused(&["packs.crt"], 3)?;
    ensure!(text.contains("not in the canonical form"), "{text}");
    fs::write(&files[0], good)?;
    desk.sign(&files[0], "packs", "der")?;
    ensure!(desk.attach(&["packs.crt"], &[])?.status.success(), "it was good before");
    Ok(())
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() -> Result<()> {
    let Some(desk) = Desk::new()? else { return Ok(()) };
    let out = desk.path("out");
    fs::create_dir(&out)?;
    desk.prepare(&[])?;
    let before = fs::read_dir(&out)?.count();
    let text = out.to_str().context("an odd path")?;
    let output = desk.sealpack.attempt(["seal", "prepare", "busybox", "--out", text])?;
    ensure!(output.status.code() == Some(1) && said(&output).contains("is not empty"), "{}", said(&output));
    ensure!(fs::read_dir(&out)?.count() == before, "it was changed");
    let output = desk.sealpack.attempt(["seal", "prepare", "busybox", "--out", "/no/such/place"])?;
    ensure!(output.status.code() == Some(1) && said(&output).contains("/no/such/place"), "{}", said(&output));
    let left = fs::read_dir(desk.dir.path())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    ensure!(!left.into_iter().any(|name| name.starts_with('.')), "a temporary directory is left");
    Ok(())
}

/// Signing again is for the statement that somebody trusted has signed: the packs need not be read for it, so that one
/// that was damaged since is not noticed then. Without trust it is.
#[test]
fn what_somebody_trusted_has_signed_is_signed_again_without_reading_it() -> Result<()> {
    let Some(desk) = Desk::new()? else { return Ok(()) };
    let [key, certificate] = [desk.file("packs.key")?, desk.file("packs.crt")?];
    let sealed =
        desk.sealpack.json(["seal", "busybox", "--key", &key, "--cert", &certificate, "--epoch", "17"])?;
    let pack = sealed["pack_root_hashes"][0].as_str().context("no pack")?;
    let pack = desk.sealpack.store().join(format!("packs/sha256/{pack}.pack"));
    let mut bytes = fs::read(&pack)?;
    bytes[8192] ^= 1;
    fs::remove_file(&pack)?;
    fs::write(&pack, bytes)?;
    let trust = desk.file("trust.d")?;
    desk.sealpack.run(["--trust", &trust, "trust", "add", "other", "--cert", &desk.file("other.crt")?])?;
    let [key, other] = [desk.file("statements.key")?, desk.file("statements.crt")?];
    let again = ["--trust", &trust, "seal", "busybox", "--key", &key, "--cert", &other];
    let output = desk.sealpack.attempt(again)?;
    ensure!(output.status.code() == Some(3), "{} {}", output.status, said(&output));
    desk.sealpack.run(["--trust", &trust, "trust", "add", "packs", "--cert", &certificate])?;
    let output = desk.sealpack.attempt(again)?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}
