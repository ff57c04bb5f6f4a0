use der::asn1::{AnyRef, BitStringRef, Null, ObjectIdentifier, OctetStringRef};
use der::{Any, Decode, Encode, Sequence, Tag, TagNumber};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::{CONTENT_TYPE, INDIRECT_DATA, MESSAGE_DIGEST, PE_IMAGE};
use crate::key::{Certificate, DigestAlgorithm, SignatureAlgorithm, Signer};
use crate::pkcs7::{IssuerAndSerial, SIGNED_DATA, SigningError, set_of_one, signature_identifier};

/// Signs the image whose hashed bytes are `parts`, one after the other. The result is DER with the signer's certificate
/// in it: what a `WIN_CERTIFICATE` of the type PKCS_SIGNED_DATA holds.
///
/// # Errors
/// Key and certificate do not belong together, the certificate is not for signing code, or the key does not sign.
pub fn sign_image(
    signer: &dyn Signer,
    certificate: &Certificate,
    parts: &[&[u8]],
) -> Result<Vec<u8>, SigningError> {
    certificate.check_signer(signer)?;
    let algorithm = signer.algorithm();
    let encode = |error: der::Error| SigningError::Encode { problem: error.to_string() };
    let content = indirect_data(algorithm.digest(), parts).map_err(encode)?;
    let attributes = attributes(algorithm.digest(), &content).map_err(encode)?;
    // What is signed is the set with its own tag (RFC 5652, section 5.4).
    let signed = Any::new(Tag::Set, attributes.as_slice()).and_then(|set| set.to_der()).map_err(encode)?;
    let signature = signer.sign(&signed)?;
    if !certificate.public_key().verifies(algorithm.digest(), &signed, &signature) {
        return Err(SigningError::Wrong { subject: certificate.subject().to_owned() });
    }
    assemble(certificate, algorithm, &content, attributes, &signature).map_err(encode)
}

fn identifier(digest: DigestAlgorithm) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: digest.oid(), parameters: Some(Null.into()) }
}

/// The DER of `SpcIndirectDataContent`.
fn indirect_data(digest: DigestAlgorithm, parts: &[&[u8]]) -> der::Result<Vec<u8>> {
    let hash = digest.hash(parts);
    // Of no use to anybody, and there in every signature: SpcPeImageData with an SpcString as its file.
    let name: Vec<u8> = "<<<Obsolete>>>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let name = Any::new(Tag::ContextSpecific { constructed: false, number: TagNumber(0) }, name)?;
    let file = Any::new(context(2), name.to_der()?)?;
    IndirectData {
        data: AttributeTypeAndValue {
            kind: PE_IMAGE,
            value: PeImageData {
                flags: BitStringRef::from_bytes(&[])?,
                file: Any::new(context(0), file.to_der()?)?,
            },
        },
        digest: DigestInfo { algorithm: identifier(digest), digest: OctetStringRef::new(&hash)? },
    }
    .to_der()
}

/// The signed attributes, in the order of DER's sets, without the set's tag and length.
fn attributes(digest: DigestAlgorithm, content: &[u8]) -> der::Result<Vec<u8>> {
    // Hashed without tag and length (PKCS#7, RFC 2315, section 9.3).
    let hash = digest.hash(&[AnyRef::from_der(content)?.value()]);
    let mut attributes = [
        Attribute { kind: CONTENT_TYPE, values: set_of_one(&INDIRECT_DATA)? }.to_der()?,
        Attribute { kind: MESSAGE_DIGEST, values: set_of_one(&Any::new(Tag::OctetString, hash)?)? }
            .to_der()?,
    ];
    attributes.sort();
    Ok(attributes.concat())
}

fn assemble(
    certificate: &Certificate,
    algorithm: SignatureAlgorithm,
    content: &[u8],
    attributes: Vec<u8>,
    signature: &[u8],
) -> der::Result<Vec<u8>> {
    let (issuer, serial) = certificate.issuer_and_serial_der();
    let signer = SignerInfo {
        version: VERSION_1,
        id: IssuerAndSerial { issuer: AnyRef::from_der(issuer)?, serial: AnyRef::from_der(serial)? },
        digest: identifier(algorithm.digest()),
        attributes: Any::new(context(0), attributes)?,
        algorithm: signature_identifier(algorithm),
        signature: OctetStringRef::new(signature)?,
    };
    let data = SignedData {
        version: VERSION_1,
        digests: set_of_one(&identifier(algorithm.digest()))?,
        content: ContentInfo { content_type: INDIRECT_DATA, content: AnyRef::from_der(content)? },
        certificates: Any::new(context(0), certificate.der())?,
        signers: set_of_one(&signer)?,
    }
    .to_der()?;
    ContentInfo { content_type: SIGNED_DATA, content: AnyRef::from_der(&data)? }.to_der()
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// The version of PKCS#7's structures, with the signer named by issuer and serial number.
const VERSION_1: u8 = 1;

/// RFC 2315, section 7.
#[derive(Sequence)]
struct ContentInfo<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: AnyRef<'a>,
}

/// RFC 2315, section 9.1, whose content is no octet string as CMS has it.
#[derive(Sequence)]
struct SignedData<'a> {
    version: u8,
    digests: Any,
    content: ContentInfo<'a>,
    certificates: Any,
    signers: Any,
}

/// RFC 2315, section 9.2, with attributes.
#[derive(Sequence)]
struct SignerInfo<'a> {
    version: u8,
    id: IssuerAndSerial<'a>,
    digest: AlgorithmIdentifierOwned,
    attributes: Any,
    algorithm: AlgorithmIdentifierOwned,
    signature: &'a OctetStringRef,
}

/// RFC 5652, section 5.3.
#[derive(Sequence)]
struct Attribute {
    kind: ObjectIdentifier,
    values: Any,
}

/// `SpcIndirectDataContent`.
#[derive(Sequence)]
struct IndirectData<'a> {
    data: AttributeTypeAndValue<'a>,
    digest: DigestInfo<'a>,
}

/// `SpcAttributeTypeAndOptionalValue`.
#[derive(Sequence)]
struct AttributeTypeAndValue<'a> {
    kind: ObjectIdentifier,
    value: PeImageData<'a>,
}

/// `SpcPeImageData`.
#[derive(Sequence)]
struct PeImageData<'a> {
    flags: BitStringRef<'a>,
    file: Any,
}

/// RFC 8017, section 9.2.
#[derive(Sequence)]
struct DigestInfo<'a> {
    algorithm: AlgorithmIdentifierOwned,
    digest: &'a OctetStringRef,
}
