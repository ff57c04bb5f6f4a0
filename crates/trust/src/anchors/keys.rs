//! Keys whose attestations count. They are bare: those who make attestations keep no certificates of theirs.

use super::{AnchorError, AnchorName, Anchors, Namespace};
use crate::key::PublicKey;

/// A key that signs what is said of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactKey {
    /// What rules call it.
    pub name: AnchorName,
    /// Itself.
    pub key: PublicKey,
}

impl Anchors {
    /// Adds a key for artifacts. The same again is nothing new.
    ///
    /// # Errors
    /// [`AnchorError::KeyConflict`] if another has that name already.
    pub fn add_artifact_key(&mut self, name: AnchorName, key: PublicKey) -> Result<(), AnchorError> {
        match self.artifact_keys.iter().find(|known| known.name == name) {
            Some(known) if known.key == key => Ok(()),
            Some(_) => Err(AnchorError::KeyConflict { name }),
            None => {
                self.artifact_keys.push(ArtifactKey { name, key });
                Ok(())
            }
        }
    }

    /// All keys for artifacts, those that were revoked too.
    #[must_use]
    pub fn artifact_keys(&self) -> &[ArtifactKey] {
        &self.artifact_keys
    }

    /// The keys that count: a revoked one does not, whether its revocation names it or a certificate of it.
    pub fn good_artifact_keys(&self) -> impl Iterator<Item = &ArtifactKey> {
        let is_revoked = |key: &PublicKey| {
            // Earlier versions revoked a certificate without its key, which is known where the certificate is.
            let of_certificate = |certificate| self.revocation(certificate).is_some();
            let revoked = self.revocations().has_key(&key.fingerprint());
            revoked || self.all().any(|one| one.public_key() == key && of_certificate(one))
        };
        self.artifact_keys.iter().filter(move |known| !is_revoked(&known.key))
    }

    /// The keys that count for a rule: those that it names, or all where it names none.
    pub fn artifact_keys_for(&self, rule: &Namespace) -> impl Iterator<Item = &ArtifactKey> {
        let is_named =
            |known: &&ArtifactKey| rule.artifacts_by.is_empty() || rule.artifacts_by.contains(&known.name);
        self.good_artifact_keys().filter(is_named)
    }
}
