use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::EcdsaKeyPair;
use der::asn1::{BitString, OctetString, Utf8StringRef};
use der::oid::AssociatedOid;
use der::{Any, Decode, Encode, Sequence};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;
use zeroize::Zeroizing;

use super::file::ec_algorithm;
use super::{FileKey, KeyError, PublicKey, PublicKeyKind, SignError, Signer, oid, pem};

/// The kinds of keys that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::P256, Self::P384];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::P256 => "p256",
            Self::P384 => "p384",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No such kind of key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of key; there are rsa2048, rsa3072, rsa4096, p256 and p384")]
pub struct KeyKindError(String);

impl FromStr for KeyKind {
    type Err = KeyKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |kind: &Self| kind.name() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| KeyKindError(text.to_owned()))
    }
}

/// The most characters of a common name (`ub-common-name`, RFC 5280, appendix A.1).
const COMMON_NAME_MAX: usize = 64;

/// A name that a certificate can have as its subject: 1 to 64 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommonName(String);

impl CommonName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommonName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A text cannot be a certificate's subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommonNameError {
    /// Nothing but blanks.
    #[error("a certificate's subject cannot be empty")]
    Empty,
    /// Too long.
    #[error("a certificate's subject has at most {COMMON_NAME_MAX} characters, this one has {characters}")]
    TooLong {
        /// What it has.
        characters: usize,
    },
    /// Line breaks and the like.
    #[error("a certificate's subject cannot have control characters")]
    Control,
}

impl FromStr for CommonName {
    type Err = CommonNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let characters = text.chars().count();
        if text.trim().is_empty() {
            Err(CommonNameError::Empty)
        } else if characters > COMMON_NAME_MAX {
            Err(CommonNameError::TooLong { characters })
        } else if text.chars().any(char::is_control) {
            Err(CommonNameError::Control)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// From when to when a certificate says that it is valid, in whole seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Certificates cannot say such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a certificate's validity lies between the years 1970 and 9999, and lasts a second at least")]
pub struct ValidityError;

impl Validity {
    /// Of `duration`, from `start` on.
    ///
    /// # Errors
    /// It would begin before 1970 or end after 9999, or at once.
    pub fn starting(start: SystemTime, duration: Duration) -> Result<Self, ValidityError> {
        let end = start.checked_add(duration).ok_or(ValidityError)?;
        let is_sayable = |time| Time::try_from(time).is_ok();
        if duration.as_secs() == 0 || !is_sayable(start) || !is_sayable(end) {
            return Err(ValidityError);
        }
        Ok(Self { not_before: start, not_after: end })
    }

    pub(super) const fn read(not_before: SystemTime, not_after: SystemTime) -> Self {
        Self { not_before, not_after }
    }

    /// Its first second.
    pub const fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Its last second.
    pub const fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether `time` is within.
    pub fn contains(&self, time: SystemTime) -> bool {
        (self.not_before..=self.not_after).contains(&time)
    }

    fn der(self) -> der::Result<x509_cert::time::Validity> {
        Ok(x509_cert::time::Validity::new(Time::try_from(self.not_before)?, Time::try_from(self.not_after)?))
    }
}

/// A new key and its certificate.
pub struct Generated {
    /// The private key: PKCS#8, not encrypted. Wiped from memory when dropped.
    pub key_pem: Zeroizing<String>,
    /// Its certificate, signed by itself.
    pub certificate_pem: String,
}

impl fmt::Debug for Generated {
    /// Without the private key, which must not get into a log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Generated")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// Makes a key and a certificate for it, as [`self_signed_certificate`] does.
///
/// # Errors
/// The library cannot make a key; no random numbers.
pub fn generate(kind: KeyKind, subject: &CommonName, validity: &Validity) -> Result<Generated, SignError> {
    let der = private_key(kind).map_err(|_| SignError::new("the library could not make a key"))?;
    let key = FileKey::of_der(&der).map_err(SignError::new)?;
    let certificate = self_signed_certificate(&key, subject, validity)?;
    Ok(Generated {
        key_pem: pem::encode("PRIVATE KEY", &der),
        certificate_pem: String::clone(&pem::encode("CERTIFICATE", &certificate)),
    })
}

fn private_key(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>, aws_lc_rs::error::Unspecified> {
    let rsa = |size| -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(size)?.as_der()?;
        Ok(der.as_ref().to_vec())
    };
    let ec = |kind| EcdsaKeyPair::generate(ec_algorithm(kind))?.to_pkcs8v1().map(|der| der.as_ref().to_vec());
    let der = match kind {
        KeyKind::Rsa2048 => rsa(KeySize::Rsa2048),
        KeyKind::Rsa3072 => rsa(KeySize::Rsa3072),
        KeyKind::Rsa4096 => rsa(KeySize::Rsa4096),
        KeyKind::P256 => ec(PublicKeyKind::P256),
        KeyKind::P384 => ec(PublicKeyKind::P384),
    };
    der.map(Zeroizing::new)
}

/// The DER of a certificate for `signer`'s key, signed by itself: X.509 version 3 with a random serial number, for
/// signing code and nothing else (`basicConstraints` CA:FALSE, `keyUsage` digitalSignature, both critical;
/// `extendedKeyUsage` codeSigning; `subjectKeyIdentifier`).
///
/// # Errors
/// The key does not sign; no random numbers.
pub fn self_signed_certificate(
    signer: &dyn Signer,
    subject: &CommonName,
    validity: &Validity,
) -> Result<Vec<u8>, SignError> {
    let algorithm = signer.algorithm().certificate_identifier();
    let encoding = |error: der::Error| SignError::new(format_args!("cannot encode its certificate: {error}"));
    let statement = Statement {
        version: VERSION_3,
        serial: serial()?,
        algorithm: algorithm.clone(),
        issuer: name(subject).map_err(encoding)?,
        validity: validity.der().map_err(encoding)?,
        subject: name(subject).map_err(encoding)?,
        key: Any::from_der(signer.public_key().info_der()).map_err(encoding)?,
        extensions: extensions(signer.public_key()).map_err(encoding)?,
    };
    let signature = signer.sign(&statement.to_der().map_err(encoding)?)?;
    let signature = BitString::from_bytes(&signature).map_err(encoding)?;
    Signed { statement, algorithm, signature }.to_der().map_err(encoding)
}

/// `Version` 3 is written as 2.
const VERSION_3: u8 = 2;

/// `TBSCertificate` (RFC 5280, section 4.1), as far as it is written here.
#[derive(Sequence)]
struct Statement {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: SerialNumber,
    algorithm: AlgorithmIdentifierOwned,
    issuer: RdnSequence,
    validity: x509_cert::time::Validity,
    subject: RdnSequence,
    key: Any,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

/// `Certificate` (RFC 5280, section 4.1).
#[derive(Sequence)]
struct Signed {
    statement: Statement,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// Sixteen random bytes, positive and without leading zeros: what names a certificate must not occur twice.
fn serial() -> Result<SerialNumber, SignError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SignError::new("there are no random numbers"))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::new(&bytes).map_err(SignError::new)
}

fn name(subject: &CommonName) -> der::Result<RdnSequence> {
    let value = Any::from(Utf8StringRef::new(subject.as_str())?);
    let part =
        RelativeDistinguishedName::try_from(vec![AttributeTypeAndValue { oid: oid::COMMON_NAME, value }])?;
    let mut parts = RdnSequence::default();
    parts.push(part);
    Ok(parts)
}

fn extensions(key: &PublicKey) -> der::Result<Vec<Extension>> {
    let constraints = BasicConstraints { ca: false, path_len_constraint: None };
    let usage = KeyUsage(KeyUsages::DigitalSignature.into());
    let extended = ExtendedKeyUsage(vec![oid::CODE_SIGNING]);
    // RFC 7093, section 2, method 1; where RFC 5280 hashes with SHA-1.
    let hash = digest::digest(&SHA256, key.as_bytes());
    let key_id = SubjectKeyIdentifier(OctetString::new(&hash.as_ref()[..KEY_ID_BYTES])?);
    Ok(vec![
        extension(&constraints, true)?,
        extension(&usage, true)?,
        extension(&extended, false)?,
        extension(&key_id, false)?,
    ])
}

const KEY_ID_BYTES: usize = 20;

fn extension<T: AssociatedOid + Encode>(value: &T, critical: bool) -> der::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

impl From<KeyError> for SignError {
    fn from(error: KeyError) -> Self {
        Self::new(error)
    }
}
