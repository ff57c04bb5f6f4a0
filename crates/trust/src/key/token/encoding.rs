//! Between the bytes that tokens give and take, and those of everybody else.

use der::asn1::{AnyRef, OctetStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::key::public::{RsaPublicKey, curve};
use crate::key::{DigestAlgorithm, KeyError, PublicKey};

/// `DigestInfo` (RFC 8017, section 9.2).
#[derive(Sequence)]
struct DigestInfo<'a> {
    algorithm: AlgorithmIdentifierOwned,
    digest: &'a OctetStringRef,
}

/// What `CKM_RSA_PKCS` signs for a digest.
pub(super) fn digest_info(algorithm: DigestAlgorithm, digest: &[u8]) -> der::Result<Vec<u8>> {
    let algorithm =
        AlgorithmIdentifierOwned { oid: algorithm.oid(), parameters: Some(der::asn1::Null.into()) };
    DigestInfo { algorithm, digest: OctetStringRef::new(digest)? }.to_der()
}

/// The key of `CKA_MODULUS` and `CKA_PUBLIC_EXPONENT`.
pub(super) fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyError> {
    let malformed = |error| KeyError::malformed("public key of the token", error);
    let key = RsaPublicKey {
        modulus: UintRef::new(modulus).map_err(malformed)?,
        exponent: UintRef::new(exponent).map_err(malformed)?,
    };
    PublicKey::rsa(&key.to_der().map_err(malformed)?)
}

/// The key of `CKA_EC_PARAMS` and `CKA_EC_POINT`. The point is the DER of an octet string (PKCS#11 v3.1, section
/// 6.3.3), or with some tokens only what is in it.
pub(super) fn ec_key(parameters: &[u8], point: &[u8]) -> Result<PublicKey, KeyError> {
    let malformed = |error| KeyError::malformed("public key of the token", error);
    let kind = curve(Some(AnyRef::from_der(parameters).map_err(malformed)?))?;
    let inner = <&OctetStringRef>::from_der(point).map_or(point, OctetStringRef::as_bytes);
    PublicKey::ec_point(kind, inner)
}
