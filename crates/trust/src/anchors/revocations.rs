//! What no longer counts.

use sealpack_format::digest::RootHash;
use serde::Deserialize;

use super::TomlError;
use super::error::read_toml;
use crate::key::{Certificate, Fingerprint};
use crate::timestamp::Timestamp;

/// Certificates whose keys no longer count, and root hashes that must not be used whoever signed them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocations {
    /// The certificates.
    #[serde(default, rename = "certificate")]
    pub certificates: Vec<RevokedCertificate>,
    /// Keys without certificates.
    #[serde(default, rename = "public_key")]
    pub keys: Vec<RevokedKey>,
    /// The root hashes.
    #[serde(default, rename = "root_hash")]
    pub root_hashes: Vec<RevokedRootHash>,
}

/// A certificate that was revoked, and its key with it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedCertificate {
    /// The SHA-256 of its DER.
    pub sha256: Fingerprint,
    /// The SHA-256 of its `SubjectPublicKeyInfo`: what is revoked, whichever certificate it is in. Absent in what
    /// versions before this field wrote; [`Anchors::revocation`](super::Anchors::revocation) finds the key then where it
    /// has the certificate.
    pub public_key: Option<Fingerprint>,
    /// What the trust store called it, for people.
    pub name: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When, for people.
    pub revoked: Option<toml::value::Datetime>,
}

/// A key that was revoked without any certificate of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedKey {
    /// The SHA-256 of its `SubjectPublicKeyInfo`.
    pub sha256: Fingerprint,
    /// What the trust store called it, for people.
    pub name: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When, for people.
    pub revoked: Option<toml::value::Datetime>,
}

/// A root hash that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedRootHash {
    /// The root hash.
    pub root_hash: RootHash,
    /// The image that it was of, for people.
    pub image: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When, for people.
    pub revoked: Option<toml::value::Datetime>,
}

impl Revocations {
    /// Reads `revoked.toml`.
    ///
    /// # Errors
    /// Something unknown or wrong in it, with its line.
    pub fn parse(bytes: &[u8]) -> Result<Self, TomlError> {
        read_toml(bytes)
    }

    /// Those of another file as well.
    pub fn extend(&mut self, others: Self) {
        self.certificates.extend(others.certificates);
        self.keys.extend(others.keys);
        self.root_hashes.extend(others.root_hashes);
    }

    /// The revocation that names a certificate. Another one may be of the same key:
    /// [`Anchors::revocation`](super::Anchors::revocation).
    #[must_use]
    pub fn certificate(&self, sha256: &Fingerprint) -> Option<&RevokedCertificate> {
        self.certificates.iter().find(|revoked| revoked.sha256 == *sha256)
    }

    /// Whether a key was revoked, alone or with a certificate of it.
    #[must_use]
    pub fn has_key(&self, sha256: &Fingerprint) -> bool {
        let with_certificate = self.certificates.iter().filter_map(|revoked| revoked.public_key);
        with_certificate.chain(self.keys.iter().map(|revoked| revoked.sha256)).any(|key| key == *sha256)
    }

    /// Whether the revocation of a certificate is there with that of its key.
    #[must_use]
    pub fn has_whole(&self, certificate: &Certificate) -> bool {
        let (sha256, key) = (certificate.fingerprint(), certificate.public_key().fingerprint());
        self.certificates.iter().any(|revoked| revoked.sha256 == sha256 && revoked.public_key == Some(key))
    }

    /// The revocation of a root hash.
    #[must_use]
    pub fn root_hash(&self, root_hash: &RootHash) -> Option<&RevokedRootHash> {
        self.root_hashes.iter().find(|revoked| revoked.root_hash == *root_hash)
    }
}

impl RevokedCertificate {
    /// The lines to be put at the end of `revoked.toml`.
    #[must_use]
    pub fn to_toml(
        certificate: &Certificate,
        name: Option<&str>,
        reason: Option<&str>,
        when: Timestamp,
    ) -> String {
        certificate_entry(certificate, name, reason, Some(&when.to_string()))
    }

    /// The lines of the same revocation with the key of its certificate.
    #[must_use]
    pub fn with_key(&self, certificate: &Certificate) -> String {
        let when = self.revoked.map(|when| when.to_string());
        certificate_entry(certificate, self.name.as_deref(), self.reason.as_deref(), when.as_deref())
    }

    /// What people call it: its name, or what tells it from others.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("sha256:{}", self.sha256))
    }
}

impl RevokedRootHash {
    /// The lines to be put at the end of `revoked.toml`.
    #[must_use]
    pub fn to_toml(
        root_hash: &RootHash,
        image: Option<&str>,
        reason: Option<&str>,
        when: Timestamp,
    ) -> String {
        let fields = [("root_hash", Some(root_hash.to_string())), ("image", image.map(str::to_owned))];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_deref()));
        entry("root_hash", &[fields[0], fields[1], ("reason", reason)], Some(&when.to_string()))
    }
}

fn certificate_entry(
    certificate: &Certificate,
    name: Option<&str>,
    reason: Option<&str>,
    when: Option<&str>,
) -> String {
    let sha256 = certificate.fingerprint().to_string();
    let key = certificate.public_key().fingerprint().to_string();
    let fields = [
        ("sha256", Some(sha256.as_str())),
        ("public_key", Some(key.as_str())),
        ("name", name),
        ("reason", reason),
    ];
    entry("certificate", &fields, when)
}

/// An element of an array of tables. Lines are added to a file that people have comments in, so it is not written anew.
fn entry(table: &str, fields: &[(&str, Option<&str>)], when: Option<&str>) -> String {
    let line = |(name, value): &(&str, Option<&str>)| Some(format!("{name} = {}\n", quoted((*value)?)));
    let lines: String = fields.iter().filter_map(line).collect();
    let when = when.map(|when| format!("revoked = {when}\n")).unwrap_or_default();
    format!("\n[[{table}]]\n{lines}{when}")
}

/// A basic string (TOML 1.0, "String").
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(character)));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
