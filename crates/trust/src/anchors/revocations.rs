//! What no longer counts.

use sealpack_format::digest::RootHash;
use serde::Deserialize;

use super::TomlError;
use super::error::read;
use crate::key::Fingerprint;
use crate::timestamp::Timestamp;

/// Certificates whose signatures no longer count, and root hashes that must not be used whoever signed them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocations {
    /// The certificates.
    #[serde(default, rename = "certificate")]
    pub certificates: Vec<RevokedCertificate>,
    /// The root hashes.
    #[serde(default, rename = "root_hash")]
    pub root_hashes: Vec<RevokedRootHash>,
}

/// A certificate that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedCertificate {
    /// The SHA-256 of its DER.
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
        read(bytes)
    }

    /// Those of another file as well.
    pub fn extend(&mut self, others: Self) {
        self.certificates.extend(others.certificates);
        self.root_hashes.extend(others.root_hashes);
    }

    /// The revocation of a certificate.
    #[must_use]
    pub fn certificate(&self, sha256: &Fingerprint) -> Option<&RevokedCertificate> {
        self.certificates.iter().find(|revoked| revoked.sha256 == *sha256)
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
        sha256: &Fingerprint,
        name: Option<&str>,
        reason: Option<&str>,
        when: Timestamp,
    ) -> String {
        entry(
            "certificate",
            &[("sha256", Some(&sha256.to_string())), ("name", name), ("reason", reason)],
            when,
        )
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
        entry("root_hash", &[fields[0], fields[1], ("reason", reason)], when)
    }
}

/// An element of an array of tables. Lines are added to a file that people have comments in, so it is not written anew.
fn entry(table: &str, fields: &[(&str, Option<&str>)], when: Timestamp) -> String {
    let line = |(name, value): &(&str, Option<&str>)| Some(format!("{name} = {}\n", quoted((*value)?)));
    let lines: String = fields.iter().filter_map(line).collect();
    format!("\n[[{table}]]\n{lines}revoked = {when}\n")
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
