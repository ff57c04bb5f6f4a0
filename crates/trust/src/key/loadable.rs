//! What keeps the kernel from taking a certificate into a keyring (`crypto/asymmetric_keys/x509_cert_parser.c` and
//! `x509_public_key.c`, Linux 6.12; what the key itself may be is in `public.rs`).

use der::Decode;
use der::asn1::{BitStringRef, ObjectIdentifier};
use x509_cert::TbsCertificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, KeyUsage, SubjectKeyIdentifier};
use x509_cert::time::Time;

use super::{DigestAlgorithm, PublicKey, PublicKeyKind, oid};

/// The most bytes that the kernel's ASN.1 decoder takes (`lib/asn1_decoder.c`).
const DER_MAX_BYTES: usize = 65_535;

/// The most bytes of a key's identifier: its length is read as one byte.
const KEY_ID_MAX_BYTES: usize = 127;

/// The last year that `UTCTime` has; the kernel takes `GeneralizedTime` only behind it (RFC 5280, section 4.1.2.5).
const UTC_TIME_LAST_YEAR: u16 = 2049;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    Ecdsa,
}

/// How a certificate may be signed for the kernel to read it; whether it then checks the signature is another matter.
/// With the hash, where it is one that signatures are checked with here.
const SIGNATURES: [(&str, Family, Option<DigestAlgorithm>); 16] = [
    ("1.2.840.113549.1.1.5", Family::Rsa, None),
    ("1.2.840.113549.1.1.14", Family::Rsa, None),
    ("1.2.840.113549.1.1.11", Family::Rsa, Some(DigestAlgorithm::Sha256)),
    ("1.2.840.113549.1.1.12", Family::Rsa, Some(DigestAlgorithm::Sha384)),
    ("1.2.840.113549.1.1.13", Family::Rsa, Some(DigestAlgorithm::Sha512)),
    ("2.16.840.1.101.3.4.3.14", Family::Rsa, None),
    ("2.16.840.1.101.3.4.3.15", Family::Rsa, None),
    ("2.16.840.1.101.3.4.3.16", Family::Rsa, None),
    ("1.2.840.10045.4.1", Family::Ecdsa, None),
    ("1.2.840.10045.4.3.1", Family::Ecdsa, None),
    ("1.2.840.10045.4.3.2", Family::Ecdsa, Some(DigestAlgorithm::Sha256)),
    ("1.2.840.10045.4.3.3", Family::Ecdsa, Some(DigestAlgorithm::Sha384)),
    ("1.2.840.10045.4.3.4", Family::Ecdsa, Some(DigestAlgorithm::Sha512)),
    ("2.16.840.1.101.3.4.3.10", Family::Ecdsa, None),
    ("2.16.840.1.101.3.4.3.11", Family::Ecdsa, None),
    ("2.16.840.1.101.3.4.3.12", Family::Ecdsa, None),
];

fn signature_kind(algorithm: &ObjectIdentifier) -> Option<(Family, Option<DigestAlgorithm>)> {
    let number = algorithm.to_string();
    SIGNATURES.iter().find(|(known, ..)| *known == number).map(|(_, family, digest)| (*family, *digest))
}

/// Whether `signature` is that of `key`; `None` where it is of a kind that cannot be checked here.
pub(super) fn is_signed_by(
    key: &PublicKey,
    algorithm: &ObjectIdentifier,
    signed: &[u8],
    signature: &BitStringRef<'_>,
) -> Option<bool> {
    let (family, digest) = signature_kind(algorithm)?;
    let of_key = match key.kind() {
        PublicKeyKind::Rsa { .. } => Family::Rsa,
        PublicKeyKind::P256 | PublicKeyKind::P384 => Family::Ecdsa,
    };
    if family != of_key {
        return Some(false);
    }
    Some(key.verifies(digest?, signed, signature.as_bytes()?))
}

/// What keeps the kernel from taking a certificate, with the error that it answers; nothing if it takes it.
///
/// `signed_by_itself` is what [`is_signed_by`] says of its own key.
pub(super) fn problem(der: &[u8], signed_by_itself: Option<bool>) -> Option<String> {
    if der.len() > DER_MAX_BYTES {
        return Some(format!("it has {} bytes, {DER_MAX_BYTES} are the most (EMSGSIZE)", der.len()));
    }
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let content = certificate.tbs_certificate();
    of_signature(&certificate)
        .or_else(|| of_names(content))
        .or_else(|| of_times(content))
        .or_else(|| of_extensions(content))
        .or_else(|| of_self_signature(content, signed_by_itself))
}

fn of_signature(certificate: &x509_cert::Certificate) -> Option<String> {
    let inner = &certificate.tbs_certificate().signature().oid;
    if signature_kind(inner).is_none() {
        let name = oid::name(inner);
        return Some(format!(
            "it is signed with {name}, which Linux 6.12 does not know in certificates (ENOPKG); have it issued anew, \
             signed with RSA PKCS#1 v1.5 or ECDSA, and SHA-256 or more"
        ));
    }
    (certificate.signature_algorithm().oid != *inner)
        .then(|| "what it says of its signature and what stands at the signature differ (EINVAL)".to_owned())
}

fn of_names(content: &TbsCertificate) -> Option<String> {
    let empty = [("subject", content.subject()), ("issuer", content.issuer())];
    let (which, _) = empty.into_iter().find(|(_, name)| name.is_empty())?;
    Some(format!("its {which} is empty, which the kernel takes for damage (EBADMSG)"))
}

fn of_times(content: &TbsCertificate) -> Option<String> {
    let validity = content.validity();
    let is_odd = |time: &Time| match time {
        Time::UtcTime(_) => false,
        Time::GeneralTime(time) => time.to_date_time().year() <= UTC_TIME_LAST_YEAR,
    };
    (is_odd(&validity.not_before) || is_odd(&validity.not_after))
        .then(|| "its validity has a time before 2050 as GeneralizedTime, not UTCTime (EBADMSG)".to_owned())
}

fn of_extensions(content: &TbsCertificate) -> Option<String> {
    if let Ok(Some((_, SubjectKeyIdentifier(id)))) = content.get_extension()
        && !(1..=KEY_ID_MAX_BYTES).contains(&id.as_bytes().len())
    {
        return Some(format!("its key identifier has {} bytes (EBADMSG)", id.as_bytes().len()));
    }
    if let Ok(Some((_, KeyUsage(usage)))) = content.get_extension()
        && usage.is_empty()
    {
        return Some("its key usage names nothing (EBADMSG)".to_owned());
    }
    match content.get_extension::<AuthorityKeyIdentifier>() {
        Err(_) => Some("what it says of its issuer's key is damaged (EBADMSG)".to_owned()),
        Ok(Some((_, id))) if has_empty_name(&id) => {
            Some("the issuer that it names beside its issuer's key is empty (EBADMSG)".to_owned())
        }
        Ok(_) => None,
    }
}

fn has_empty_name(id: &AuthorityKeyIdentifier) -> bool {
    let is_empty = |name: &GeneralName| matches!(name, GeneralName::DirectoryName(name) if name.is_empty());
    id.authority_cert_issuer.as_ref().is_some_and(|names| names.iter().any(is_empty))
}

/// Where subject and issuer are one and nothing says that another key signed it, the kernel checks that its own did.
fn of_self_signature(content: &TbsCertificate, signed_by_itself: Option<bool>) -> Option<String> {
    if content.subject() != content.issuer() || signed_by_itself != Some(false) {
        return None;
    }
    let own = content.get_extension::<SubjectKeyIdentifier>().ok().flatten().map(|(_, id)| id.0);
    let issuers = content.get_extension::<AuthorityKeyIdentifier>().ok().flatten();
    let issuers = issuers.and_then(|(_, id)| id.key_identifier);
    (issuers.is_none() || issuers == own)
        .then(|| "its subject is its issuer, but its own key did not sign it (EKEYREJECTED)".to_owned())
}
