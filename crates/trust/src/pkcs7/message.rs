use std::fmt;

use der::asn1::AnyRef;
use der::{Decode, Tag};

use super::fields::{Fields, Scheme, context, digest, scheme, signer_id};
use super::{DATA, FormatError, SIGNED_DATA};
use crate::key::{self, Certificate, DigestAlgorithm};

/// Where the signed content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Beside the signature.
    Detached,
    /// Inside the PKCS#7.
    Embedded,
}

/// A signature that has the right form; whether it is true is not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    content: Option<&'a [u8]>,
    signer: SignerId<'a>,
    digest: DigestAlgorithm,
    scheme: Scheme,
    signature: &'a [u8],
}

/// By what a signature names its signer (`SignerIdentifier`, RFC 5652, section 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerId<'a> {
    /// By who issued its certificate, and the number that the issuer gave it.
    IssuerAndSerial {
        /// The DER of the name.
        issuer_der: &'a [u8],
        /// The DER of the number.
        serial_der: &'a [u8],
    },
    /// By the identifier that its certificate gives its key.
    SubjectKeyId(&'a [u8]),
}

impl SignerId<'_> {
    /// Whether it means `certificate`, comparing bytes as the kernel does (`asymmetric_key_id_same`).
    pub fn means(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial { issuer_der, serial_der } => {
                certificate.issuer_and_serial_der() == (issuer_der, serial_der)
            }
            Self::SubjectKeyId(id) => certificate.subject_key_id().is_some_and(|own| own.as_bytes() == *id),
        }
    }
}

impl fmt::Display for SignerId<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IssuerAndSerial { issuer_der, serial_der } => {
                let serial = AnyRef::from_der(serial_der).map_or(*serial_der, AnyRef::value);
                write!(formatter, "serial {} of \"{}\"", key::hex(serial), key::printable_name(issuer_der))
            }
            Self::SubjectKeyId(id) => write!(formatter, "the key with the identifier {}", key::hex(id)),
        }
    }
}

impl<'a> Message<'a> {
    /// Reads a signature of the wanted form; see [the module](super) for what is refused.
    ///
    /// # Errors
    /// Another form, or none.
    pub fn parse(der: &'a [u8], form: Form) -> Result<Self, FormatError> {
        if der.starts_with(b"-----") || der.starts_with(b"MIME-Version") {
            return Err(FormatError::Text);
        }
        let mut outer = Fields::of(der, "the PKCS#7")?;
        let mut info = outer.sequence("ContentInfo")?;
        outer.end()?;
        let content_type = info.oid()?;
        if content_type != SIGNED_DATA {
            return Err(FormatError::NotSignedData { found: content_type.to_string() });
        }
        let mut wrapper = info.nested(context(0), "ContentInfo.content")?;
        info.end()?;
        let mut data = wrapper.sequence("SignedData")?;
        wrapper.end()?;
        Self::of_signed_data(&mut data, form)
    }

    /// `SignedData` (RFC 5652, section 5.1).
    fn of_signed_data(data: &mut Fields<'a>, form: Form) -> Result<Self, FormatError> {
        let version = data.version()?;
        let mut digests = data.nested(Tag::Set, "SignedData.digestAlgorithms")?;
        let content = encapsulated(&mut data.sequence("EncapsulatedContentInfo")?)?;
        match (form, content) {
            (Form::Detached, Some(_)) => return Err(FormatError::Content),
            (Form::Embedded, None) => return Err(FormatError::NoContent),
            _ => {}
        }
        if let Some(certificates) = data.optional(context(0), "SignedData.certificates")? {
            pass_over_certificates(certificates, form)?;
        }
        if data.optional(context(1), "SignedData.crls")?.is_some() {
            return Err(FormatError::RevocationLists);
        }
        let mut signers = data.nested(Tag::Set, "SignedData.signerInfos")?;
        data.end()?;
        if signers.is_at_end() {
            return Err(FormatError::NoSigner);
        }
        let mut signer = signers.sequence("SignerInfo")?;
        if !signers.is_at_end() {
            return Err(FormatError::SeveralSigners);
        }
        let message = Self::of_signer(&mut signer, version, content)?;
        message.check_digests(&mut digests)?;
        Ok(message)
    }

    /// `SignerInfo` (RFC 5652, section 5.3).
    fn of_signer(
        signer: &mut Fields<'a>,
        data_version: u8,
        content: Option<&'a [u8]>,
    ) -> Result<Self, FormatError> {
        let version = signer.version()?;
        let id = signer_id(signer, version)?;
        // The kernel wants these pairs (`pkcs7_note_signerinfo_version`).
        if !matches!((data_version, version), (1, 1) | (3, 3)) {
            return Err(FormatError::Version { place: "SignedData", found: data_version });
        }
        let digest = digest(signer.algorithm("SignerInfo.digestAlgorithm")?)?;
        if signer.optional(context(0), "SignerInfo.signedAttrs")?.is_some() {
            return Err(FormatError::Attributes { which: "signed" });
        }
        let scheme = scheme(signer.algorithm("SignerInfo.signatureAlgorithm")?, digest)?;
        let signature = signer.element(Tag::OctetString)?;
        if signer.optional(context(1), "SignerInfo.unsignedAttrs")?.is_some() {
            return Err(FormatError::Attributes { which: "unsigned" });
        }
        signer.end()?;
        Ok(Self { content, signer: id, digest, scheme, signature })
    }

    /// The set at the beginning has the signer's hash function, and no other.
    fn check_digests(&self, digests: &mut Fields<'a>) -> Result<(), FormatError> {
        let named = digest(digests.algorithm("SignedData.digestAlgorithms")?)?;
        if named != self.digest {
            return Err(FormatError::DigestsDiffer {
                signer: self.digest.to_string(),
                other: named.to_string(),
            });
        }
        digests.end()
    }

    /// The content, of an embedded signature.
    pub const fn content(&self) -> Option<&'a [u8]> {
        self.content
    }

    /// Who is said to have signed.
    pub const fn signer(&self) -> &SignerId<'a> {
        &self.signer
    }

    /// The hash function.
    pub const fn digest(&self) -> DigestAlgorithm {
        self.digest
    }

    pub(super) const fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub(super) const fn signature(&self) -> &'a [u8] {
        self.signature
    }
}

/// `EncapsulatedContentInfo` (RFC 5652, section 5.2).
fn encapsulated<'a>(info: &mut Fields<'a>) -> Result<Option<&'a [u8]>, FormatError> {
    let content_type = info.oid()?;
    if content_type != DATA {
        return Err(FormatError::ContentType { found: content_type.to_string() });
    }
    let wrapper = info.optional(context(0), "EncapsulatedContentInfo.eContent")?;
    info.end()?;
    let Some(mut wrapper) = wrapper else { return Ok(None) };
    let content = wrapper.element(Tag::OctetString)?;
    wrapper.end()?;
    Ok(Some(content))
}

fn pass_over_certificates(mut certificates: Fields<'_>, form: Form) -> Result<(), FormatError> {
    if form == Form::Detached {
        return Err(FormatError::Certificates);
    }
    while !certificates.is_at_end() {
        certificates.sequence("SignedData.certificates")?;
    }
    Ok(())
}
