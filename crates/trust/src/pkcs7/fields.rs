//! The elements of a PKCS#7 (RFC 5652, section 5), read one after the other: DER only.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Any, Decode, Encode, ErrorKind, Reader, SliceReader, Tag, TagNumber, Tagged};

use super::{FormatError, SignerId};
use crate::key::{self, DigestAlgorithm};

/// What computed the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Rsa,
    Ecdsa,
}

pub(crate) fn signer_id<'a>(signer: &mut Fields<'a>, version: u8) -> Result<SignerId<'a>, FormatError> {
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

pub(crate) fn digest(algorithm: Algorithm<'_>) -> Result<DigestAlgorithm, FormatError> {
    let found = DigestAlgorithm::of_oid(&algorithm.oid)
        .ok_or_else(|| FormatError::Digest { found: key::oid_name(&algorithm.oid) })?;
    algorithm.check_parameters().map(|()| found)
}

pub(crate) fn scheme(algorithm: Algorithm<'_>, digest: DigestAlgorithm) -> Result<Scheme, FormatError> {
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

/// As [`scheme`], but RSA may be named together with its hash function too.
pub(crate) fn rsa_or_ecdsa(algorithm: Algorithm<'_>, digest: DigestAlgorithm) -> Result<Scheme, FormatError> {
    let implied = match algorithm.oid {
        key::SHA256_WITH_RSA => DigestAlgorithm::Sha256,
        key::SHA384_WITH_RSA => DigestAlgorithm::Sha384,
        key::SHA512_WITH_RSA => DigestAlgorithm::Sha512,
        _ => return scheme(algorithm, digest),
    };
    if implied != digest {
        return Err(FormatError::DigestsDiffer { signer: digest.to_string(), other: implied.to_string() });
    }
    algorithm.check_parameters().map(|()| Scheme::Rsa)
}

/// A constructed element of a number that depends on its context.
pub(crate) const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// The elements inside an element, read one after the other.
pub(crate) struct Fields<'a> {
    reader: SliceReader<'a>,
    place: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8], place: &'static str) -> Result<Self, FormatError> {
        let reader = SliceReader::new(bytes).map_err(|error| malformed(place, error))?;
        Ok(Self { reader, place })
    }

    /// What is left, as the DER of a set.
    pub(crate) fn as_set(&self) -> Result<Vec<u8>, FormatError> {
        let mut left = Vec::new();
        let mut reader = self.reader.clone();
        while !reader.is_finished() {
            left.extend_from_slice(reader.tlv_bytes().map_err(|error| malformed(self.place, error))?);
        }
        let set = Any::new(Tag::Set, left).and_then(|set| set.to_der());
        set.map_err(|error| malformed(self.place, error))
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.reader.is_finished()
    }

    pub(crate) fn end(&self) -> Result<(), FormatError> {
        if self.is_at_end() {
            return Ok(());
        }
        let size_bytes = u32::from(self.reader.remaining_len()) as usize;
        Err(FormatError::Trailing { place: self.place, size_bytes })
    }

    pub(crate) fn any(&mut self, tag: Tag) -> Result<AnyRef<'a>, FormatError> {
        let element = AnyRef::decode(&mut self.reader).map_err(|error| malformed(self.place, error))?;
        element.tag().assert_eq(tag).map_err(|error| malformed(self.place, error))?;
        Ok(element)
    }

    /// What is in the next element.
    pub(crate) fn element(&mut self, tag: Tag) -> Result<&'a [u8], FormatError> {
        self.any(tag).map(AnyRef::value)
    }

    /// The next element with its tag and length.
    pub(crate) fn whole(&mut self, tag: Tag) -> Result<&'a [u8], FormatError> {
        let mut ahead = self.reader.clone();
        self.any(tag)?;
        ahead.tlv_bytes().map_err(|error| malformed(self.place, error))
    }

    pub(crate) fn nested(&mut self, tag: Tag, place: &'static str) -> Result<Self, FormatError> {
        Self::of(self.element(tag)?, place)
    }

    pub(crate) fn sequence(&mut self, place: &'static str) -> Result<Self, FormatError> {
        self.nested(Tag::Sequence, place)
    }

    pub(crate) fn optional(&mut self, tag: Tag, place: &'static str) -> Result<Option<Self>, FormatError> {
        let is_next = !self.is_at_end() && Tag::peek(&self.reader).is_ok_and(|next| next == tag);
        is_next.then(|| self.nested(tag, place)).transpose()
    }

    pub(crate) fn oid(&mut self) -> Result<ObjectIdentifier, FormatError> {
        let decoded = self.any(Tag::ObjectIdentifier)?.decode_as();
        decoded.map_err(|error| malformed(self.place, error))
    }

    pub(crate) fn version(&mut self) -> Result<u8, FormatError> {
        let decoded = self.any(Tag::Integer)?.decode_as();
        decoded.map_err(|error| malformed(self.place, error))
    }

    pub(crate) fn algorithm(&mut self, place: &'static str) -> Result<Algorithm<'a>, FormatError> {
        let mut identifier = self.sequence(place)?;
        Ok(Algorithm { oid: identifier.oid()?, parameters: identifier })
    }
}

/// An `AlgorithmIdentifier` (RFC 5280, section 4.1.1.2).
pub(crate) struct Algorithm<'a> {
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
