use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RsaKeyPair,
};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use super::pem::{self, Block};
use super::{KeyError, PublicKey, PublicKeyKind, SignError, Signer, found, oid, public};

/// A private key from a file, in this process's memory; the library wipes it when it is dropped.
pub struct FileKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl FileKey {
    /// Reads a key: PEM or DER; PKCS#8 (RFC 5208, RFC 5958), PKCS#1 (RFC 8017) or SEC 1 (RFC 5915). What stands
    /// around the key in a PEM file, its certificate or `EC PARAMETERS`, is left alone.
    ///
    /// # Errors
    /// No key, several, an encrypted one, one of an unsupported kind, or one whose numbers do not fit together.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem::blocks(bytes)?;
        let is_key =
            |block: &&Block| block.label.as_deref().is_none_or(|label| label.ends_with("PRIVATE KEY"));
        let mut keys = blocks.iter().filter(is_key);
        let Some(block) = keys.next() else {
            return Err(found::in_file(&blocks, WANTED));
        };
        match keys.count() {
            0 => Self::of_block(block),
            more => Err(KeyError::Several { count: more + 1, what: "private keys" }),
        }
    }

    fn of_block(block: &Block) -> Result<Self, KeyError> {
        let label = block.label.as_deref();
        if block.is_encrypted || label == Some("ENCRYPTED PRIVATE KEY") {
            return Err(KeyError::Encrypted);
        }
        match label {
            None | Some("PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY") => Self::of_der(&block.der),
            Some(label) => Err(found::near_key(label).unwrap_or_else(|| KeyError::Unsupported {
                algorithm: label.trim_end_matches(" PRIVATE KEY").to_owned(),
            })),
        }
    }

    pub(super) fn of_der(der: &[u8]) -> Result<Self, KeyError> {
        match form(der).map_err(|error| KeyError::malformed(WHAT, error))? {
            Form::Pkcs8 { algorithm: oid::RSA_ENCRYPTION, key, .. } => {
                check_rsa_size(key)?;
                Self::rsa(RsaKeyPair::from_pkcs8(der))
            }
            Form::Pkcs8 { algorithm: oid::EC_PUBLIC_KEY, parameters, .. } => {
                Self::ec(public::curve(parameters)?, der)
            }
            Form::Pkcs8 { algorithm, .. } => Err(KeyError::Unsupported { algorithm: oid::name(&algorithm) }),
            Form::Pkcs1 => {
                check_rsa_size(der)?;
                Self::rsa(RsaKeyPair::from_der(der))
            }
            Form::Sec1 { curve: Some(parameters), .. } => Self::ec(public::curve(Some(parameters))?, der),
            Form::Sec1 { curve: None, size_bytes: 32 } => Self::ec(PublicKeyKind::P256, der),
            Form::Sec1 { curve: None, size_bytes: 48 } => Self::ec(PublicKeyKind::P384, der),
            Form::Sec1 { curve: None, size_bytes } => {
                Err(KeyError::Unsupported { algorithm: format!("ECDSA ({} bits)", size_bytes * 8) })
            }
            Form::Encrypted => Err(KeyError::Encrypted),
            Form::Pkcs12 => Err(KeyError::Pkcs12),
            Form::Other(found) => Err(KeyError::Other { found: found.to_owned(), wanted: WANTED }),
        }
    }

    fn rsa(pair: Result<RsaKeyPair, aws_lc_rs::error::KeyRejected>) -> Result<Self, KeyError> {
        let pair = pair.map_err(rejected)?;
        let public = PublicKey::rsa(pair.public_key().as_ref())?;
        Ok(Self { pair: Pair::Rsa(pair), public })
    }

    fn ec(kind: PublicKeyKind, der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_private_key_der(ec_algorithm(kind), der).map_err(rejected)?;
        let public = PublicKey::ec_point(kind, pair.public_key().as_ref())?;
        Ok(Self { pair: Pair::Ec(pair), public })
    }
}

const WANTED: &str = "a private key";
const WHAT: &str = "private key";

pub(super) fn ec_algorithm(kind: PublicKeyKind) -> &'static EcdsaSigningAlgorithm {
    match kind {
        PublicKeyKind::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        PublicKeyKind::P256 | PublicKeyKind::Rsa { .. } => &ECDSA_P256_SHA256_ASN1_SIGNING,
    }
}

fn rejected(error: aws_lc_rs::error::KeyRejected) -> KeyError {
    KeyError::Invalid { what: WHAT, problem: format!("its numbers do not fit together ({error})") }
}

/// Checks the size of the key in an `RSAPrivateKey` (RFC 8017, appendix A.1.2): the library only says that it does not
/// take one.
fn check_rsa_size(der: &[u8]) -> Result<(), KeyError> {
    let modulus = || -> der::Result<UintRef<'_>> {
        let outer = AnyRef::from_der(der)?;
        let mut reader = SliceReader::new(outer.value())?;
        let _version = AnyRef::decode(&mut reader)?;
        UintRef::decode(&mut reader)
    };
    let modulus = modulus().map_err(|error| KeyError::malformed(WHAT, error))?;
    public::rsa_bits(modulus).map(|_| ())
}

impl Signer for FileKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        let failed = |_| SignError::new("the cryptographic library failed");
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::Ec(pair) => pair.sign(&random, message).map(|made| made.as_ref().to_vec()).map_err(failed),
        }
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// What a DER structure is, by its first elements.
enum Form<'a> {
    Pkcs8 { algorithm: ObjectIdentifier, parameters: Option<AnyRef<'a>>, key: &'a [u8] },
    Pkcs1,
    Sec1 { curve: Option<AnyRef<'a>>, size_bytes: usize },
    Encrypted,
    Pkcs12,
    Other(&'static str),
}

fn form(der: &[u8]) -> der::Result<Form<'_>> {
    let outer = AnyRef::from_der(der)?;
    outer.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(outer.value())?;
    let first = AnyRef::decode(&mut reader)?;
    if first.tag() == Tag::Sequence {
        return beginning_with_sequence(first, &mut reader);
    }
    let version: u8 = first.decode_as()?;
    let second = AnyRef::decode(&mut reader)?;
    match (version, second.tag()) {
        (0 | 1, Tag::Sequence) => {
            let key = <&OctetStringRef>::decode(&mut reader)?.as_bytes();
            second.sequence(|inner| -> der::Result<_> {
                let algorithm = inner.decode()?;
                let parameters = if inner.is_finished() { None } else { Some(AnyRef::decode(inner)?) };
                Ok(Form::Pkcs8 { algorithm, parameters, key })
            })
        }
        (0, Tag::Integer) => Ok(Form::Pkcs1),
        (1, Tag::OctetString) => {
            Ok(Form::Sec1 { curve: sec1_curve(&mut reader)?, size_bytes: second.value().len() })
        }
        (3, Tag::Sequence) => Ok(Form::Pkcs12),
        _ => Ok(Form::Other("an unknown structure")),
    }
}

/// `ECParameters`, the optional element 0 behind the private key (RFC 5915, section 3).
fn sec1_curve<'a>(reader: &mut SliceReader<'a>) -> der::Result<Option<AnyRef<'a>>> {
    if reader.is_finished() {
        return Ok(None);
    }
    let next = AnyRef::decode(reader)?;
    let is_parameters =
        matches!(next.tag(), Tag::ContextSpecific { number: TagNumber(0), constructed: true });
    is_parameters.then(|| AnyRef::from_der(next.value())).transpose()
}

/// A certificate, a public key or an encrypted key.
fn beginning_with_sequence<'a>(first: AnyRef<'a>, reader: &mut SliceReader<'a>) -> der::Result<Form<'a>> {
    let second = AnyRef::decode(reader)?;
    let is_named = first.value().first() == Some(&0x06);
    Ok(match second.tag() {
        Tag::OctetString if is_named => Form::Encrypted,
        Tag::BitString if is_named => Form::Other("a public key"),
        Tag::Sequence => Form::Other("a certificate or a request for one"),
        _ => Form::Other("an unknown structure"),
    })
}
