//! What a file is that is not what was asked for.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use super::KeyError;
use super::pem::Block;

/// What the label of PEM (RFC 7468, and those that OpenSSL and OpenSSH use besides) says that something is.
const LABELS: [(&str, &str); 14] = [
    ("CERTIFICATE", "a certificate"),
    ("X509 CERTIFICATE", "a certificate"),
    ("TRUSTED CERTIFICATE", "a certificate"),
    ("ATTRIBUTE CERTIFICATE", "an attribute certificate"),
    ("CERTIFICATE REQUEST", "a request for a certificate"),
    ("NEW CERTIFICATE REQUEST", "a request for a certificate"),
    ("X509 CRL", "a list of revoked certificates"),
    ("PKCS7", "a PKCS#7 container"),
    ("PKCS #7 SIGNED DATA", "a PKCS#7 container"),
    ("CMS", "a PKCS#7 container"),
    ("ENCRYPTED PRIVATE KEY", "an encrypted private key"),
    ("OPENSSH PRIVATE KEY", "a private key in OpenSSH's own form"),
    ("TSS2 PRIVATE KEY", "a private key that only its TPM can use"),
    ("PGP PUBLIC KEY BLOCK", "a PGP key"),
];

/// What a PEM block with `label` is.
pub(super) fn of_label(label: &str) -> String {
    match LABELS.iter().find(|(known, _)| *known == label) {
        Some((_, what)) => (*what).to_owned(),
        None if label.ends_with("PRIVATE KEY") => "a private key".to_owned(),
        None if label.ends_with("PUBLIC KEY") => "a public key".to_owned(),
        None if label.ends_with("PARAMETERS") => "the parameters of a key, without it".to_owned(),
        None if label.is_empty() => "something unknown".to_owned(),
        None => format!("PEM with the label {label:?}"),
    }
}

/// The error for a file in which there is nothing of what is wanted.
pub(super) fn in_file(blocks: &[Block], wanted: &'static str) -> KeyError {
    let labels = || blocks.iter().filter_map(|block| block.label.as_deref());
    // Parameters stand in front of a key; the key is what the file is.
    let label = labels().find(|label| !label.ends_with("PARAMETERS")).or_else(|| labels().next());
    KeyError::Other { found: of_label(label.unwrap_or_default()), wanted }
}

/// The error for a label that means nearly what is wanted, where OpenSSL can make that of it.
pub(super) fn near_certificate(label: &str) -> Option<KeyError> {
    let (found, how) = match label {
        "TRUSTED CERTIFICATE" => TRUSTED,
        "PKCS7" | "PKCS #7 SIGNED DATA" | "CMS" => CONTAINER,
        _ => return None,
    };
    Some(KeyError::Form { found, how })
}

/// Likewise for private keys.
pub(super) fn near_key(label: &str) -> Option<KeyError> {
    let (found, how) = match label {
        "OPENSSH PRIVATE KEY" => (
            "a private key in OpenSSH's own form",
            "`ssh-keygen -p -m PKCS8 -f COPY` writes a copy of it in a form that can be read",
        ),
        "TSS2 PRIVATE KEY" => {
            ("a private key that only its TPM can use", "give the URI of its PKCS#11 token instead")
        }
        _ => return None,
    };
    Some(KeyError::Form { found, how })
}

const TRUSTED: (&str, &str) = (
    "a trusted certificate, OpenSSL's own form, in which settings stand behind the certificate",
    "`openssl x509 -in FILE -out PLAIN` writes the plain one",
);

const CONTAINER: (&str, &str) = (
    "a PKCS#7 container",
    "`openssl pkcs7 -in FILE -print_certs -out CERTIFICATES` takes the certificates out of it",
);

/// What DER is that is no certificate, where that can be told by its first elements.
pub(super) fn instead_of_certificate(der: &[u8], wanted: &'static str) -> Option<KeyError> {
    let mut file = SliceReader::new(der).ok()?;
    let first = file.tlv_bytes().ok()?;
    if !file.is_finished() {
        let rest = AnyRef::decode(&mut file).is_ok_and(|rest| rest.tag() == Tag::Sequence);
        let is_trusted = rest && file.is_finished() && x509_cert::Certificate::from_der(first).is_ok();
        return is_trusted.then_some(KeyError::Form { found: TRUSTED.0, how: TRUSTED.1 });
    }
    let elements = elements(AnyRef::from_der(first).ok()?.value())?;
    let tags: Vec<Tag> = elements.iter().map(Tagged::tag).collect();
    let other = |found: &str| Some(KeyError::Other { found: found.to_owned(), wanted });
    match tags[..] {
        [Tag::ObjectIdentifier, ..] if is_pkcs7(&elements[0]) => {
            Some(KeyError::Form { found: CONTAINER.0, how: CONTAINER.1 })
        }
        [Tag::Integer, Tag::Sequence, Tag::Sequence] => Some(KeyError::Pkcs12),
        [Tag::Integer, Tag::Sequence | Tag::Integer | Tag::OctetString, ..] => other("a private key"),
        [Tag::Sequence, Tag::BitString] => other("a public key"),
        [Tag::Sequence, Tag::OctetString] => other("an encrypted private key"),
        [Tag::Sequence, Tag::Sequence, Tag::BitString] => of_signed(&elements[0]).and_then(other),
        _ => None,
    }
}

/// What something is that its issuer signed (RFC 2986, section 4.2; RFC 5280, section 5.1).
fn of_signed(content: &AnyRef<'_>) -> Option<&'static str> {
    const ATTRIBUTES: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
    let tags: Vec<Tag> = elements(content.value())?.iter().map(Tagged::tag).collect();
    match tags[..] {
        [Tag::Integer, Tag::Sequence, Tag::Sequence, ATTRIBUTES] => Some("a request for a certificate"),
        [Tag::Integer, Tag::Sequence, Tag::Sequence, Tag::UtcTime | Tag::GeneralizedTime, ..]
        | [Tag::Sequence, Tag::Sequence, Tag::UtcTime | Tag::GeneralizedTime, ..] => {
            Some("a list of revoked certificates")
        }
        _ => None,
    }
}

fn elements(value: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(value).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(elements)
}

/// Whether a type of contents is one of PKCS#7's (RFC 2315, section 14).
fn is_pkcs7(kind: &AnyRef<'_>) -> bool {
    let kind = kind.decode_as::<ObjectIdentifier>().map(|kind| kind.to_string());
    kind.is_ok_and(|kind| kind.starts_with("1.2.840.113549.1.7."))
}
