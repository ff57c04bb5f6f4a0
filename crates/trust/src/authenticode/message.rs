use der::Tag;
use der::asn1::ObjectIdentifier;

use super::{CONTENT_TYPE, INDIRECT_DATA, ImageSignatureError, MESSAGE_DIGEST, PE_IMAGE};
use crate::key::{self, Certificate, DigestAlgorithm};
use crate::pkcs7::fields::{Fields, Scheme, context, digest, rsa_or_ecdsa, signer_id};
use crate::pkcs7::{FormatError, SIGNED_DATA, SignerId, VerifyError, check_signature};

/// A signature of an image that has the right form; whether it is true is not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSignature<'a> {
    digest: DigestAlgorithm,
    image_hash: &'a [u8],
    /// The content, without its tag and length.
    content: &'a [u8],
    content_hash: &'a [u8],
    /// As they were signed: a set.
    attributes: Vec<u8>,
    signer: SignerId<'a>,
    scheme: Scheme,
    signature: &'a [u8],
    certificates: Vec<&'a [u8]>,
}

impl<'a> ImageSignature<'a> {
    /// Reads one: a DER PKCS#7 with one signer.
    ///
    /// # Errors
    /// Another PKCS#7, a damaged one, or one over another hash function than its signer's.
    pub fn parse(der: &'a [u8]) -> Result<Self, ImageSignatureError> {
        let mut outer = Fields::of(der, "the PKCS#7")?;
        let mut info = outer.sequence("ContentInfo")?;
        outer.end()?;
        let kind = info.oid()?;
        if kind != SIGNED_DATA {
            return Err(FormatError::NotSignedData { found: kind.to_string() }.into());
        }
        let mut wrapper = info.nested(context(0), "ContentInfo.content")?;
        info.end()?;
        let mut data = wrapper.sequence("SignedData")?;
        wrapper.end()?;
        Self::of_signed_data(&mut data)
    }

    /// `SignedData` (RFC 2315, section 9.1).
    fn of_signed_data(data: &mut Fields<'a>) -> Result<Self, ImageSignatureError> {
        let version = data.version()?;
        if version != 1 {
            return Err(FormatError::Version { place: "SignedData", found: version }.into());
        }
        let mut digests = data.nested(Tag::Set, "SignedData.digestAlgorithms")?;
        let named = digest(digests.algorithm("SignedData.digestAlgorithms")?)?;
        digests.end()?;
        let content = indirect_data(&mut data.sequence("SignedData.contentInfo")?)?;
        let mut certificates = Vec::new();
        if let Some(mut set) = data.optional(context(0), "SignedData.certificates")? {
            while !set.is_at_end() {
                certificates.push(set.whole(Tag::Sequence)?);
            }
        }
        data.optional(context(1), "SignedData.crls")?;
        let mut signers = data.nested(Tag::Set, "SignedData.signerInfos")?;
        data.end()?;
        if signers.is_at_end() {
            return Err(FormatError::NoSigner.into());
        }
        let mut signer = signers.sequence("SignerInfo")?;
        if !signers.is_at_end() {
            return Err(FormatError::SeveralSigners.into());
        }
        Self::of_signer(&mut signer, named, content, certificates)
    }

    /// `SignerInfo` (RFC 2315, section 9.2).
    fn of_signer(
        signer: &mut Fields<'a>,
        named: DigestAlgorithm,
        content: Content<'a>,
        certificates: Vec<&'a [u8]>,
    ) -> Result<Self, ImageSignatureError> {
        let version = signer.version()?;
        let id = signer_id(signer, version)?;
        let digest = digest(signer.algorithm("SignerInfo.digestAlgorithm")?)?;
        // Firmware hashes the image with the first, and checks the signature with the second.
        if let Some(image) = [named, content.digest].into_iter().find(|other| *other != digest) {
            return Err(ImageSignatureError::DigestsDiffer { signer: digest, image });
        }
        let attributes = signer.optional(context(0), "SignerInfo.authenticatedAttributes")?;
        let mut attributes = attributes.ok_or(ImageSignatureError::Attribute { problem: "no attributes" })?;
        let as_signed = attributes.as_set()?;
        let content_hash = message_digest(&mut attributes)?;
        let scheme = rsa_or_ecdsa(signer.algorithm("SignerInfo.digestEncryptionAlgorithm")?, digest)?;
        let signature = signer.element(Tag::OctetString)?;
        // Counter-signatures that say a time; nobody here believes them.
        signer.optional(context(1), "SignerInfo.unauthenticatedAttributes")?;
        signer.end()?;
        Ok(Self {
            digest,
            image_hash: content.image_hash,
            content: content.value,
            content_hash,
            attributes: as_signed,
            signer: id,
            scheme,
            signature,
            certificates,
        })
    }

    /// The hash function of all of it.
    pub const fn digest(&self) -> DigestAlgorithm {
        self.digest
    }

    /// The hash of the image that is signed.
    pub const fn image_hash(&self) -> &'a [u8] {
        self.image_hash
    }

    /// Who is said to have signed.
    pub const fn signer(&self) -> &SignerId<'a> {
        &self.signer
    }

    /// The certificates that it carries, as far as Sealpack knows such. Nobody vouches for them here.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.certificates.iter().filter_map(|der| Certificate::parse(der).ok()).collect()
    }

    /// Checks that it is of the image whose hashed bytes are `parts`, and returns which of `trusted` made it.
    ///
    /// # Errors
    /// It is another image's, somebody else's, or was changed.
    pub fn verify<'t>(
        &self,
        parts: &[&[u8]],
        trusted: &'t [Certificate],
    ) -> Result<&'t Certificate, ImageSignatureError> {
        let found = self.digest.hash(parts);
        if found != self.image_hash {
            return Err(ImageSignatureError::OtherImage {
                digest: self.digest,
                signed: key::hex(self.image_hash),
                found: key::hex(&found),
            });
        }
        if self.digest.hash(&[self.content]) != self.content_hash {
            return Err(ImageSignatureError::Attribute { problem: "the hash of another content" });
        }
        let mut refusal =
            VerifyError::UnknownSigner { signer: self.signer.to_string(), trusted: trusted.len() };
        for certificate in trusted.iter().filter(|certificate| self.signer.means(certificate)) {
            match check_signature(self.scheme, self.digest, &self.attributes, self.signature, certificate) {
                Ok(()) => return Ok(certificate),
                Err(error) => refusal = error,
            }
        }
        Err(refusal.into())
    }
}

/// What `SpcIndirectDataContent` says.
struct Content<'a> {
    digest: DigestAlgorithm,
    image_hash: &'a [u8],
    value: &'a [u8],
}

/// `ContentInfo` with `SpcIndirectDataContent` in it.
fn indirect_data<'a>(info: &mut Fields<'a>) -> Result<Content<'a>, ImageSignatureError> {
    let other = |found: ObjectIdentifier| ImageSignatureError::NotOfImage { found: found.to_string() };
    let kind = info.oid()?;
    if kind != INDIRECT_DATA {
        return Err(other(kind));
    }
    let mut wrapper = info.nested(context(0), "SpcIndirectDataContent")?;
    info.end()?;
    let value = wrapper.element(Tag::Sequence)?;
    wrapper.end()?;
    let mut content = Fields::of(value, "SpcIndirectDataContent")?;
    let mut data = content.sequence("SpcIndirectDataContent.data")?;
    let of_what = data.oid()?;
    if of_what != PE_IMAGE {
        return Err(other(of_what));
    }
    let mut info = content.sequence("SpcIndirectDataContent.messageDigest")?;
    content.end()?;
    let digest = digest(info.algorithm("SpcIndirectDataContent.messageDigest")?)?;
    let image_hash = info.element(Tag::OctetString)?;
    info.end()?;
    Ok(Content { digest, image_hash, value })
}

/// The value of the attribute `messageDigest`, where the attributes have it once, and the type of content once.
fn message_digest<'a>(attributes: &mut Fields<'a>) -> Result<&'a [u8], ImageSignatureError> {
    let wrong = |problem| Err(ImageSignatureError::Attribute { problem });
    let (mut kind, mut hash) = (None, None);
    while !attributes.is_at_end() {
        let mut attribute = attributes.sequence("SignerInfo.authenticatedAttributes")?;
        let name = attribute.oid()?;
        let mut values = attribute.nested(Tag::Set, "SignerInfo.authenticatedAttributes")?;
        attribute.end()?;
        let is_again = match name {
            CONTENT_TYPE => kind.replace(values.oid()?).is_some(),
            MESSAGE_DIGEST => hash.replace(values.element(Tag::OctetString)?).is_some(),
            _ => continue,
        };
        values.end()?;
        if is_again {
            return wrong("an attribute twice");
        }
    }
    match (kind, hash) {
        (Some(INDIRECT_DATA), Some(hash)) => Ok(hash),
        (Some(_), Some(_)) => wrong("an attribute that names another type of content"),
        _ => wrong("no attribute with the type of its content, or none with its hash"),
    }
}
