//! `sealpack key`: what it makes, shows and refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, stdout};
use sealpack_tests::program::{start, under_test};
use serde_json::Value;
use std::process::Command;

/// A directory in which the program is run.
struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Result<Self> {
        Ok(Self { directory: tempfile::tempdir()? })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn key(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = start(under_test()?);
        command.arg("key").args(arguments).current_dir(self.path());
        Ok(command)
    }

    /// Its text, where it succeeds.
    fn says(&self, arguments: &[&str]) -> Result<String> {
        stdout(&mut self.key(arguments)?)
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())?)?)
    }

    /// Its exit status and message, where it fails.
    fn refuses(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = attempt(&mut self.key(arguments)?)?;
        let status = output.status.code().context("a signal")?;
        ensure!(status != 0 && output.stdout.is_empty(), "{arguments:?} succeeded");
        Ok((status, String::from_utf8(output.stderr)?))
    }

    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path())? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

const NEW: [&str; 7] = ["new", "--type", "p256", "--key", "it.key", "--cert", "it.crt"];

#[test]
fn a_new_key_is_its_owners_alone_and_belongs_to_its_certificate() -> Result<()> {
    let desk = Desk::new()?;
    desk.says(&[&NEW[..], &["--subject", "example packs", "--days", "2"]].concat())?;
    assert_eq!(desk.names()?, ["it.crt", "it.key"]);
    let mode = |name| -> Result<u32> { Ok(desk.path().join(name).metadata()?.permissions().mode() & 0o777) };
    assert_eq!((mode("it.key")?, mode("it.crt")? & 0o700), (0o600, 0o600));
    let said = desk.says(&["check", "--key", "it.key", "--cert", "it.crt"])?;
    ensure!(said.contains("\"CN=example packs\""), "{said}");

    let certificate = &desk.json(&["show", "it.crt"])?["certificates"][0];
    assert_eq!(certificate["subject"], "CN=example packs");
    assert_eq!(certificate["type"], "ECDSA P-256");
    assert_eq!(certificate["self_signed"], true);
    assert_eq!(certificate["key_usage"], serde_json::json!(["digitalSignature"]));
    assert_eq!(certificate["extended_key_usage"], serde_json::json!(["codeSigning"]));
    assert_eq!(certificate["subject_key_id"].as_str().map(str::len), Some(40));
    let key = &desk.json(&["show", "it.key"])?["private_key"];
    assert_eq!(key["public_key_sha256"], certificate["public_key_sha256"]);
    let text = desk.says(&["show", "it.crt"])?;
    ensure!(text.contains("subject       CN=example packs\nissuer        itself\n"), "{text}");
    Ok(())
}

#[test]
fn files_that_are_there_stay_unless_told_otherwise() -> Result<()> {
    let desk = Desk::new()?;
    fs::write(desk.path().join("it.crt"), "precious")?;
    let (status, message) = desk.refuses(&NEW)?;
    assert_eq!(status, 1);
    ensure!(message.starts_with("error: it.crt is there already\nhint: "), "{message}");
    assert_eq!(desk.names()?, ["it.crt"], "a key without its certificate stayed");
    assert_eq!(fs::read(desk.path().join("it.crt"))?, b"precious");
    desk.says(&[&NEW[..], &["--force"]].concat())?;
    desk.says(&["check", "--key", "it.key", "--cert", "it.crt"])?;
    assert_eq!(desk.names()?, ["it.crt", "it.key"]);
    Ok(())
}

#[test]
fn a_key_that_cannot_be_made_leaves_nothing() -> Result<()> {
    let desk = Desk::new()?;
    let refused: [(&[&str], i32, &str); 6] = [
        (&["new", "--key", "one", "--cert", "./one"], 2, "the same file"),
        (&["new", "--key", "no/key", "--cert", "crt"], 1, "cannot write no/key: no: No such file"),
        (&["new", "--key", "key", "--cert", "crt", "--type", "dsa"], 2, "no kind of key"),
        (&["new", "--key", "key", "--cert", "crt", "--days", "0"], 2, "--days"),
        (&["new", "--key", "key", "--cert", "crt", "--subject", ""], 2, "cannot be empty"),
        (&["new", "--key", "key"], 2, "--cert"),
    ];
    for (arguments, status, part) in refused {
        let (found, message) = desk.refuses(arguments)?;
        ensure!(found == status && message.contains(part), "{arguments:?}: {found}, {message}");
        ensure!(desk.names()?.is_empty(), "{arguments:?}: {:?}", desk.names()?);
    }
    Ok(())
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() -> Result<()> {
    let desk = Desk::new()?;
    desk.says(&NEW)?;
    desk.says(&["new", "--type", "p384", "--key", "other.key", "--cert", "other.crt"])?;
    let refused: [(&[&str], &str); 4] = [
        (
            &["check", "--key", "it.key", "--cert", "other.crt"],
            "it.key and other.crt: the key and the certificate",
        ),
        (
            &["check", "--key", "it.crt", "--cert", "it.crt"],
            "it.crt: this is a certificate, not a private key",
        ),
        (
            &["check", "--key", "it.key", "--cert", "it.key"],
            "it.key: this is a private key, not a certificate",
        ),
        (&["check", "--key", "lost.key", "--cert", "it.crt"], "cannot read lost.key: No such file"),
    ];
    for (arguments, part) in refused {
        let (status, message) = desk.refuses(arguments)?;
        ensure!(status == 1 && message.contains(part), "{arguments:?}: {status}, {message}");
    }
    fs::write(desk.path().join("empty"), "\n")?;
    ensure!(desk.refuses(&["show", "empty"])?.1.contains("empty: the file is empty"));
    Ok(())
}

#[test]
fn a_key_that_others_can_read_is_warned_of() -> Result<()> {
    let desk = Desk::new()?;
    desk.says(&NEW)?;
    let check = ["check", "--key", "it.key", "--cert", "it.crt"];
    let output = attempt(&mut desk.key(&check)?)?;
    ensure!(output.status.success() && output.stderr.is_empty(), "a warning without a reason");
    fs::set_permissions(desk.path().join("it.key"), fs::Permissions::from_mode(0o640))?;
    let output = attempt(&mut desk.key(&check)?)?;
    let warning = String::from_utf8(output.stderr)?;
    ensure!(output.status.success() && warning.contains("it.key (mode 0640)"), "{warning}");
    Ok(())
}

#[test]
fn a_build_without_tokens_says_so() -> Result<()> {
    let desk = Desk::new()?;
    desk.says(&NEW)?;
    let uri = "pkcs11:token=site;object=packs";
    let (status, message) = desk.refuses(&["check", "--key", uri, "--cert", "it.crt"])?;
    let part =
        "key \"packs\" of the token \"site\": this build of Sealpack does not use tokens\nhint: build it";
    ensure!(status == 1 && message.contains(part), "{status}, {message}");
    let (status, message) = desk.refuses(&["new", "--key", uri, "--cert", "new.crt"])?;
    ensure!(status == 2 && message.contains("made with the token's own tools"), "{status}, {message}");
    assert_eq!(desk.names()?, ["it.crt", "it.key"]);
    Ok(())
}

#[test]
fn a_certificate_can_be_made_for_a_key_that_is_there() -> Result<()> {
    let desk = Desk::new()?;
    desk.says(&NEW)?;
    let certify =
        ["certificate", "--key", "it.key", "--cert", "second.crt", "--subject", "second", "--days", "1"];
    desk.says(&certify)?;
    ensure!(desk.says(&["check", "--key", "it.key", "--cert", "second.crt"])?.contains("\"CN=second\""));
    let shown = |name| -> Result<Value> { Ok(desk.json(&["show", name])?["certificates"][0].clone()) };
    let (first, second) = (shown("it.crt")?, shown("second.crt")?);
    assert_eq!(first["public_key_sha256"], second["public_key_sha256"]);
    ensure!(first["serial"] != second["serial"], "two certificates with one number");
    ensure!(desk.refuses(&certify)?.1.contains("second.crt is there already"));
    Ok(())
}

#[test]
fn what_is_not_a_regular_file_is_not_replaced_even_by_force() -> Result<()> {
    let desk = Desk::new()?;
    std::os::unix::fs::symlink("/dev/null", desk.path().join("link"))?;
    let _socket = std::os::unix::net::UnixListener::bind(desk.path().join("socket"))?;
    fs::create_dir(desk.path().join("below"))?;
    for (place, what) in
        [("link", "a symbolic link"), ("socket", "a socket or a pipe"), ("below", "a directory")]
    {
        for [key, cert] in [[place, "other"], ["other", place]] {
            let (status, told) =
                desk.refuses(&["new", "--key", key, "--cert", cert, "--subject", "x", "--force"])?;
            let wanted = format!("{place} is {what}, which is never replaced");
            ensure!(status == 1 && told.contains(&wanted), "{told}");
        }
    }
    assert_eq!(desk.names()?, ["below", "link", "socket"]);
    Ok(())
}
