//! What the kernel has, beside the trust store: the certificates in its keyrings, and the policy that decides.

use sealpack_format::digest::RootHash;
use sealpack_kernel::Kernel;
use sealpack_kernel::keyring::TrustedKeyring;
use sealpack_mount::ActivePolicy;
use sealpack_trust::key::Certificate;

/// The fewest digits of a key's identifier that tell it from others.
const IDENTIFIER_MIN_DIGITS: usize = 8;

/// The certificates in the kernel's keyrings.
pub(super) struct Held {
    keys: Vec<(TrustedKeyring, String)>,
    /// The keyrings that cannot be read, and why.
    pub(super) unreadable: Vec<String>,
}

impl Held {
    /// What is in the keyrings that count for dm-verity and policies.
    pub(super) fn read(kernel: &Kernel) -> Self {
        let mut held = Self { keys: Vec::new(), unreadable: Vec::new() };
        for which in TrustedKeyring::ALL.into_iter().filter(|which| *which != TrustedKeyring::FsVerity) {
            match kernel.trusted_keyring(which) {
                Ok(None) => {}
                Ok(Some(keyring)) => {
                    let certificates = keyring.keys.into_iter().filter(|key| key.key_type == "asymmetric");
                    held.keys.extend(certificates.map(|key| (which, key.description)));
                }
                Err(error) => held.unreadable.push(format!("{which}: {error}")),
            }
        }
        held
    }

    /// The keyrings that have a certificate.
    pub(super) fn of(&self, certificate: &Certificate) -> Vec<&'static str> {
        let is_it = |description: &str| describes(description, certificate);
        self.keys.iter().filter(|(_, key)| is_it(key)).map(|(which, _)| which.name()).collect()
    }

    /// The certificates that are none of these, with their keyrings.
    pub(super) fn others(&self, known: &[&Certificate]) -> Vec<(&'static str, &str)> {
        let is_other = |key: &str| !known.iter().any(|certificate| describes(key, certificate));
        let others = self.keys.iter().filter(|(_, key)| is_other(key));
        others.map(|(which, key)| (which.name(), key.as_str())).collect()
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

/// Whether the policy that decides denies a device; or why that is not known.
pub(super) fn denies(kernel: &Kernel, root_hash: &RootHash) -> Result<(String, bool), String> {
    let ipe = kernel.ipe().ok_or("IPE is not active in this kernel")?;
    let active = ActivePolicy::read(&ipe).map_err(|error| error.to_string())?;
    let active = active.ok_or("no IPE policy is active")?;
    let parsed = active.parsed.as_ref().map_err(|error| format!("policy {}: {error}", active.name))?;
    Ok((active.to_string(), parsed.denies_device(root_hash)))
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
