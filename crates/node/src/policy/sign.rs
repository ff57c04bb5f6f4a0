//! Signing a policy.

use sealpack_trust::policy::{Policy, SIGNED_MAX_BYTES};

use super::PolicyError;
use crate::keys::SigningKey;

/// The signed form of a policy with that text, PKCS#7 in DER, the text inside: as it is, or without its comments.
///
/// # Errors
/// [`PolicyError::SignedTooLong`], or what the key says.
pub fn sign(
    policy: &Policy,
    text: &[u8],
    key: &SigningKey,
    without_comments: bool,
) -> Result<Vec<u8>, PolicyError> {
    let short = policy.to_bytes();
    let text = if without_comments { &short } else { text };
    let signed = key.sign_embedded(text)?;
    if signed.len() > SIGNED_MAX_BYTES {
        let spare_bytes = text.len().saturating_sub(short.len());
        return Err(PolicyError::SignedTooLong { signed_bytes: signed.len(), spare_bytes });
    }
    Ok(signed)
}
