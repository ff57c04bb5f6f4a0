use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use sealpack_trust::key::{Certificate, FileKey};

/// The kinds of keys that are tested, and how `openssl genpkey` makes them.
pub(crate) const KINDS: [(&str, &[&str]); 5] = [
    ("RSA 2048", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    ("RSA 3072", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
    ("RSA 4096", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"]),
    ("ECDSA P-256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("ECDSA P-384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
];

/// A directory in which OpenSSL is run.
pub(crate) struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    /// `None` where there is no OpenSSL; says so.
    pub(crate) fn new() -> Result<Option<Self>> {
        let found =
            Command::new("openssl").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no openssl program");
            return Ok(None);
        }
        Ok(Some(Self { directory: tempfile::tempdir()? }))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.path(name)).with_context(|| format!("cannot read {name}"))
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        fs::write(self.path(name), bytes).with_context(|| format!("cannot write {name}"))
    }

    /// Runs OpenSSL in the directory; what it prints.
    pub(crate) fn openssl(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let (succeeded, stdout, stderr) = self.attempt(arguments)?;
        ensure!(succeeded, "openssl {arguments:?}: {stderr}");
        Ok(stdout)
    }

    /// Runs OpenSSL in the directory: whether it succeeded, and what it prints.
    pub(crate) fn attempt(&self, arguments: &[&str]) -> Result<(bool, Vec<u8>, String)> {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        let output = command.output().context("openssl")?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.success(), output.stdout, stderr))
    }

    /// Makes `NAME.key` and `NAME.crt`.
    pub(crate) fn make(&self, name: &str, genpkey: &[&str]) -> Result<()> {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        self.openssl(&[&["genpkey", "-out", &key], genpkey].concat())?;
        let subject = format!("/O=Example/CN={name}");
        self.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            &key,
            "-out",
            &certificate,
            "-days",
            "30",
            "-subj",
            &subject,
        ])?;
        Ok(())
    }

    /// Reads `NAME.key` and `NAME.crt`.
    pub(crate) fn load(&self, name: &str) -> Result<(FileKey, Certificate)> {
        let key = FileKey::parse(&self.read(&format!("{name}.key"))?)?;
        let certificate = Certificate::parse(&self.read(&format!("{name}.crt"))?)?;
        certificate.check_signer(&key)?;
        Ok((key, certificate))
    }
}
