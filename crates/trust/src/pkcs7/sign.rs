use der::asn1::{AnyRef, Null, ObjectIdentifier, OctetStringRef};
use der::{Any, Decode, Encode, Sequence, Tag};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::{DATA, SIGNED_DATA, SigningError};
use crate::key::{self, Certificate, SignatureAlgorithm, Signer};

/// Signs `content`, which is not put into the result: for a root hash, its lowercase hexadecimal digits without a
/// line break. The result is DER, a few hundred bytes.
///
/// # Errors
/// Key and certificate do not belong together, the certificate is not for signing code, or the key does not sign.
pub fn sign_detached(
    signer: &dyn Signer,
    certificate: &Certificate,
    content: &[u8],
) -> Result<Vec<u8>, SigningError> {
    message(signer, certificate, content, None)
}

/// Signs `content`, which is put into the result: for an IPE policy, its text. The result is DER.
///
/// # Errors
/// As [`sign_detached`].
pub fn sign_embedded(
    signer: &dyn Signer,
    certificate: &Certificate,
    content: &[u8],
) -> Result<Vec<u8>, SigningError> {
    message(signer, certificate, content, Some(content))
}

fn message(
    signer: &dyn Signer,
    certificate: &Certificate,
    content: &[u8],
    embedded: Option<&[u8]>,
) -> Result<Vec<u8>, SigningError> {
    certificate.check_signer(signer)?;
    let signature = signer.sign(content)?;
    // A key in a token may be another one than the token says, and a fault while signing can give away an RSA key.
    if !certificate.public_key().verifies(signer.algorithm().digest(), content, &signature) {
        return Err(SigningError::Wrong { subject: certificate.subject().to_owned() });
    }
    assemble(certificate, signer.algorithm(), &signature, embedded)
        .map_err(|error| SigningError::Encode { problem: error.to_string() })
}

fn assemble(
    certificate: &Certificate,
    algorithm: SignatureAlgorithm,
    signature: &[u8],
    embedded: Option<&[u8]>,
) -> der::Result<Vec<u8>> {
    let (issuer, serial) = certificate.issuer_and_serial_der();
    let digest = AlgorithmIdentifierOwned { oid: algorithm.digest().oid(), parameters: Some(Null.into()) };
    let signer = SignerInfo {
        version: VERSION_1,
        id: IssuerAndSerial { issuer: AnyRef::from_der(issuer)?, serial: AnyRef::from_der(serial)? },
        digest: digest.clone(),
        algorithm: signature_identifier(algorithm),
        signature: OctetStringRef::new(signature)?,
    };
    let content = SignedData {
        version: VERSION_1,
        digests: set_of_one(&digest)?,
        content: Encapsulated { content_type: DATA, content: embedded.map(OctetStringRef::new).transpose()? },
        signers: set_of_one(&signer)?,
    };
    ContentInfo { content_type: SIGNED_DATA, content }.to_der()
}

/// As the kernel wants it: the plain `rsaEncryption`, not `sha256WithRSAEncryption`; but for ECDSA with the hash
/// function (`pkcs7_sig_note_pkey_algo` in `crypto/asymmetric_keys/pkcs7_parser.c`).
pub(crate) fn signature_identifier(algorithm: SignatureAlgorithm) -> AlgorithmIdentifierOwned {
    let (oid, parameters) = match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => (key::RSA_ENCRYPTION, Some(Null.into())),
        SignatureAlgorithm::EcdsaP256Sha256 => (key::ECDSA_WITH_SHA256, None),
        SignatureAlgorithm::EcdsaP384Sha384 => (key::ECDSA_WITH_SHA384, None),
    };
    AlgorithmIdentifierOwned { oid, parameters }
}

pub(crate) fn set_of_one(value: &impl Encode) -> der::Result<Any> {
    Any::new(Tag::Set, value.to_der()?)
}

/// The version of PKCS#7's own structures, with the signer named by issuer and serial number.
const VERSION_1: u8 = 1;

/// RFC 5652, section 3.
#[derive(Sequence)]
struct ContentInfo<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: SignedData<'a>,
}

/// RFC 5652, section 5.1, without certificates and revocation lists.
#[derive(Sequence)]
struct SignedData<'a> {
    version: u8,
    digests: Any,
    content: Encapsulated<'a>,
    signers: Any,
}

/// RFC 5652, section 5.2.
#[derive(Sequence)]
struct Encapsulated<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<&'a OctetStringRef>,
}

/// RFC 5652, section 5.3, without attributes.
#[derive(Sequence)]
struct SignerInfo<'a> {
    version: u8,
    id: IssuerAndSerial<'a>,
    digest: AlgorithmIdentifierOwned,
    algorithm: AlgorithmIdentifierOwned,
    signature: &'a OctetStringRef,
}

/// RFC 5652, section 10.2.4.
#[derive(Sequence)]
pub(crate) struct IssuerAndSerial<'a> {
    pub(crate) issuer: AnyRef<'a>,
    pub(crate) serial: AnyRef<'a>,
}
