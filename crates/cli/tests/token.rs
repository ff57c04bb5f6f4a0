//! Keys in PKCS#11 tokens, tried with SoftHSM.

#![allow(clippy::print_stderr, reason = "a skipped test says why")]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use sealpack_tests::host_image::HostImage;

/// Where Debian, Fedora and Arch have the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

const PIN: &str = "4711-pin";

/// Kinds of keys, and how `openssl genpkey` makes them.
const KINDS: [(&str, &[&str]); 4] = [
    ("RSA 2048", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    ("RSA 4096", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"]),
    ("ECDSA P-256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("ECDSA P-384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
];

/// A token, and a directory with its PIN in `pin`.
struct Token {
    directory: tempfile::TempDir,
    library: &'static str,
}

impl Token {
    /// `None` where there is no SoftHSM or OpenSSL; says so.
    fn new() -> Result<Option<Self>> {
        let library = LIBRARIES.into_iter().find(|path| fs::exists(path).unwrap_or(false));
        let has = |program: &str, argument: &str| {
            let mut command = Command::new(program);
            command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        };
        let Some(library) =
            library.filter(|_| has("softhsm2-util", "--version") && has("openssl", "version"))
        else {
            eprintln!("skipped: there is no SoftHSM, or no openssl");
            return Ok(None);
        };
        let token = Self { directory: tempfile::tempdir()?, library };
        fs::create_dir(token.path("tokens"))?;
        let settings =
            format!("directories.tokendir = {}\nlog.level = ERROR\n", token.path("tokens").display());
        fs::write(token.path("softhsm2.conf"), settings)?;
        fs::write(token.path("pin"), format!("{PIN}\n"))?;
        let init = ["--init-token", "--free", "--label", "site", "--pin", PIN, "--so-pin", "87654321"];
        token.run("softhsm2-util", &init)?;
        Ok(Some(token))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        let ours = |variable: &OsString| variable.as_encoded_bytes().starts_with(b"SEALPACK_");
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| ours(variable)) {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.command(program, arguments).output().with_context(|| program.to_owned())?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{program} {arguments:?}: {stderr}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Puts a key into the token, as `id` in hexadecimal.
    fn import(&self, label: &str, id: &str, genpkey: &[&str]) -> Result<()> {
        self.run("openssl", &[&["genpkey", "-out", "import.key"], genpkey].concat())?;
        let import =
            ["--import", "import.key", "--token", "site", "--label", label, "--id", id, "--pin", PIN];
        self.run("softhsm2-util", &import)?;
        Ok(())
    }

    fn uri(&self, rest: &str) -> String {
        let pin = self.path("pin");
        format!("pkcs11:token=site;{rest}?module-path={}&pin-source={}", self.library, pin.display())
    }

    fn sealpack(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(env!("CARGO_BIN_EXE_sealpack"), arguments).output()?)
    }

    fn says(&self, arguments: &[&str]) -> Result<String> {
        self.run(env!("CARGO_BIN_EXE_sealpack"), arguments)
    }

    fn refuses(&self, arguments: &[&str]) -> Result<String> {
        let output = self.sealpack(arguments)?;
        ensure!(!output.status.success() && output.stdout.is_empty(), "{arguments:?} succeeded");
        Ok(String::from_utf8(output.stderr)?)
    }
}

#[test]
fn keys_in_a_token_sign_and_openssl_verifies() -> Result<()> {
    let Some(token) = Token::new()? else { return Ok(()) };
    for (number, (kind, genpkey)) in (0xa1..).zip(KINDS) {
        token.import(kind, &format!("{number:x}"), genpkey)?;
        let uri = token.uri(&format!("object={}", kind.replace(' ', "%20")));
        let certify = ["key", "certificate", "--key", &uri, "--cert", "it.crt", "--force", "--subject", kind];
        let made = token.says(&certify)?;
        ensure!(made.contains(kind), "{made}");
        token.run("openssl", &["verify", "-check_ss_sig", "-CAfile", "it.crt", "it.crt"])?;
        let by_id = token.uri(&format!("id=%{number:x};type=private"));
        let checked = token.says(&["key", "check", "--key", &by_id, "--cert", "it.crt"])?;
        ensure!(checked.contains(&format!("\"CN={kind}\" and signs")), "{checked}");
    }
    Ok(())
}

#[test]
fn the_pin_comes_from_a_file_or_the_environment_and_never_from_the_command_line() -> Result<()> {
    let Some(token) = Token::new()? else { return Ok(()) };
    token.import("packs", "01", KINDS[2].1)?;
    let uri = format!("pkcs11:token=site;object=packs?module-path={}", token.library);
    let certify = ["key", "certificate", "--cert", "it.crt", "--key"];
    let with_pin = |pin: &str| -> Result<Output> {
        let mut command = token.command(env!("CARGO_BIN_EXE_sealpack"), &[&certify[..], &[&uri]].concat());
        Ok(command.env("SEALPACK_PIN", pin).output()?)
    };
    let error = token.refuses(&[&certify[..], &[&uri]].concat())?;
    ensure!(error.contains("key \"packs\" of the token \"site\": the token \"site\" wants a PIN"), "{error}");
    let error = token.refuses(&[&certify[..], &[&format!("{uri}&pin-value={PIN}")]].concat())?;
    ensure!(error.contains("pin-value") && !error.contains(PIN), "{error}");
    let refused = with_pin("wrong-pin")?;
    let error = String::from_utf8(refused.stderr)?;
    ensure!(!refused.status.success() && error.contains("does not take the PIN"), "{error}");
    fs::write(token.path("empty"), "\n")?;
    let empty = format!("{uri}&pin-source={}", token.path("empty").display());
    let error = token.refuses(&[&certify[..], &[&empty]].concat())?;
    ensure!(error.contains("empty: there is no PIN in it"), "{error}");
    ensure!(!token.path("it.crt").exists(), "a certificate without a PIN");
    let accepted = with_pin(PIN)?;
    ensure!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    Ok(())
}

#[test]
fn what_is_not_there_or_not_clear_is_refused_by_name() -> Result<()> {
    let Some(token) = Token::new()? else { return Ok(()) };
    token.import("packs", "01", KINDS[2].1)?;
    token.import("packs", "02", KINDS[2].1)?;
    token.import("P-521", "03", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"])?;
    let library = token.library;
    let pin = token.path("pin");
    let pin = pin.display();
    for (uri, part) in [
        (token.uri("object=policies"), "the token \"site\" has no such private key"),
        (token.uri("object=packs"), "2 private keys of the token \"site\" are like that"),
        (token.uri("object=P-521"), "ECDSA P-521 keys are not supported"),
        (
            format!("pkcs11:token=other;object=packs?module-path={library}&pin-source={pin}"),
            "no token is like that; there is \"site\"",
        ),
        (
            "pkcs11:object=packs?module-path=/no/such.so".to_owned(),
            "cannot load the PKCS#11 library /no/such.so",
        ),
        ("pkcs11:token=site".to_owned(), "cannot use the PKCS#11 URI: it says neither object"),
    ] {
        let error = token.refuses(&["key", "certificate", "--cert", "it.crt", "--key", &uri])?;
        ensure!(error.contains(part), "{uri}: {error}");
    }
    Ok(())
}

#[test]
fn a_key_that_wants_the_pin_each_time_gets_it() -> Result<()> {
    let Some(token) = Token::new()? else { return Ok(()) };
    if Command::new("pkcs11-tool").arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
    {
        eprintln!("skipped: there is no pkcs11-tool, which makes such keys");
        return Ok(());
    }
    let login = ["--module", token.library, "--token-label", "site", "--login", "--pin", PIN];
    let key = ["--keypairgen", "--key-type", "rsa:2048", "--label", "careful", "--id", "05", "--always-auth"];
    token.run("pkcs11-tool", &[&login[..], &key].concat())?;
    let uri = token.uri("object=careful");
    token.says(&["key", "certificate", "--key", &uri, "--cert", "it.crt"])?;
    token.says(&["key", "check", "--key", &uri, "--cert", "it.crt"])?;
    Ok(())
}

#[test]
fn a_certificate_of_another_key_is_refused() -> Result<()> {
    let Some(token) = Token::new()? else { return Ok(()) };
    token.import("packs", "01", KINDS[2].1)?;
    token.import("other", "02", KINDS[2].1)?;
    token.says(&["key", "certificate", "--cert", "other.crt", "--key", &token.uri("object=other")])?;
    let error =
        token.refuses(&["key", "check", "--cert", "other.crt", "--key", &token.uri("object=packs")])?;
    let part = "key \"packs\" of the token \"site\" and other.crt: the key and the certificate";
    ensure!(error.contains(part), "{error}");
    Ok(())
}

/// An image of one small program, as `docker save` writes it.
fn archive(token: &Token) -> Result<()> {
    fs::create_dir_all(token.path("root/bin"))?;
    fs::write(token.path("root/bin/tool"), [b"#!/bin/sh\n".as_slice(), &[b'#'; 5000]].concat())?;
    token.run("tar", &["--sort=name", "-cf", "layer.tar", "-C", "root", "bin"])?;
    let digest = token.run("openssl", &["dgst", "-sha256", "-r", "layer.tar"])?;
    let digest = digest.split_whitespace().next().context("no digest")?;
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}},"config":{{}}}}"#
    );
    fs::write(token.path("config.json"), config)?;
    let manifest = r#"[{"Config":"config.json","RepoTags":["tool:1"],"Layers":["layer.tar"]}]"#;
    fs::write(token.path("manifest.json"), manifest)?;
    token.run("tar", &["-cf", "image.tar", "manifest.json", "config.json", "layer.tar"])?;
    Ok(())
}

#[test]
fn an_image_is_sealed_by_keys_in_a_token_one_for_the_packs_and_one_for_the_statement() -> Result<()> {
    let Some(token) = Token::new()? else { return Ok(()) };
    for (number, (name, genpkey)) in
        ["packs", "statements"].into_iter().zip([KINDS[0].1, KINDS[2].1]).enumerate()
    {
        token.import(name, &format!("b{number}"), genpkey)?;
        let (uri, certificate) = (token.uri(&format!("object={name}")), format!("{name}.crt"));
        token.says(&["key", "certificate", "--key", &uri, "--cert", &certificate, "--subject", name])?;
    }
    archive(&token)?;
    let pull = [
        "--store",
        "store",
        "pull",
        "docker-archive:image.tar",
        "--name",
        "tool:1",
        "--platform",
        "linux/amd64",
    ];
    token.says(&pull)?;
    let [packs, statements] = ["packs", "statements"].map(|name| token.uri(&format!("object={name}")));
    let seal = ["--store", "store", "seal", "tool:1", "--key", &packs, "--cert", "packs.crt"];
    let with_other = ["--statement-key", &statements, "--statement-cert", "statements.crt"];
    let sealed = token.says(&[&seal[..], &with_other].concat())?;
    let (of_statement, of_root_hashes) =
        sealed.split_once("; 2 root hashes signed by ").context("no root hashes")?;
    ensure!(of_statement.ends_with("of \"CN=statements\""), "{sealed}");
    ensure!(of_root_hashes.trim_end().ends_with("of \"CN=packs\""), "{sealed}");
    let refused = token
        .refuses(&[&seal[..], &["--statement-key", &packs, "--statement-cert", "statements.crt"]].concat())?;
    ensure!(refused.contains("do not belong together"), "{refused}");
    Ok(())
}

#[test]
fn what_firmware_starts_is_signed_by_a_key_in_a_token() -> Result<()> {
    let Some(token) = Token::new()? else { return Ok(()) };
    token.import("boot", "c0", KINDS[0].1)?;
    let uri = token.uri("object=boot");
    token.says(&["key", "certificate", "--key", &uri, "--cert", "boot.crt", "--subject", "boot"])?;
    let packs = ["--key", "packs.key", "--cert", "packs.crt"];
    token.says(&[&["key", "new"], &packs[..]].concat())?;
    token.says(&["policy", "new", "host", "-o", "host.policy"])?;
    token.says(&[&["policy", "sign", "host.policy", "-o", "host.p7b"], &packs[..]].concat())?;
    let source = HostImage::new().layout(&token.path("layout"))?.source();
    let store = ["--store", "store"];
    token
        .says(&[&store[..], &["pull", &source, "--name", "host:1", "--platform", "linux/amd64"]].concat())?;
    token.says(&[&store[..], &["seal", "host:1"], &packs[..]].concat())?;
    let build =
        ["host", "build", "host:1", "--policy", "host.p7b", "--certificate", "packs.crt", "-o", "host.efi"];
    let made = token.says(&[&store[..], &build, &["--key", &uri, "--cert", "boot.crt"]].concat())?;
    ensure!(made.contains("signed by CN=boot"), "{made}");
    token.run("sbverify", &["--cert", "boot.crt", "host.efi"]).map(drop)
}
