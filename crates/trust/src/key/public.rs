use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use der::asn1::{AnyRef, BitString, Null, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::{Fingerprint, KeyError, oid, pem};

/// The sizes of RSA keys, in bits of the modulus: below is too weak, and the kernel takes no others
/// (`rsa_check_key_length` in `crypto/rsa.c`).
const RSA_BITS: [usize; 3] = [2048, 3072, 4096];

/// In what the kernel counts the bits of a modulus (`mpi_get_size`), on the processors that Sealpack runs on.
const LIMB_BITS: usize = 64;

/// A hash function that signatures are made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    pub(crate) const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
        }
    }

    /// The hash of `parts`, one after the other.
    pub fn hash(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut context = digest::Context::new(match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        });
        parts.iter().for_each(|part| context.update(part));
        context.finish().as_ref().to_vec()
    }

    pub(crate) fn of_oid(oid: &ObjectIdentifier) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512].into_iter().find(|algorithm| algorithm.oid() == *oid)
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

/// How Sealpack signs; the kind of key decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017).
    RsaPkcs1Sha256,
    /// ECDSA on P-256 with SHA-256; a signature is the DER of `ECDSA-Sig-Value` (RFC 3279).
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384; likewise.
    EcdsaP384Sha384,
}

impl SignatureAlgorithm {
    /// A name of it without blanks, for programs: `rsa-pkcs1-sha256`, `ecdsa-p256-sha256` or `ecdsa-p384-sha384`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
        }
    }

    /// The hash function it is over.
    pub const fn digest(self) -> DigestAlgorithm {
        match self {
            Self::RsaPkcs1Sha256 | Self::EcdsaP256Sha256 => DigestAlgorithm::Sha256,
            Self::EcdsaP384Sha384 => DigestAlgorithm::Sha384,
        }
    }

    /// As certificates name it (RFC 5754, RFC 5758).
    pub(super) fn certificate_identifier(self) -> AlgorithmIdentifierOwned {
        let (oid, parameters) = match self {
            Self::RsaPkcs1Sha256 => (oid::SHA256_WITH_RSA, Some(Null.into())),
            Self::EcdsaP256Sha256 => (oid::ECDSA_WITH_SHA256, None),
            Self::EcdsaP384Sha384 => (oid::ECDSA_WITH_SHA384, None),
        };
        AlgorithmIdentifierOwned { oid, parameters }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::RsaPkcs1Sha256 => "RSA PKCS#1 v1.5 with SHA-256",
            Self::EcdsaP256Sha256 => "ECDSA P-256 with SHA-256",
            Self::EcdsaP384Sha384 => "ECDSA P-384 with SHA-384",
        })
    }
}

/// The kind of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublicKeyKind {
    /// RSA.
    Rsa {
        /// Of the modulus: 2048, 3072 or 4096, and a few less than the latter two.
        bits: usize,
    },
    /// ECDSA on the curve P-256.
    P256,
    /// ECDSA on the curve P-384.
    P384,
}

impl fmt::Display for PublicKeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(formatter, "RSA {bits}"),
            Self::P256 => formatter.write_str("ECDSA P-256"),
            Self::P384 => formatter.write_str("ECDSA P-384"),
        }
    }
}

/// A public key of a supported kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: PublicKeyKind,
    /// What the bit string of a `SubjectPublicKeyInfo` holds: a DER `RSAPublicKey`, or an uncompressed point.
    bytes: Vec<u8>,
    /// The DER of its `SubjectPublicKeyInfo`.
    info_der: Vec<u8>,
}

/// RFC 8017, appendix A.1.1.
#[derive(Sequence)]
pub(super) struct RsaPublicKey<'a> {
    pub(super) modulus: UintRef<'a>,
    pub(super) exponent: UintRef<'a>,
}

/// `ECDSA-Sig-Value` (RFC 3279, section 2.2.3).
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl PublicKey {
    /// Of the DER of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
    ///
    /// # Errors
    /// Not such a structure, a size that is not supported, or no possible key.
    pub fn rsa(der: &[u8]) -> Result<Self, KeyError> {
        let numbers =
            RsaPublicKey::from_der(der).map_err(|error| KeyError::malformed("RSA public key", error))?;
        let bits = rsa_bits(numbers.modulus)?;
        Self::checked(PublicKeyKind::Rsa { bits }, der)
    }

    /// Of an uncompressed point (SEC 1, section 2.3.3); its length decides the curve.
    ///
    /// # Errors
    /// Not a point of P-256 or P-384, or in another form: the kernel takes only this one
    /// (`crypto/ecdsa.c`).
    pub fn ec_point(kind: PublicKeyKind, point: &[u8]) -> Result<Self, KeyError> {
        let invalid =
            |problem: &str| Err(KeyError::Invalid { what: "public key", problem: problem.to_owned() });
        let coordinate_bytes = match kind {
            PublicKeyKind::P256 => 32,
            PublicKeyKind::P384 => 48,
            PublicKeyKind::Rsa { .. } => return invalid("a point cannot be the public key of RSA"),
        };
        match point.first() {
            Some(0x04) if point.len() == 1 + 2 * coordinate_bytes => Self::checked(kind, point),
            Some(0x02 | 0x03) => invalid("the point is compressed, which the kernel does not take"),
            _ => invalid("the point is not of its curve's length"),
        }
    }

    /// Reads a file with a public key: the DER of a `SubjectPublicKeyInfo`, or PEM with the label `PUBLIC KEY` (RFC 7468, section 13).
    ///
    /// # Errors
    /// No public key, several, a damaged one, or one of an unsupported kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let der = pem::der_of_file(bytes, &["PUBLIC KEY"], "a public key")?;
        let info = SubjectPublicKeyInfoOwned::from_der(&der)
            .map_err(|error| KeyError::malformed("public key", error))?;
        Self::of_info(&info)
    }

    /// The DER of an ECDSA signature that is two numbers of equal length, as IEEE P1363 has it and tokens and web services make it;
    /// none for a key that makes no such signatures, and where they cannot be two such numbers.
    pub fn ecdsa_der(&self, numbers: &[u8]) -> Option<Vec<u8>> {
        let bytes = match self.kind {
            PublicKeyKind::P256 => 32,
            PublicKeyKind::P384 => 48,
            PublicKeyKind::Rsa { .. } => return None,
        };
        let (r, s) = numbers.split_at_checked(bytes).filter(|(_, s)| s.len() == bytes)?;
        EcdsaSignature { r: UintRef::new(r).ok()?, s: UintRef::new(s).ok()? }.to_der().ok()
    }

    /// Of a `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
    pub(super) fn of_info(info: &SubjectPublicKeyInfoOwned) -> Result<Self, KeyError> {
        let bytes = info
            .subject_public_key
            .as_bytes()
            .ok_or_else(|| KeyError::malformed("public key", "it is not a whole number of bytes"))?;
        match info.algorithm.oid {
            oid::RSA_ENCRYPTION => Self::rsa(bytes),
            oid::EC_PUBLIC_KEY => {
                let parameters = info.algorithm.parameters.as_ref().map(AnyRef::from);
                Self::ec_point(curve(parameters)?, bytes)
            }
            other => Err(KeyError::Unsupported { algorithm: oid::name(&other) }),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> PublicKeyKind {
        self.kind
    }

    /// How its private key signs.
    pub const fn signature_algorithm(&self) -> SignatureAlgorithm {
        match self.kind {
            PublicKeyKind::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha256,
            PublicKeyKind::P256 => SignatureAlgorithm::EcdsaP256Sha256,
            PublicKeyKind::P384 => SignatureAlgorithm::EcdsaP384Sha384,
        }
    }

    /// What the bit string of a `SubjectPublicKeyInfo` holds: a DER `RSAPublicKey`, or an uncompressed point.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether `signature` is this key's, over `message` hashed with `digest`. RSA signatures are PKCS#1 v1.5,
    /// ECDSA ones the DER of `ECDSA-Sig-Value`.
    pub fn verifies(&self, digest: DigestAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(verification(self.kind, digest), &self.bytes);
        key.verify(message, signature).is_ok()
    }

    /// The DER of its `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7), as certificates have it.
    pub fn info_der(&self) -> &[u8] {
        &self.info_der
    }

    /// The SHA-256 of [`info_der`](Self::info_der).
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.info_der)
    }

    /// The key, if there can be one of these numbers.
    fn checked(kind: PublicKeyKind, bytes: &[u8]) -> Result<Self, KeyError> {
        let unparsed = UnparsedPublicKey::new(verification(kind, DigestAlgorithm::Sha256), bytes);
        if let Err(error) = unparsed.parse() {
            return Err(KeyError::Invalid { what: "public key", problem: error.to_string() });
        }
        let info_der = info(kind, bytes).map_err(|error| KeyError::malformed("public key", error))?;
        Ok(Self { kind, bytes: bytes.to_vec(), info_der })
    }
}

/// The size of an RSA key by its modulus, where it is a supported one.
pub(super) fn rsa_bits(modulus: UintRef<'_>) -> Result<usize, KeyError> {
    let bytes = modulus.as_bytes();
    let unused_bits = bytes.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = (bytes.len() * 8).saturating_sub(unused_bits);
    let is_taken = bits >= RSA_BITS[0] && RSA_BITS.contains(&bits.next_multiple_of(LIMB_BITS));
    if is_taken { Ok(bits) } else { Err(KeyError::RsaSize { bits }) }
}

fn info(kind: PublicKeyKind, bytes: &[u8]) -> der::Result<Vec<u8>> {
    let (oid, parameters) = match kind {
        PublicKeyKind::Rsa { .. } => (oid::RSA_ENCRYPTION, der::Any::from(Null)),
        PublicKeyKind::P256 => (oid::EC_PUBLIC_KEY, der::Any::from(oid::P256)),
        PublicKeyKind::P384 => (oid::EC_PUBLIC_KEY, der::Any::from(oid::P384)),
    };
    let algorithm = AlgorithmIdentifierOwned { oid, parameters: Some(parameters) };
    SubjectPublicKeyInfoOwned { algorithm, subject_public_key: BitString::from_bytes(bytes)? }.to_der()
}

fn verification(kind: PublicKeyKind, digest: DigestAlgorithm) -> &'static dyn VerificationAlgorithm {
    use DigestAlgorithm::{Sha256, Sha384, Sha512};
    match (kind, digest) {
        (PublicKeyKind::Rsa { .. }, Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (PublicKeyKind::Rsa { .. }, Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (PublicKeyKind::Rsa { .. }, Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (PublicKeyKind::P256, Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (PublicKeyKind::P256, Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (PublicKeyKind::P256, Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (PublicKeyKind::P384, Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (PublicKeyKind::P384, Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (PublicKeyKind::P384, Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
    }
}

/// The curve that the parameters of an `ecPublicKey` name (RFC 5480, section 2.1.1).
pub(super) fn curve(parameters: Option<AnyRef<'_>>) -> Result<PublicKeyKind, KeyError> {
    let parameters = parameters.ok_or_else(|| KeyError::malformed("EC key", "it does not name its curve"))?;
    match parameters.decode_as::<ObjectIdentifier>() {
        Ok(oid::P256) => Ok(PublicKeyKind::P256),
        Ok(oid::P384) => Ok(PublicKeyKind::P384),
        Ok(other) => Err(KeyError::Unsupported { algorithm: format!("ECDSA {}", oid::name(&other)) }),
        Err(_) => Err(KeyError::Unsupported { algorithm: "ECDSA (curve given by its numbers)".to_owned() }),
    }
}
