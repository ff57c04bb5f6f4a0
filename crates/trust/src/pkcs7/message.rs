use std::fmt;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, ErrorKind, Reader, SliceReader, Tag, TagNumber, Tagged};

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

/// What computed the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Rsa,
    Ecdsa,
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

fn signer_id<'a>(signer: &mut Fields<'a>, version: u8) -> Result<SignerId<'a>, FormatError> {
    match version {
        1 => {
            let mut id = signer.sequence("IssuerAndSerialNumber")?;
            let (issuer_der, serial_der) = (id.whole(Tag::Sequence)?, id.whole(Tag::Integer)?);
            id.end()?;
            Ok(SignerId::IssuerAndSerial { issuer_der, serial_der })
        }
        3 => {
            let tag = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };
            signer.element(tag).map(SignerId::SubjectKeyId)
        }
        found => Err(FormatError::Version { place: "SignerInfo", found }),
    }
}

fn digest(algorithm: Algorithm<'_>) -> Result<DigestAlgorithm, FormatError> {
    let found = DigestAlgorithm::of_oid(&algorithm.oid)
        .ok_or_else(|| FormatError::Digest { found: key::oid_name(&algorithm.oid) })?;
    algorithm.check_parameters().map(|()| found)
}

fn scheme(algorithm: Algorithm<'_>, digest: DigestAlgorithm) -> Result<Scheme, FormatError> {
    let implied = match algorithm.oid {
        key::RSA_ENCRYPTION => None,
        key::ECDSA_WITH_SHA256 => Some(DigestAlgorithm::Sha256),
        key::ECDSA_WITH_SHA384 => Some(DigestAlgorithm::Sha384),
        key::ECDSA_WITH_SHA512 => Some(DigestAlgorithm::Sha512),
        other => return Err(FormatError::Algorithm { found: key::oid_name(&other) }),
    };
    match implied {
        None => algorithm.check_parameters().map(|()| Scheme::Rsa),
        // ECDSA has none (RFC 5758, section 3.2).
        Some(implied) if implied == digest => algorithm.parameters.end().map(|()| Scheme::Ecdsa),
        Some(implied) => {
            Err(FormatError::DigestsDiffer { signer: digest.to_string(), other: implied.to_string() })
        }
    }
}

/// A constructed element of a number that depends on its context.
const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// The elements inside an element, read one after the other.
struct Fields<'a> {
    reader: SliceReader<'a>,
    place: &'static str,
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8], place: &'static str) -> Result<Self, FormatError> {
        let reader = SliceReader::new(bytes).map_err(|error| malformed(place, error))?;
        Ok(Self { reader, place })
    }

    fn is_at_end(&self) -> bool {
        self.reader.is_finished()
    }

    fn end(&self) -> Result<(), FormatError> {
        if self.is_at_end() {
            return Ok(());
        }
        let size_bytes = u32::from(self.reader.remaining_len()) as usize;
        Err(FormatError::Trailing { place: self.place, size_bytes })
    }

    fn any(&mut self, tag: Tag) -> Result<AnyRef<'a>, FormatError> {
        let element = AnyRef::decode(&mut self.reader).map_err(|error| malformed(self.place, error))?;
        element.tag().assert_eq(tag).map_err(|error| malformed(self.place, error))?;
        Ok(element)
    }

    /// What is in the next element.
    fn element(&mut self, tag: Tag) -> Result<&'a [u8], FormatError> {
        self.any(tag).map(AnyRef::value)
    }

    /// The next element with its tag and length.
    fn whole(&mut self, tag: Tag) -> Result<&'a [u8], FormatError> {
        let mut ahead = self.reader.clone();
        self.any(tag)?;
        ahead.tlv_bytes().map_err(|error| malformed(self.place, error))
    }

    fn nested(&mut self, tag: Tag, place: &'static str) -> Result<Self, FormatError> {
        Self::of(self.element(tag)?, place)
    }

    fn sequence(&mut self, place: &'static str) -> Result<Self, FormatError> {
        self.nested(Tag::Sequence, place)
    }

    fn optional(&mut self, tag: Tag, place: &'static str) -> Result<Option<Self>, FormatError> {
        let is_next = !self.is_at_end() && Tag::peek(&self.reader).is_ok_and(|next| next == tag);
        is_next.then(|| self.nested(tag, place)).transpose()
    }

    fn oid(&mut self) -> Result<ObjectIdentifier, FormatError> {
        let decoded = self.any(Tag::ObjectIdentifier)?.decode_as();
        decoded.map_err(|error| malformed(self.place, error))
    }

    fn version(&mut self) -> Result<u8, FormatError> {
        let decoded = self.any(Tag::Integer)?.decode_as();
        decoded.map_err(|error| malformed(self.place, error))
    }

    fn algorithm(&mut self, place: &'static str) -> Result<Algorithm<'a>, FormatError> {
        let mut identifier = self.sequence(place)?;
        Ok(Algorithm { oid: identifier.oid()?, parameters: identifier })
    }
}

/// An `AlgorithmIdentifier` (RFC 5280, section 4.1.1.2).
struct Algorithm<'a> {
    oid: ObjectIdentifier,
    parameters: Fields<'a>,
}

impl Algorithm<'_> {
    /// Checks that its parameters, if there are any, are NULL: both are in use (RFC 5754, section 2).
    fn check_parameters(mut self) -> Result<(), FormatError> {
        if !self.parameters.is_at_end() {
            let null = self.parameters.any(Tag::Null)?;
            if !null.value().is_empty() {
                return Err(malformed(self.parameters.place, null.tag().value_error().into()));
            }
        }
        self.parameters.end()
    }
}

fn malformed(place: &'static str, error: der::Error) -> FormatError {
    match error.kind() {
        ErrorKind::IndefiniteLength => FormatError::Indefinite,
        _ => FormatError::Malformed { place, problem: error.to_string() },
    }
}
