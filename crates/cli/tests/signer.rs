//! Programs that sign: those of docs/signer-command.md, and bad ones.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

const PAGE: &str = include_str!("../../../docs/signer-command.md");

/// What stands for a service: it checks that it is asked as the service wants it, and signs with OpenSSL.
const SERVICES: [(&str, &str); 3] = [
    (
        "aws",
        r#"test "$1 $2 $3 $4 $5 $6 $7 $8 $9" = "kms sign --key-id alias/packs --message fileb:///dev/stdin --message-type DIGEST --signing-algorithm" || exit 9
shift 9
test "$*" = "RSASSA_PKCS1_V1_5_SHA_256 --query Signature --output text" || exit 9
openssl pkeyutl -sign -inkey "$KEYS/aws-sign.key" -pkeyopt digest:sha256 | base64 -w 0; echo"#,
    ),
    (
        "vault",
        r#"test "$*" = "write -field=signature transit/sign/packs/sha2-256 marshaling_algorithm=asn1 input=-" || exit 9
printf vault:v1:; base64 -d | openssl dgst -sha256 -sign "$KEYS/vault-sign.key" | base64 -w 0"#,
    ),
    (
        "ssh",
        r#"test "$*" = "-o BatchMode=yes signer@hsm.example.org sign-packs ecdsa-p384-sha384" || exit 9
openssl dgst -sha384 -sign "$KEYS/hsm-sign.key""#,
    ),
];

/// The page's programs, and how OpenSSL makes the key of each.
const PROGRAMS: [(&str, &[&str]); 3] = [
    ("aws-sign", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
    ("vault-sign", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("hsm-sign", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
];

/// A directory with the services in `services`, which is in `PATH` before all others.
struct Place(tempfile::TempDir);

impl Place {
    /// `None` where there is no OpenSSL; says so.
    fn new() -> Result<Option<Self>> {
        let mut openssl = Command::new("openssl");
        if openssl.arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            sealpack_tests::skip("there is no openssl");
            return Ok(None);
        }
        let place = Self(tempfile::tempdir()?);
        fs::create_dir(place.path("services"))?;
        for (name, script) in SERVICES {
            place.program(&format!("services/{name}"), &format!("#!/bin/sh\nset -e\n{script}\n"))?;
        }
        Ok(Some(place))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path(name), text)?;
        Ok(fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755))?)
    }

    /// One that the page has, with its key, and the public key as services give it.
    fn of_page(&self, name: &str, genpkey: &[&str]) -> Result<()> {
        let (_, rest) =
            PAGE.split_once(&format!("<!-- program: {name} -->\n```sh\n")).context("no such program")?;
        self.program(name, rest.split_once("```").context("it has no end")?.0)?;
        let key = format!("{name}.key");
        self.run("openssl", &[&["genpkey", "-out", &key], genpkey].concat())?;
        self.run(
            "openssl",
            &["pkey", "-in", &key, "-pubout", "-outform", "der", "-out", &format!("{name}.der")],
        )?;
        Ok(())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        let ours = |variable: &OsString| variable.as_encoded_bytes().starts_with(b"SEALPACK_");
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| ours(variable)) {
            command.env_remove(variable);
        }
        let path = std::env::var_os("PATH").context("there is no PATH")?;
        let all = [self.path("services")].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(all)?).env("KEYS", self.0.path());
        Ok(command)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.command(program, arguments)?.output().with_context(|| program.to_owned())?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{program} {arguments:?}: {stderr}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn says(&self, arguments: &[&str]) -> Result<String> {
        self.run(env!("CARGO_BIN_EXE_sealpack"), arguments)
    }

    fn sealpack(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(env!("CARGO_BIN_EXE_sealpack"), arguments)?.output()?)
    }

    fn refuses(&self, arguments: &[&str]) -> Result<String> {
        let output = self.sealpack(arguments)?;
        ensure!(!output.status.success() && output.stdout.is_empty(), "{arguments:?} succeeded");
        Ok(String::from_utf8(output.stderr)?)
    }

    /// Makes a certificate for a program of the page's.
    fn certify(&self, name: &str) -> Result<String> {
        let (program, public, certificate) =
            (format!("./{name}"), format!("{name}.der"), format!("{name}.crt"));
        let certify = ["key", "certificate", "--signer-command", &program, "--public-key", &public];
        self.says(&[&certify[..], &["--cert", &certificate, "--subject", name]].concat())
    }
}

#[test]
fn the_pages_programs_make_certificates_and_sign_and_openssl_verifies() -> Result<()> {
    let Some(place) = Place::new()? else { return Ok(()) };
    fs::write(place.path("it.policy"), "policy_name=it policy_version=1.0.0\nDEFAULT action=DENY\n")?;
    for (name, genpkey) in PROGRAMS {
        place.of_page(name, genpkey)?;
        place.certify(name)?;
        let (program, certificate) = (format!("./{name}"), format!("{name}.crt"));
        place.run("openssl", &["verify", "-check_ss_sig", "-CAfile", &certificate, &certificate])?;
        let by = ["--signer-command", &program, "--cert", &certificate];
        let checked = place.says(&[&["key", "check"][..], &by].concat())?;
        ensure!(checked.contains(&format!("\"CN={name}\" and signs")), "{checked}");
        place.says(&[&["policy", "sign", "it.policy", "-o", "it.p7b", "--force"][..], &by].concat())?;
        let verify =
            ["smime", "-verify", "-inform", "der", "-in", "it.p7b", "-noverify", "-nointern", "-binary"];
        let content = place.run("openssl", &[&verify[..], &["-certfile", &certificate]].concat())?;
        ensure!(content == fs::read_to_string(place.path("it.policy"))?, "{content}");
    }
    Ok(())
}

#[test]
fn an_image_is_sealed_by_a_program_and_its_statement_by_another_one() -> Result<()> {
    let Some(place) = Place::new()? else { return Ok(()) };
    for (name, genpkey) in &PROGRAMS[..2] {
        place.of_page(name, genpkey)?;
        place.certify(name)?;
    }
    let image = sealpack_tests::images::small()?;
    let store = ["--store", "store"];
    place.says(&[&store[..], &["pull", "--objects", "packs", &image.source(), "--name", "it:1"]].concat())?;
    let seal = ["seal", "it:1", "--signer-command", "./aws-sign", "--cert", "aws-sign.crt"];
    let statement = ["--statement-signer-command", "./vault-sign", "--statement-cert", "vault-sign.crt"];
    let sealed = place.says(&[&store[..], &seal, &statement].concat())?;
    let (of_statement, of_root_hashes) =
        sealed.split_once(" root hashes signed by ").context("no root hashes")?;
    ensure!(of_statement.contains("CN=vault-sign") && of_root_hashes.contains("CN=aws-sign"), "{sealed}");
    for name in ["aws-sign", "vault-sign"] {
        let add = ["--trust", "trust", "trust", "add", name, "--cert", &format!("{name}.crt")];
        place.says(&add)?;
    }
    let verified = place.says(&[&store[..], &["--trust", "trust", "verify", "it:1"]].concat())?;
    ensure!(verified.contains("seal"), "{verified}");
    Ok(())
}

#[test]
fn a_program_that_does_not_sign_leaves_nothing_behind_and_is_named() -> Result<()> {
    let Some(place) = Place::new()? else { return Ok(()) };
    place.of_page("vault-sign", PROGRAMS[1].1)?;
    place.certify("vault-sign")?;
    fs::write(place.path("it.policy"), "policy_name=it policy_version=1.0.0\nDEFAULT action=DENY\n")?;
    place.program("fails", "#!/bin/sh\necho no credentials >&2\nexit 4\n")?;
    place
        .program("stale", "#!/bin/sh\necho another message | openssl dgst -sha256 -sign vault-sign.key\n")?;
    place.program("shouts", "#!/bin/sh\nyes\n")?;
    fs::write(place.path("closed"), "#!/bin/sh\n")?;
    for (program, parts) in [
        ("./fails", &["no credentials", "./fails ended with exit status: 4"][..]),
        ("./stale", &["./stale answered", "no signature (ECDSA P-256 with SHA-256)"]),
        ("./shouts", &["./shouts answered with more than 16 KiB"]),
        ("./closed", &["./closed cannot be started: Permission denied"]),
        ("./absent", &["./absent cannot be started: No such file"]),
    ] {
        let sign = ["policy", "sign", "it.policy", "-o", "it.p7b", "--cert", "vault-sign.crt"];
        let error = place.refuses(&[&sign[..], &["--signer-command", program]].concat())?;
        for part in parts {
            ensure!(error.contains(part), "{program}: {error}");
        }
        ensure!(!place.path("it.p7b").exists(), "{program} left a policy behind");
    }
    Ok(())
}

#[test]
fn a_program_is_in_the_place_of_a_key_and_needs_a_public_key_for_its_first_certificate() -> Result<()> {
    let Some(place) = Place::new()? else { return Ok(()) };
    let both = ["key", "check", "--key", "a.key", "--signer-command", "./a", "--cert", "a.crt"];
    let error = place.refuses(&both)?;
    ensure!(error.contains("'--key <FILE|URI>' cannot be used with"), "{error}");
    let error = place.refuses(&["key", "certificate", "--signer-command", "./a", "--cert", "a.crt"])?;
    ensure!(error.contains("--public-key <FILE>"), "{error}");
    fs::write(place.path("none.pem"), "nothing")?;
    let certify = ["key", "certificate", "--signer-command", "./a", "--cert", "a.crt", "--public-key"];
    let error = place.refuses(&[&certify[..], &["none.pem"]].concat())?;
    ensure!(error.contains("none.pem: "), "{error}");
    let error = place.refuses(&["seal", "it:1", "--cert", "a.crt"])?;
    ensure!(error.contains("--key"), "{error}");
    let error =
        place.refuses(&["seal", "it:1", "--key", "a.key", "--cert", "a.crt", "--statement-cert", "b.crt"])?;
    ensure!(error.contains("--statement-key"), "{error}");
    Ok(())
}
