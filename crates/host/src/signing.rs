//! Signatures of programs that firmware starts: of a UKI, of a boot loader.

use sealpack_format::pe::{self, Image, PeError};
use sealpack_node::keys::SigningKey;
use sealpack_trust::authenticode::{ImageSignature, ImageSignatureError, sign_image};
use sealpack_trust::key::{Certificate, KeyError};
use sealpack_trust::pkcs7::{self, SigningError};

/// Why a program is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramSigningError {
    /// It is no program that firmware starts.
    #[error(transparent)]
    Program(#[from] PeError),
    /// The key does not sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// What is to be attached is no signature of it.
    #[error(transparent)]
    Signature(#[from] ImageSignatureError),
    /// What is to be attached is there.
    #[error("the program has this signature already")]
    IsThere,
}

impl ProgramSigningError {
    /// Whether a signature is not what it should be, rather than that it could not be made.
    #[must_use]
    pub const fn is_verification(&self) -> bool {
        matches!(self, Self::Signature(_))
    }
}

/// The PKCS#7 in a file with a signature of a program: DER or PEM, or as it is in the program (`WIN_CERTIFICATE`).
///
/// # Errors
/// None of these.
pub fn read_signature(file: &[u8]) -> Result<Vec<u8>, KeyError> {
    match pe::certificate_content(file) {
        Some(pkcs7) => Ok(pkcs7.to_vec()),
        None => pkcs7::read_file(file),
    }
}

/// The program with a signature by `key` besides those that it has.
///
/// # Errors
/// It is no program for firmware; the key does not sign, or its certificate is not for signing code.
pub fn sign(program: &[u8], key: &SigningKey) -> Result<Vec<u8>, ProgramSigningError> {
    let image = Image::parse(program)?;
    let signature = sign_image(&*key.signer, &key.certificate, &image.signed_parts())?;
    Ok(pe::add_signature(&image, &signature)?)
}

/// The program with a signature that was made elsewhere: a PKCS#7 in DER, which is checked to be of this program, and by
/// one of `signers`; without any, by a certificate that it carries itself. Answers with the signer's subject too.
///
/// # Errors
/// It is no program for firmware; the signature is another program's, or by somebody else, or there already.
pub fn attach(
    program: &[u8],
    signature: &[u8],
    signers: &[Certificate],
) -> Result<(Vec<u8>, String), ProgramSigningError> {
    let image = Image::parse(program)?;
    if image.signatures().iter().any(|there| there.starts_with(signature)) {
        return Err(ProgramSigningError::IsThere);
    }
    let parsed = ImageSignature::parse(signature)?;
    let carried = parsed.certificates();
    let signers = if signers.is_empty() { &carried } else { signers };
    let signer = parsed.verify(&image.signed_parts(), signers)?;
    Ok((pe::add_signature(&image, signature)?, signer.subject().to_owned()))
}

/// Why firmware would not start a program, whatever it trusts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsignedError {
    /// It has no signature.
    #[error("is not signed, and firmware with Secure Boot starts nothing else")]
    Unsigned,
    /// It has those of something else only.
    #[error("was changed after it was signed: {0}")]
    Changed(ImageSignatureError),
}

/// That a program has a signature of just these bytes. Who made it is for the firmware to judge; a form that is not read
/// here counts as good.
///
/// # Errors
/// [`UnsignedError`].
pub fn check_is_signed(program: &Image<'_>) -> Result<(), UnsignedError> {
    let parts = program.signed_parts();
    let mut refusal = UnsignedError::Unsigned;
    for signature in program.signatures() {
        let parsed = ImageSignature::parse(without_padding(signature));
        match parsed.and_then(|parsed| parsed.verify(&parts, &parsed.certificates()).map(drop)) {
            Err(error @ ImageSignatureError::OtherImage { .. }) => refusal = UnsignedError::Changed(error),
            _ => return Ok(()),
        }
    }
    Err(refusal)
}

/// Whose signatures of just these bytes a program has, by the certificates that they carry.
#[must_use]
pub fn signers(program: &Image<'_>) -> Vec<Certificate> {
    let parts = program.signed_parts();
    let signer = |signature: &[u8]| {
        let parsed = ImageSignature::parse(without_padding(signature)).ok()?;
        parsed.verify(&parts, &parsed.certificates()).ok().cloned()
    };
    program.signatures().into_iter().filter_map(signer).collect()
}

/// Without the bytes behind it that align the next one, which some programs that sign count in (X.690, section 8.1.3).
fn without_padding(der: &[u8]) -> &[u8] {
    let length = match *der {
        [_, length @ 0..0x80, ..] => Some(2 + usize::from(length)),
        [_, 0x82, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    };
    length.and_then(|length| der.get(..length)).unwrap_or(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aligns_a_signature_is_not_of_it() {
        assert_eq!(without_padding(&[0x30, 2, 5, 0, 0, 0]), [0x30, 2, 5, 0]);
        let long = [&[0x30, 0x82, 1, 0][..], &[7; 256], &[0; 4]].concat();
        assert_eq!(without_padding(&long), &long[..260]);
        // Cut off, and no DER at all: as it is.
        for bytes in [&[0x30, 9, 1][..], &[0x30], &[]] {
            assert_eq!(without_padding(bytes), bytes);
        }
    }
}
