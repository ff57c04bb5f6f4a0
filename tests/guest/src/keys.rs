//! Test keys, signatures by them, and firmware variables with a certificate in `db`.

use crate::checks::Boot;
use crate::programs::Programs;
use anyhow::{Context, Result};
use sealpack_tests::command::{run, stdout};
use sealpack_tests::program::start;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A key and its certificate, made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    key: PathBuf,
    certificate: PathBuf,
}

/// All kinds of keys that `sealpack key new` makes.
pub const KINDS: [&str; 5] = ["rsa2048", "rsa3072", "rsa4096", "p256", "p384"];

/// The owner that firmware variables name for the certificate: a number that means nothing.
pub(crate) const OWNER: &str = "7b9c1f0e-53c5-4a3c-9a43-5a1e5a1eca5e";

/// The variables that no key was enrolled in, of the package ovmf.
pub(crate) const EMPTY_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

impl Key {
    /// The one that the firmware trusts.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn trusted() -> Result<Self> {
        Self::named("trusted")
    }

    /// One that nobody trusts.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn unknown() -> Result<Self> {
        Self::named("unknown")
    }

    /// One that the firmware does not know, for keyrings that take certificates later.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn extra() -> Result<Self> {
        Self::named("extra")
    }

    /// The one that follows [`extra`](Self::extra), likewise.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn next() -> Result<Self> {
        Self::named("next")
    }

    /// One that the firmware trusts in the first boot only.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn retiring() -> Result<Self> {
        Self::named("retiring")
    }

    /// The one that follows [`retiring`](Self::retiring), which the firmware trusts always.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn succeeding() -> Result<Self> {
        Self::named("succeeding")
    }

    /// One that `sealpack key new` makes, of one of [`KINDS`]. The firmware trusts these too.
    ///
    /// # Errors
    /// If it fails.
    pub fn of_kind(kind: &str, programs: &Programs) -> Result<Self> {
        Self::made(kind, |key, certificate| new_key(kind, kind, programs, key, certificate))
    }

    /// One of a sealed host, which does what `role` says there.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn for_host(role: &str, programs: &Programs) -> Result<Self> {
        let name = format!("host-{role}");
        Self::made(&name, |key, certificate| new_key("rsa2048", &name, programs, key, certificate))
    }

    fn named(name: &str) -> Result<Self> {
        Self::made(name, |key, certificate| {
            let mut openssl = Command::new("openssl");
            openssl
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500", "-subj"])
                .arg(format!("/CN=sealpack test {name}"))
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .args(["-addext", "keyUsage=critical,digitalSignature"])
                .args(["-addext", "extendedKeyUsage=codeSigning"])
                .arg("-keyout")
                .arg(key)
                .arg("-out")
                .arg(certificate);
            run(&mut openssl).map(drop)
        })
    }

    /// The key of this name, made by `make` if it is not there yet.
    fn made(name: &str, make: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<Self> {
        let place = crate::place().join("keys");
        fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        let lock = File::create(place.join("lock"))?;
        lock.lock().context("cannot lock the place of the keys")?;
        let file = |suffix: &str| place.join(format!("{name}.{suffix}"));
        let found = Self { key: file("key"), certificate: file("pem") };
        if !found.certificate.exists() {
            let new = file("new");
            make(&found.key, &new)?;
            fs::rename(new, &found.certificate)?;
        }
        Ok(found)
    }

    /// The private key, in PEM.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The certificate, in PEM.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The certificate in DER.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn certificate_der(&self, target: &Path) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-outform", "der", "-in"]).arg(&self.certificate).arg("-out").arg(target);
        run(&mut openssl).map(drop)
    }

    /// Signs a root hash as dm-verity wants it: detached.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn sign_detached(&self, content: &Path, target: &Path) -> Result<()> {
        self.sign(content, target, &["-nocerts"])
    }

    /// Signs a policy as IPE wants it: with the policy in it.
    ///
    /// # Errors
    /// If openssl fails.
    pub fn sign_embedded(&self, content: &Path, target: &Path) -> Result<()> {
        self.sign(content, target, &["-nodetach", "-nosmimecap"])
    }

    fn sign(&self, content: &Path, target: &Path, options: &[&str]) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl
            .args(["smime", "-sign", "-binary", "-noattr", "-outform", "der"])
            .args(options)
            .arg("-in")
            .arg(content)
            .arg("-inkey")
            .arg(&self.key)
            .arg("-signer")
            .arg(&self.certificate)
            .arg("-out")
            .arg(target);
        run(&mut openssl).map(drop)
    }
}

/// Has `sealpack` make a key.
fn new_key(kind: &str, name: &str, programs: &Programs, key: &Path, certificate: &Path) -> Result<()> {
    let mut sealpack = start(&programs.sealpack);
    sealpack.args(["key", "new", "--force", "--type", kind]);
    sealpack.args(["--subject", &format!("sealpack test {name}"), "--key"]).arg(key);
    run(sealpack.arg("--cert").arg(certificate)).map(drop)
}

/// Writes firmware variables to `target` whose `db` has the certificates of the trusted key, of those of all
/// [`KINDS`], of the succeeding one, and in the first boot of the retiring one, and no other.
///
/// There is no platform key among them, and so Secure Boot is off: with it on, the kernel would lock itself down, and
/// what the checks are to show of IPE would be refused by lockdown already.
///
/// # Errors
/// If virt-fw-vars or `sealpack` fails.
pub fn write_variables(programs: &Programs, boot: Boot, target: &Path) -> Result<()> {
    let mut command = Command::new("virt-fw-vars");
    command.args(["--input", EMPTY_VARIABLES]);
    let kinds = KINDS.iter().map(|kind| Key::of_kind(kind, programs));
    let retiring = (boot == Boot::First).then(Key::retiring);
    for key in [Key::trusted(), Key::succeeding()].into_iter().chain(retiring).chain(kinds) {
        command.args(["--add-db", OWNER]).arg(key?.certificate());
    }
    stdout(command.arg("--output").arg(target)).map(drop)
}
