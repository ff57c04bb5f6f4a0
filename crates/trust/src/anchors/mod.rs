//! The trust store: whose signatures count for what, what no longer counts, and what may be pulled.
//!
//! Whoever uses this gives it the bytes of the files; sealpack-rules.toml(5), in `crates/cli/man/`, says what these are
//! and where.

mod error;
mod keys;
mod revocations;
mod rules;

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

pub use error::{AnchorError, AnchorNameError, CertificateProblem, TomlError, read_toml};
pub use keys::ArtifactKey;
pub use revocations::{Revocations, RevokedCertificate, RevokedKey, RevokedRootHash};
pub use rules::{Demand, Namespace, Pin, Requirement, Rules};

pub(crate) use error::because;

use crate::key::Certificate;
use crate::pkcs7::{self, VerifyError};

/// What a certificate may have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Root hashes of packs and metadata images.
    Packs,
    /// Statements about images.
    Statements,
    /// IPE policies.
    Policies,
}

impl Use {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Packs, Self::Statements, Self::Policies];

    /// Its name on a command line, and that of its directory in a trust store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packs => "packs",
            Self::Statements => "statements",
            Self::Policies => "policies",
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Use {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |of: &Self| of.name() == text;
        let none = || format!("{text:?} is not what a certificate is for: packs, statements or policies");
        Self::ALL.into_iter().find(named).ok_or_else(none)
    }
}

/// The longest name of a certificate, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// What a trust store calls a certificate: also the name of a file, without its ending.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnchorName(String);

impl AnchorName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AnchorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AnchorName {
    type Err = AnchorNameError;

    fn from_str(text: &str) -> Result<Self, AnchorNameError> {
        let is_first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if is_first && text.len() <= NAME_MAX_BYTES && text.bytes().all(is_good) {
            return Ok(Self(text.to_owned()));
        }
        Err(AnchorNameError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for AnchorName {
    type Error = AnchorNameError;

    fn try_from(text: String) -> Result<Self, AnchorNameError> {
        text.parse()
    }
}

/// A trust store: certificates by what they are for, revocations, and rules.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    certificates: [Named; Use::ALL.len()],
    artifact_keys: Vec<ArtifactKey>,
    revocations: Revocations,
    rules: Rules,
}

/// Certificates, each with its name at the same place.
#[derive(Debug, Clone, Default)]
struct Named {
    names: Vec<AnchorName>,
    certificates: Vec<Certificate>,
}

impl Anchors {
    /// A trust store without certificates.
    #[must_use]
    pub fn new(revocations: Revocations, rules: Rules) -> Self {
        Self { revocations, rules, ..Self::default() }
    }

    /// Adds a certificate. The same again is nothing new.
    ///
    /// # Errors
    /// [`AnchorError::Conflict`] if another has that name for this already: nobody could say which of the two is meant.
    pub fn add(&mut self, of: Use, name: AnchorName, certificate: Certificate) -> Result<(), AnchorError> {
        match self.certificate(of, &name) {
            Some(other) if *other == certificate => return Ok(()),
            Some(_) => return Err(AnchorError::Conflict { of, name }),
            None => {}
        }
        let named = &mut self.certificates[of as usize];
        named.names.push(name);
        named.certificates.push(certificate);
        Ok(())
    }

    /// The certificates for something, with their names.
    pub fn certificates(&self, of: Use) -> impl Iterator<Item = (&AnchorName, &Certificate)> {
        let named = &self.certificates[of as usize];
        named.names.iter().zip(&named.certificates)
    }

    /// The certificate of that name.
    #[must_use]
    pub fn certificate(&self, of: Use, name: &AnchorName) -> Option<&Certificate> {
        self.certificates(of).find(|(other, _)| *other == name).map(|(_, certificate)| certificate)
    }

    /// What no longer counts.
    #[must_use]
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// What may be pulled.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Checks a detached signature over `content` and returns whose it is, among the certificates for something.
    /// Whether that certificate still counts, [`check_certificate`](Self::check_certificate) says.
    ///
    /// # Errors
    /// As [`pkcs7::verify_detached`].
    pub fn verify(&self, of: Use, der: &[u8], content: &[u8]) -> Result<&Certificate, VerifyError> {
        pkcs7::verify_detached(der, content, &self.certificates[of as usize].certificates)
    }

    /// The names that a certificate has for something: usually one.
    #[must_use]
    pub fn names_of(&self, of: Use, certificate: &Certificate) -> Vec<AnchorName> {
        let same = self.certificates(of).filter(|(_, other)| *other == certificate);
        same.map(|(name, _)| name.clone()).collect()
    }

    /// The revocation of a certificate: the one that names it, or else one of its key, by way of another certificate.
    /// One without a key, as earlier versions wrote them, is of the key of a certificate that is here.
    #[must_use]
    pub fn revocation(&self, certificate: &Certificate) -> Option<&RevokedCertificate> {
        let (sha256, key) = (certificate.fingerprint(), certificate.public_key());
        let key_sha256 = key.fingerprint();
        let is_of_key = |revoked: &&RevokedCertificate| match revoked.public_key {
            Some(revoked) => revoked == key_sha256,
            None => self.all().any(|one| one.public_key() == key && one.fingerprint() == revoked.sha256),
        };
        let revoked = &self.revocations.certificates;
        revoked.iter().find(|revoked| revoked.sha256 == sha256).or_else(|| revoked.iter().find(is_of_key))
    }

    /// The certificates for anything.
    fn all(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.iter().flat_map(|named| &named.certificates)
    }

    /// That signatures by a certificate count: neither it nor its key is revoked, it is valid at `now`, and for signing code. The kernel
    /// looks at none of these, so this is for decisions in userspace only.
    ///
    /// # Errors
    /// Which of them is not so.
    pub fn check_certificate(
        &self,
        certificate: &Certificate,
        now: SystemTime,
    ) -> Result<(), CertificateProblem> {
        if let Some(revoked) = self.revocation(certificate) {
            let is_itself = revoked.sha256 == certificate.fingerprint();
            let with = (!is_itself).then(|| revoked.label());
            return Err(CertificateProblem::Revoked { with, reason: revoked.reason.clone() });
        }
        let validity = certificate.validity();
        if now < validity.not_before() {
            return Err(CertificateProblem::NotYet(error::day(validity.not_before())));
        }
        if now > validity.not_after() {
            return Err(CertificateProblem::Expired(error::day(validity.not_after())));
        }
        certificate.check_usage().map_err(CertificateProblem::Usage)
    }
}

#[cfg(test)]
mod tests;
