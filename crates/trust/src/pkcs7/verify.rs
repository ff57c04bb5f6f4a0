use super::fields::Scheme;
use super::{Form, FormatError, Message, VerifyError};
use crate::key::{Certificate, DigestAlgorithm, PublicKeyKind};

/// An embedded signature that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<'der, 'trusted> {
    /// What was signed.
    pub content: &'der [u8],
    /// Who signed it.
    pub signer: &'trusted Certificate,
}

/// Checks a detached signature over `content` and returns which of the `trusted` made it.
///
/// Nothing is said about time: the kernel does not look at a certificate's validity either.
///
/// # Errors
/// Another form, somebody else's, or not over this content.
pub fn verify_detached<'trusted>(
    der: &[u8],
    content: &[u8],
    trusted: &'trusted [Certificate],
) -> Result<&'trusted Certificate, VerifyError> {
    signer(&Message::parse(der, Form::Detached)?, content, trusted)
}

/// Checks an embedded signature and returns its content and which of the `trusted` made it.
///
/// # Errors
/// As [`verify_detached`].
pub fn verify_embedded<'der, 'trusted>(
    der: &'der [u8],
    trusted: &'trusted [Certificate],
) -> Result<Verified<'der, 'trusted>, VerifyError> {
    let content = content_of(der)?;
    let signer = signer(&Message::parse(der, Form::Embedded)?, content, trusted)?;
    Ok(Verified { content, signer })
}

/// The content of an embedded signature, which is **not** verified.
///
/// # Errors
/// Another form.
pub fn content_of(der: &[u8]) -> Result<&[u8], FormatError> {
    Message::parse(der, Form::Embedded)?.content().ok_or(FormatError::NoContent)
}

fn signer<'trusted>(
    message: &Message<'_>,
    content: &[u8],
    trusted: &'trusted [Certificate],
) -> Result<&'trusted Certificate, VerifyError> {
    let mut refusal =
        VerifyError::UnknownSigner { signer: message.signer().to_string(), trusted: trusted.len() };
    // Two certificates may have the same name and number, or identifier; either may be meant.
    for certificate in trusted.iter().filter(|certificate| message.signer().means(certificate)) {
        match check_signature(message.scheme(), message.digest(), content, message.signature(), certificate) {
            Ok(()) => return Ok(certificate),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Checks that the key of `certificate` made `signature` over `signed`.
pub(crate) fn check_signature(
    scheme: Scheme,
    digest: DigestAlgorithm,
    signed: &[u8],
    signature: &[u8],
    certificate: &Certificate,
) -> Result<(), VerifyError> {
    let key = certificate.public_key();
    let subject = || certificate.subject().to_owned();
    let (found, fits) = match scheme {
        Scheme::Rsa => ("RSA", matches!(key.kind(), PublicKeyKind::Rsa { .. })),
        Scheme::Ecdsa => ("ECDSA", matches!(key.kind(), PublicKeyKind::P256 | PublicKeyKind::P384)),
    };
    if !fits {
        return Err(VerifyError::OtherKind { found, subject: subject(), kind: key.kind() });
    }
    if !key.verifies(digest, signed, signature) {
        return Err(VerifyError::Signature { subject: subject() });
    }
    Ok(())
}
