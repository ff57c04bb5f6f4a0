use super::{PublicKey, SignatureAlgorithm};

/// A private key that can be used, wherever it is kept.
pub trait Signer: Send + Sync {
    /// The key that checks what [`sign`](Self::sign) returns.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message`, which is hashed here: RSA as PKCS#1 v1.5, ECDSA as the DER of `ECDSA-Sig-Value`.
    ///
    /// # Errors
    /// The key cannot be used: a token was taken out, the library failed.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// How it signs: the kind of key decides.
    fn algorithm(&self) -> SignatureAlgorithm {
        self.public_key().signature_algorithm()
    }
}

/// Why a private key did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the private key did not sign: {reason}")]
pub struct SignError {
    reason: String,
}

impl SignError {
    /// With what its keeper said.
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}
