//! `sealpack trust`: whose signatures count, and what no longer does.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{run, stdout};
use sealpack_tests::paths;
use sealpack_tests::program::Sealpack;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

const ROOT_HASH: &str = "3f0dc2aa3f0dc2aa3f0dc2aa3f0dc2aa3f0dc2aa3f0dc2aa3f0dc2aa3f0dc2aa";

/// A trust store that is not there yet, and two certificates.
struct Desk {
    sealpack: Sealpack,
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Result<Self> {
        let desk = Self { sealpack: Sealpack::new()?, dir: tempfile::tempdir_in(paths::fixtures())? };
        for name in ["one", "two"] {
            let [key, certificate] = [desk.file(&format!("{name}.key"))?, desk.file(&format!("{name}.crt"))?];
            let arguments = ["key", "new", "--type", "p256", "--subject", name, "--key", &key, "--cert"];
            desk.sealpack.run(arguments.into_iter().chain([certificate.as_str()]))?;
        }
        Ok(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str) -> Result<String> {
        self.path(name).to_str().map(str::to_owned).context("an odd path")
    }

    fn attempt(&self, arguments: &[&str]) -> Result<Output> {
        let trust = self.file("trust.d")?;
        self.sealpack.attempt([&["--trust", &trust], arguments].concat())
    }

    fn refused(&self, arguments: &[&str]) -> Result<String> {
        let output = self.attempt(arguments)?;
        ensure!(output.status.code() == Some(1), "{arguments:?}: {} {}", output.status, said(&output));
        Ok(said(&output))
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.attempt(&[&["--json"], arguments].concat())?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn text(&self, arguments: &[&str]) -> Result<String> {
        let output = self.attempt(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn add(&self, name: &str, certificate: &str, more: &[&str]) -> Result<Value> {
        let certificate = self.file(certificate)?;
        self.json(&[&["trust", "add", name, "--cert", &certificate], more].concat())
    }

    /// The certificates as `list` has them: names and uses.
    fn listed(&self) -> Result<Vec<(String, Value)>> {
        let listed = self.json(&["trust", "list"])?;
        let certificates = listed["certificates"].as_array().context("no certificates")?;
        let row =
            |row: &Value| Ok((row["name"].as_str().context("no name")?.to_owned(), row["uses"].clone()));
        certificates.iter().map(row).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn certificates_are_added_listed_and_removed_by_what_they_are_for() -> Result<()> {
    let desk = Desk::new()?;
    let added = desk.add("publisher", "one.crt", &[])?;
    ensure!(added["uses"] == json!(["packs", "statements"]), "{added}");
    desk.add("policy", "two.crt", &["--for", "policies"])?;
    desk.add("publisher", "one.crt", &["--for", "policies"])?;
    let mode = fs::metadata(desk.path("trust.d/packs/publisher.crt"))?.permissions().mode();
    ensure!(mode & 0o7777 == 0o644, "{mode:o}");
    let listed = desk.listed()?;
    ensure!(
        listed
            == [
                ("policy".to_owned(), json!(["policies"])),
                ("publisher".to_owned(), json!(["packs", "statements", "policies"])),
            ],
        "{listed:?}"
    );
    let text = desk.text(&["trust", "list"])?;
    for word in ["NAME", "publisher", "packs,statements,policies", "CN=one", "good", "not in the kernel"] {
        ensure!(text.contains(word), "{word}: {text}");
    }
    desk.json(&["trust", "remove", "publisher", "--for", "packs"])?;
    ensure!(desk.listed()?[1].1 == json!(["statements", "policies"]));
    let removed = desk.json(&["trust", "remove", "publisher"])?;
    ensure!(removed["uses"] == json!(["statements", "policies"]), "{removed}");
    ensure!(desk.listed()?.len() == 1);
    let files: Vec<_> = fs::read_dir(desk.path("trust.d/packs"))?.collect();
    ensure!(files.is_empty(), "something is left: {files:?}");
    Ok(())
}

#[test]
fn another_certificate_under_a_name_that_there_is_is_refused() -> Result<()> {
    let desk = Desk::new()?;
    desk.add("publisher", "one.crt", &[])?;
    let two = desk.file("two.crt")?;
    let said = desk.refused(&["trust", "add", "publisher", "--cert", &two])?;
    ensure!(said.contains("two different certificates called publisher for packs"), "{said}");
    desk.add("publisher", "two.crt", &["--for", "policies"])?;
    ensure!(desk.listed()?.len() == 2, "one name, two certificates, for different things");
    for (name, word) in [("a/b", "cannot name a certificate"), ("..", "cannot name a certificate")] {
        let output = desk.attempt(&["trust", "add", name, "--cert", &two])?;
        ensure!(output.status.code() == Some(2) && self::said(&output).contains(word), "{name}");
    }
    let output = desk.attempt(&["trust", "add", "x", "--cert", &two, "--for", "everything"])?;
    ensure!(output.status.code() == Some(2), "{}", self::said(&output));
    ensure!(self::said(&output).contains("packs, statements or policies"), "{}", self::said(&output));
    let key = desk.file("two.key")?;
    let said = desk.refused(&["trust", "add", "x", "--cert", &key])?;
    ensure!(said.contains("a private key, not a certificate"), "{said}");
    let said = desk.refused(&["trust", "remove", "nobody"])?;
    ensure!(said.contains("no certificate called nobody"), "{said}");
    desk.json(&["trust", "remove", "publisher", "--for", "policies"])?;
    let said = desk.refused(&["trust", "remove", "publisher", "--for", "packs,policies"])?;
    ensure!(said.contains("no certificate called publisher for policies"), "{said}");
    ensure!(desk.listed()?.len() == 1, "a part was removed");
    Ok(())
}

#[test]
fn a_trust_store_that_is_not_there_or_has_something_wrong_in_it_is_no_empty_one() -> Result<()> {
    let desk = Desk::new()?;
    let said = desk.refused(&["trust", "list"])?;
    ensure!(said.contains("there is no trust store") && said.contains("trust add"), "{said}");
    let said = desk.refused(&["policy", "new", "final"])?;
    ensure!(said.contains("there is no trust store"), "{said}");
    desk.add("publisher", "one.crt", &[])?;
    let broken = |file: &str, text: &str, word: &str| -> Result<()> {
        fs::write(desk.path("trust.d").join(file), text)?;
        let said = desk.refused(&["trust", "list"])?;
        ensure!(said.contains(file) && said.contains(word), "{file}: {said}");
        Ok(fs::remove_file(desk.path("trust.d").join(file))?)
    };
    broken("rules.toml", "default = \"allow\"\nrequire = \"sealed\"\n", "line 2: unknown field `require`")?;
    broken("revoked.toml", "[[root_hash]]\nroot_hash = \"0\"\n", "line 2: ")?;
    broken("statements/odd.crt", "nothing", "is damaged or is none")?;
    broken("statements/o d.crt", "nothing", "cannot name a certificate")?;
    fs::copy(desk.path("two.crt"), desk.path("trust.d/packs/two.pem"))?;
    let output = desk.attempt(&["trust", "list"])?;
    ensure!(output.status.success() && self::said(&output).contains("two.pem is not looked at"));
    Ok(())
}

#[test]
fn a_user_has_the_machines_trust_store_or_what_the_environment_names() -> Result<()> {
    let desk = Desk::new()?;
    desk.add("publisher", "one.crt", &[])?;
    let mut command = desk.sealpack.command(["--json", "trust", "list"]);
    let output = command.env("SEALPACK_TRUST", desk.path("trust.d")).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let listed: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(listed["certificates"][0]["name"] == "publisher", "{listed}");
    Ok(())
}

#[test]
fn a_revoked_certificate_is_shown_as_such_and_does_not_come_back() -> Result<()> {
    let desk = Desk::new()?;
    desk.add("publisher", "one.crt", &[])?;
    desk.add("publisher", "two.crt", &["--for", "policies"])?;
    fs::write(desk.path("trust.d/revoked.toml"), "# kept")?;
    let revoked = desk.json(&["trust", "revoke", "publisher", "--reason", "the \"key\" was stolen"])?;
    ensure!(revoked["certificates"].as_array().is_some_and(|all| all.len() == 2), "{revoked}");
    let again = desk.json(&["trust", "revoke", "publisher"])?;
    ensure!(again["was_revoked_before"] == true, "{again}");
    let text = fs::read_to_string(desk.path("trust.d/revoked.toml"))?;
    ensure!(text.starts_with("# kept\n") && text.matches("[[certificate]]").count() == 2, "{text}");
    let listed = desk.json(&["trust", "list"])?;
    ensure!(listed["certificates"][0]["state"] == "revoked: the \"key\" was stolen", "{listed}");
    desk.json(&["trust", "remove", "publisher"])?;
    let one = desk.file("one.crt")?;
    let said = desk.refused(&["trust", "add", "other", "--cert", &one])?;
    ensure!(said.contains("is revoked in the trust store"), "{said}");
    let said = desk.refused(&["trust", "revoke", "publisher"])?;
    ensure!(said.contains("no certificate called publisher") && said.contains("--cert"), "{said}");
    desk.json(&["trust", "revoke", "--cert", &one])?;
    for wrong in [&["trust", "revoke"][..], &["trust", "revoke", "a", "--cert", &one]] {
        ensure!(desk.attempt(wrong)?.status.code() == Some(2), "{wrong:?}");
    }
    Ok(())
}

/// The key was stolen, its certificate revoked, and the next day there was another certificate of it.
#[test]
fn a_revoked_key_does_not_come_back_in_another_certificate() -> Result<()> {
    let desk = Desk::new()?;
    let [key, fresh] = [desk.file("one.key")?, desk.file("fresh.crt")?];
    desk.sealpack.run(["key", "certificate", "--key", &key, "--cert", &fresh, "--subject", "fresh"])?;
    desk.add("publisher", "one.crt", &[])?;
    desk.add("second", "fresh.crt", &["--for", "policies"])?;
    let revoked = desk.json(&["trust", "revoke", "publisher", "--reason", "the key was stolen"])?;
    ensure!(revoked["certificates"][0]["same_key"] == json!(["second"]), "{revoked}");
    let listed = desk.json(&["trust", "list"])?;
    let state = "revoked with its key, which is that of publisher: the key was stolen";
    ensure!(listed["certificates"][1]["state"] == state, "{listed}");
    let shown = desk.sealpack.run(["--json", "key", "show", &fresh])?;
    let shown: Value = serde_json::from_slice(&shown.stdout)?;
    let [of_store, of_file] = [&listed["revoked_certificates"][0], &shown["certificates"][0]];
    ensure!(of_store["public_key_sha256"] == of_file["public_key_sha256"], "{listed} {shown}");
    for name in ["publisher", "second"] {
        desk.json(&["trust", "remove", name])?;
    }
    for of in ["packs", "statements", "policies"] {
        let said = desk.refused(&["trust", "add", "other", "--cert", &fresh, "--for", of])?;
        let why =
            "the key of this certificate is revoked in the trust store with publisher: the key was stolen";
        ensure!(said.contains(why), "{said}");
    }
    desk.add("other", "two.crt", &[])?;
    Ok(())
}

#[test]
fn a_revocation_by_an_earlier_version_covers_the_key_as_soon_as_the_certificate_is_seen() -> Result<()> {
    let desk = Desk::new()?;
    let [key, one, fresh] = [desk.file("one.key")?, desk.file("one.crt")?, desk.file("fresh.crt")?];
    desk.sealpack.run(["key", "certificate", "--key", &key, "--cert", &fresh, "--subject", "fresh"])?;
    desk.add("publisher", "one.crt", &[])?;
    let listed = desk.json(&["trust", "list"])?;
    let sha256 = listed["certificates"][0]["sha256"].as_str().context("no fingerprint")?;
    let old = format!(
        "[[certificate]]\nsha256 = \"{sha256}\"\nname = \"publisher\"\nreason = \"stolen\"\nrevoked = 2026-11-27T18:34:55Z\n"
    );
    let path = desk.path("trust.d/revoked.toml");
    fs::write(&path, &old)?;
    let refused = |desk: &Desk| -> Result<()> {
        let said = desk.refused(&["trust", "add", "other", "--cert", &fresh])?;
        ensure!(said.contains("with publisher: stolen"), "{said}");
        Ok(())
    };
    refused(&desk)?;
    // It goes, and what is known of its key stays.
    desk.json(&["trust", "remove", "publisher"])?;
    refused(&desk)?;
    let text = fs::read_to_string(&path)?;
    ensure!(text.starts_with(&old) && text.matches("2026-11-27T18:34:55Z").count() == 2, "{text}");
    // Revoking it again by its file does the same.
    fs::write(&path, &old)?;
    desk.json(&["trust", "revoke", "--cert", &one])?;
    refused(&desk)?;
    let again = desk.json(&["trust", "revoke", "--cert", &one])?;
    ensure!(again["was_revoked_before"] == true, "{again}");
    Ok(())
}

/// Certificates by OpenSSL: one that the kernel answers ENOPKG for, and one by which an authority signs others.
#[test]
fn what_the_kernel_cannot_read_or_is_for_signing_others_is_not_added() -> Result<()> {
    let desk = Desk::new()?;
    let [key, pss, authority] = [desk.file("pss.key")?, desk.file("pss.crt")?, desk.file("ca.crt")?];
    let make = ["req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=it", "-keyout", &key];
    let plain = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let padding = ["-sigopt", "rsa_padding_mode:pss", "-out", &pss];
    // The key that stays is that of the last one.
    for more in [vec!["-out", &authority], [&plain[..], &padding[..]].concat()] {
        let mut openssl = std::process::Command::new("openssl");
        match openssl.args(make).args(more).output() {
            Ok(output) => ensure!(output.status.success(), "{}", self::said(&output)),
            Err(_) => return Ok(()),
        }
    }
    let enopkg = "signed with RSASSA-PSS, which Linux 6.12 does not know";
    for of in ["packs", "policies", "packs,statements"] {
        let said = desk.refused(&["trust", "add", "it", "--cert", &pss, "--for", of])?;
        ensure!(said.contains(enopkg) && said.contains("--for statements"), "{said}");
    }
    let said = desk.refused(&["trust", "add", "ca", "--cert", &authority])?;
    ensure!(said.contains("is not for signing code: it is an authority's"), "{said}");
    ensure!(!desk.path("trust.d").exists(), "something was added");
    let key = desk.file("pss.key")?;
    let check = ["key", "check", "--key", &key, "--cert", &pss];
    ensure!(desk.refused(&check)?.contains(enopkg));
    let policy = desk.file("it.policy")?;
    desk.sealpack.run(["policy", "new", "final", "-o", &policy])?;
    let signed = desk.file("it.p7b")?;
    let sign = ["policy", "sign", &policy, "-o", &signed, "--key", &key, "--cert", &pss];
    ensure!(desk.refused(&sign)?.contains(enopkg) && !desk.path("it.p7b").exists());
    let shown = desk.text(&["key", "show", &pss])?;
    ensure!(shown.contains(enopkg), "{shown}");
    let shown = desk.json(&["key", "show", &desk.file("one.crt")?])?;
    ensure!(shown["certificates"][0]["kernel_problem"].is_null(), "{shown}");
    // Statements are nothing for the kernel.
    let output = desk.attempt(&["trust", "add", "it", "--cert", &pss, "--for", "statements"])?;
    ensure!(output.status.success() && self::said(&output).contains(enopkg), "{}", self::said(&output));
    fs::create_dir(desk.path("trust.d/packs"))?;
    fs::copy(&pss, desk.path("trust.d/packs/it.crt"))?;
    let text = desk.text(&["trust", "list"])?;
    ensure!(text.contains("cannot be in the kernel"), "{text}");
    Ok(())
}

#[test]
fn a_revoked_root_hash_is_denied_by_the_policy_and_by_every_new_one() -> Result<()> {
    let desk = Desk::new()?;
    let policy = desk.file("sealed.policy")?;
    desk.sealpack.run(["policy", "new", "strict", "-o", &policy])?;
    let before = fs::read_to_string(&policy)?;
    let revoke = ["trust", "revoke", "--root-hash", ROOT_HASH, "--image", "debian:12", "--reason", "CVE"];
    let revoked = desk.json(&[&revoke[..], &["--policy", &policy]].concat())?;
    let rule = format!("op=EXECUTE dmverity_roothash=sha256:{ROOT_HASH} action=DENY");
    ensure!(revoked["rule"] == rule.as_str() && revoked["policy_changed"] == true, "{revoked}");
    ensure!(revoked["kernel_denies"] != true, "{revoked}");
    let after = fs::read_to_string(&policy)?;
    ensure!(after.contains("policy_version=0.0.2") && before.contains("policy_version=0.0.1"), "{after}");
    let place = |word: &str| after.find(word).with_context(|| word.to_owned());
    ensure!(place(&rule)? < place("op=EXECUTE dmverity_signature=TRUE")?, "{after}");
    ensure!(after.contains(&rule.replace("EXECUTE", "KMODULE")) && after.contains("# Strict"), "{after}");
    let again = desk.json(&[&revoke[..], &["--policy", &policy]].concat())?;
    ensure!(again["policy_changed"] == false && again["was_revoked_before"] == true, "{again}");
    ensure!(fs::read_to_string(&policy)? == after, "it was changed again");
    let text = desk.text(&["trust", "list"])?;
    ensure!(text.contains(&format!("revoked: root hash {ROOT_HASH} of debian:12: CVE")), "{text}");
    let new = desk.text(&["policy", "new", "final", "--revoke", &"ab".repeat(32)])?;
    ensure!(new.contains(&rule) && new.contains(&"ab".repeat(32)), "{new}");
    let same = desk.text(&["policy", "new", "final", "--revoke", ROOT_HASH])?;
    ensure!(same.matches(ROOT_HASH).count() == 1, "{same}");
    Ok(())
}

#[test]
fn a_policy_that_cannot_be_changed_revokes_nothing() -> Result<()> {
    let desk = Desk::new()?;
    let policy = desk.file("sealed.policy")?;
    let revoke = ["trust", "revoke", "--root-hash", ROOT_HASH, "--policy", &policy];
    let said = desk.refused(&revoke)?;
    ensure!(said.contains("cannot read") && said.contains("sealed.policy"), "{said}");
    fs::write(&policy, "policy_name=a policy_version=65535.65535.65535\nDEFAULT action=ALLOW\n")?;
    let said = desk.refused(&revoke)?;
    ensure!(said.contains("the highest there is"), "{said}");
    fs::write(&policy, b"0\x82\x01\x02")?;
    let said = desk.refused(&revoke)?;
    ensure!(said.contains("signed policy") && said.contains("policy show"), "{said}");
    ensure!(!desk.path("trust.d").exists(), "something was revoked");
    Ok(())
}

/// Keys of attestations are files that people put there; whoever asks sees what came of it.
#[test]
fn keys_for_artifacts_are_listed_with_what_rules_miss_of_them() -> Result<()> {
    let sealpack = Sealpack::new()?;
    let dir = tempfile::tempdir()?;
    let (trust, key) = (dir.path().join("trust"), dir.path().join("ci.key"));
    let (trust, key) = (trust.to_str().context("UTF-8")?, key.to_str().context("UTF-8")?);
    fs::create_dir_all(format!("{trust}/artifacts"))?;
    let public = format!("{trust}/artifacts/ci.pub");
    run(Command::new("openssl").args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key]))?;
    run(Command::new("openssl").args(["ec", "-in", key, "-pubout", "-out", &public]))?;
    let der =
        run(Command::new("openssl").args(["pkey", "-pubin", "-in", &public, "-outform", "der"]))?.stdout;
    fs::write(dir.path().join("der"), der)?;
    let sha256 = stdout(Command::new("sha256sum").arg(dir.path().join("der")))?;
    let sha256 = sha256.split_whitespace().next().context("a hash")?;
    let rule = "[[namespace]]\nprefix = \"a.example\"\nrequire = \"sealed\"\n\
                require_artifacts = [\"https://slsa.dev/provenance/v1\"]\nartifacts_by = [\"ci\", \"release\"]\n";
    fs::write(format!("{trust}/rules.toml"), rule)?;
    let listed = sealpack.json(["--trust", trust, "trust", "list"])?;
    assert_eq!(listed["artifact_keys"][0]["sha256"], sha256, "{listed:#}");
    assert_eq!(listed["artifact_keys"][0]["revoked"], false);
    assert_eq!(listed["missing_artifact_keys"][0]["key"], "release", "{listed:#}");
    // As docs/keys.md has it.
    fs::write(format!("{trust}/revoked.toml"), format!("[[public_key]]\nsha256 = \"{sha256}\"\n"))?;
    let said = stdout(&mut sealpack.command(["--trust", trust, "trust", "list"]))?;
    for words in [&format!("ci, ECDSA P-256, sha256:{sha256}, revoked"), "wants artifacts by release"] {
        assert!(said.contains(words), "{words} is missing in {said}");
    }
    Ok(())
}
