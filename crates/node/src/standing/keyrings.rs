//! Whom the kernel trusts: the certificates in its keyrings.

use sealpack_kernel::Kernel;
use sealpack_kernel::keyring::{Key, TrustedKeyring};
use sealpack_trust::key::Certificate;

/// The fewest digits of a key's identifier that tell it from others.
const IDENTIFIER_MIN_DIGITS: usize = 8;

/// All keyrings that the kernel trusts for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyrings(Vec<(TrustedKeyring, KeyringContents)>);

/// What a keyring holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyringContents {
    /// What it holds, in the kernel's order.
    Held(Vec<HeldKey>),
    /// The kernel has no such keyring.
    Absent,
    /// It is not known; why, in words.
    Unreadable(String),
}

/// What is in a keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldKey {
    /// A certificate, as the kernel describes it: the subject's organisation and common name, and the end of its key
    /// identifier in hex.
    Certificate(String),
    /// A keyring that it includes, by its name.
    Keyring(String),
}

impl HeldKey {
    /// Of the kernel's types of keys, those that a keyring of certificates is for.
    fn new(key: Key) -> Option<Self> {
        match key.key_type.as_str() {
            "asymmetric" => Some(Self::Certificate(key.description)),
            "keyring" => Some(Self::Keyring(key.description)),
            _ => None,
        }
    }
}

impl Keyrings {
    /// Asks the kernel.
    #[must_use]
    pub fn read(kernel: &Kernel) -> Self {
        let contents = |which| match kernel.trusted_keyring(which) {
            Ok(Some(keyring)) => {
                KeyringContents::Held(keyring.keys.into_iter().filter_map(HeldKey::new).collect())
            }
            Ok(None) => KeyringContents::Absent,
            Err(error) => KeyringContents::Unreadable(error.to_string()),
        };
        Self(TrustedKeyring::ALL.map(|which| (which, contents(which))).into())
    }

    /// Each with what it holds.
    pub fn iter(&self) -> impl Iterator<Item = (TrustedKeyring, &KeyringContents)> {
        self.0.iter().map(|(which, contents)| (*which, contents))
    }

    /// The keyrings that have a certificate, of those that count for dm-verity and policies.
    #[must_use]
    pub fn of(&self, certificate: &Certificate) -> Vec<&'static str> {
        self.certificates()
            .filter(|(_, key)| describes(key, certificate))
            .map(|(which, _)| which.name())
            .collect()
    }

    /// The certificates that are none of these, as the kernel describes them, with their keyrings, of those that count
    /// for dm-verity and policies.
    #[must_use]
    pub fn others(&self, known: &[&Certificate]) -> Vec<(&'static str, &str)> {
        let is_other = |key: &str| !known.iter().any(|certificate| describes(key, certificate));
        let others = self.certificates().filter(|(_, key)| is_other(key));
        others.map(|(which, key)| (which.name(), key)).collect()
    }

    /// The keyrings that cannot be read, and why, of those that count for dm-verity and policies.
    #[must_use]
    pub fn unreadable(&self) -> Vec<String> {
        let why = |(which, contents): (TrustedKeyring, &KeyringContents)| match contents {
            KeyringContents::Unreadable(why) => Some(format!("{which}: {why}")),
            KeyringContents::Held(_) | KeyringContents::Absent => None,
        };
        self.that_count().filter_map(why).collect()
    }

    /// The keyrings with certificates that count for dm-verity and policies.
    pub(super) fn holders(&self) -> Vec<TrustedKeyring> {
        self.that_count()
            .filter(|(_, contents)| contents.has_certificates())
            .map(|(which, _)| which)
            .collect()
    }

    /// Keyrings that hold these, for tests of what follows from them.
    #[cfg(test)]
    pub(super) const fn with(contents: Vec<(TrustedKeyring, KeyringContents)>) -> Self {
        Self(contents)
    }

    fn certificates(&self) -> impl Iterator<Item = (TrustedKeyring, &str)> {
        self.that_count().flat_map(|(which, contents)| contents.certificates().map(move |key| (which, key)))
    }

    fn that_count(&self) -> impl Iterator<Item = (TrustedKeyring, &KeyringContents)> {
        self.iter().filter(|(which, _)| *which != TrustedKeyring::FsVerity)
    }
}

impl KeyringContents {
    /// All that is in it.
    #[must_use]
    pub fn keys(&self) -> &[HeldKey] {
        match self {
            Self::Held(keys) => keys,
            Self::Absent | Self::Unreadable(_) => &[],
        }
    }

    /// The certificates in it, as the kernel describes them.
    pub fn certificates(&self) -> impl Iterator<Item = &str> {
        self.keys().iter().filter_map(|key| match key {
            HeldKey::Certificate(description) => Some(description.as_str()),
            HeldKey::Keyring(_) => None,
        })
    }

    /// The names of the keyrings that it includes.
    pub fn included(&self) -> impl Iterator<Item = &str> {
        self.keys().iter().filter_map(|key| match key {
            HeldKey::Keyring(name) => Some(name.as_str()),
            HeldKey::Certificate(_) => None,
        })
    }

    fn has_certificates(&self) -> bool {
        self.certificates().next().is_some()
    }
}

/// Whether the kernel describes a certificate so: behind the subject, in hex, the end of its key identifier or, where
/// it has none, of its serial number (`x509_key_preparse` in crypto/asymmetric_keys/x509_public_key.c).
fn describes(description: &str, certificate: &Certificate) -> bool {
    let Some((_, identifier)) = description.rsplit_once(": ") else { return false };
    let own = match certificate.subject_key_id() {
        Some(id) => id.to_string(),
        None => certificate.serial_hex(),
    };
    identifier.len() >= IDENTIFIER_MIN_DIGITS.min(own.len()) && own.ends_with(identifier)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use sealpack_trust::key::{KeyKind, Validity, generate};

    use super::*;

    #[test]
    fn a_certificate_is_known_by_the_end_of_its_key_identifier() {
        let validity = Validity::starting(SystemTime::now(), Duration::from_secs(60)).expect("a minute");
        let made = generate(KeyKind::P256, &"one".parse().expect("a name"), &validity).expect("a key");
        let certificate = Certificate::parse(made.certificate_pem.as_bytes()).expect("a certificate");
        let id = certificate.subject_key_id().expect("it has one").to_string();
        assert!(describes(&format!("one: {id}"), &certificate));
        assert!(describes(&format!("Org: one: {}", &id[24..]), &certificate));
        assert!(!describes(&format!("one: {}", &id[36..]), &certificate), "four digits are not enough");
        assert!(!describes(&format!("one: {}", "0".repeat(40)), &certificate));
        assert!(!describes(&id, &certificate) && !describes("", &certificate));
    }
}
