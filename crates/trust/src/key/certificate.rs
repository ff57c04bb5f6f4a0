use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use aws_lc_rs::digest::{self, SHA256};
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use sealpack_format::digest::RootHash;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::pem::{self, Block};
use super::{KeyError, PublicKey, Signer, Validity, found, loadable, oid};

/// An X.509 certificate (RFC 5280) of a supported key.
///
/// Who issued it and until when it is valid is information only: the kernel takes a key from a keyring, not from a
/// chain, and does not look at a clock that may be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    parts: Parts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    /// The DER of the issuer's name, as it stands.
    issuer_der: Vec<u8>,
    /// The DER of the serial number, as it stands.
    serial_der: Vec<u8>,
    subject: String,
    issuer: String,
    serial: Vec<u8>,
    public_key: PublicKey,
    subject_key_id: Option<SubjectKeyId>,
    validity: Validity,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
    is_authority: bool,
}

/// The identifier of a certificate's key that the certificate itself gives (RFC 5280, section 4.2.1.2). `/proc/keys`
/// shows it behind the subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubjectKeyId(Vec<u8>);

impl SubjectKeyId {
    /// Usually 20 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SubjectKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

/// The SHA-256 of a certificate's DER, or of a public key's. Its text is lowercase hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&SHA256, der).as_ref());
        Self(bytes)
    }

    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

/// A text is not the SHA-256 of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-256 in 64 lowercase hexadecimal digits")]
pub struct FingerprintError(String);

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        // The same digits as those of any other SHA-256 here.
        let digest = text.parse::<RootHash>().ok().and_then(|digest| digest.as_bytes().try_into().ok());
        digest.map(Self).ok_or_else(|| FingerprintError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const WANTED: &str = "a certificate";
const WHAT: &str = "certificate";

impl Certificate {
    /// Reads a file with one certificate: PEM or DER. What else stands in a PEM file is left alone.
    ///
    /// # Errors
    /// No certificate, several, a damaged one, or one of an unsupported kind of key.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut certificates = Self::parse_all(bytes)?;
        match (certificates.pop(), certificates.len()) {
            (Some(certificate), 0) => Ok(certificate),
            (_, others) => Err(KeyError::Several { count: others + 1, what: "certificates" }),
        }
    }

    /// Reads a file with one or more certificates: PEM, or DER with one.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for several.
    pub fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, KeyError> {
        let blocks = pem::blocks(bytes)?;
        let is_certificate = |block: &&Block| {
            matches!(block.label.as_deref(), None | Some("CERTIFICATE" | "X509 CERTIFICATE"))
        };
        let mut certificates = Vec::new();
        for block in blocks.iter().filter(is_certificate) {
            certificates.push(Self::of_der(&block.der).map_err(|error| match error {
                KeyError::Malformed { .. } => {
                    found::instead_of_certificate(&block.der, WANTED).unwrap_or(error)
                }
                error => error,
            })?);
        }
        if certificates.is_empty() {
            let near =
                blocks.iter().filter_map(|block| found::near_certificate(block.label.as_deref()?)).next();
            return Err(near.unwrap_or_else(|| found::in_file(&blocks, WANTED)));
        }
        Ok(certificates)
    }

    fn of_der(der: &[u8]) -> Result<Self, KeyError> {
        Ok(Self { parts: Parts::of_der(der)?, der: der.to_vec() })
    }

    /// The certificate as it stands.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        String::clone(&pem::encode("CERTIFICATE", &self.der))
    }

    /// Whose key it is, as RFC 4514 writes names; characters that control a terminal or the direction of text, and
    /// invisible ones, are escaped.
    pub fn subject(&self) -> &str {
        &self.parts.subject
    }

    /// Who made it, likewise.
    pub fn issuer(&self) -> &str {
        &self.parts.issuer
    }

    /// The serial number: two's complement, the most significant byte first. With the issuer it is what a signature
    /// names its signer by.
    pub fn serial(&self) -> &[u8] {
        &self.parts.serial
    }

    /// The serial number in hexadecimal.
    pub fn serial_hex(&self) -> String {
        hex(&self.parts.serial)
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.parts.public_key
    }

    /// The identifier of its key, where it gives one.
    pub fn subject_key_id(&self) -> Option<&SubjectKeyId> {
        self.parts.subject_key_id.as_ref()
    }

    /// From when to when it says that it is valid.
    pub fn validity(&self) -> Validity {
        self.parts.validity
    }

    /// Whether it says that its key may sign certificates.
    pub fn is_authority(&self) -> bool {
        self.parts.is_authority
    }

    /// Whether subject and issuer are one and the key made the signature on it.
    pub fn is_self_signed(&self) -> bool {
        self.parts.subject == self.parts.issuer && self.signature_verifies().unwrap_or(false)
    }

    /// The SHA-256 of its DER.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// Whether `time` is within its validity.
    pub fn is_valid_at(&self, time: SystemTime) -> bool {
        self.parts.validity.contains(time)
    }

    /// Checks that `signer`'s key is the one this certificate is for, and that it is for signing code: where there
    /// is a key usage it has `digitalSignature`, where there is an extended one it has `codeSigning` or any. (The
    /// kernel looks at neither for these signatures; but a certificate that says something else was made for
    /// something else.)
    ///
    /// # Errors
    /// It is another key's, or not for that.
    pub fn check_signer(&self, signer: &dyn Signer) -> Result<(), KeyError> {
        if signer.public_key() != self.public_key() {
            return Err(KeyError::Mismatch {
                subject: self.parts.subject.clone(),
                certificate_kind: self.public_key().kind(),
                key_kind: signer.public_key().kind(),
            });
        }
        self.check_usage()
    }

    /// Checks that it is for signing code, as [`check_signer`](Self::check_signer) does.
    ///
    /// # Errors
    /// It is for something else.
    pub fn check_usage(&self) -> Result<(), KeyError> {
        let usage = |problem| Err(KeyError::Usage { subject: self.parts.subject.clone(), problem });
        if self.parts.key_usage.as_ref().is_some_and(|usage| !usage.digital_signature()) {
            return usage("its key usage does not have digitalSignature");
        }
        let for_code = |oid: &_| [oid::CODE_SIGNING, oid::ANY_EXTENDED_KEY_USAGE].contains(oid);
        if self.parts.extended_key_usage.as_ref().is_some_and(|usage| !usage.0.iter().any(for_code)) {
            return usage("its extended key usage does not have codeSigning");
        }
        Ok(())
    }

    /// Checks that it names what it is for, where it is an authority's: without a word on that, such a certificate is
    /// for signing others. Besides what [`check_usage`](Self::check_usage) checks.
    ///
    /// # Errors
    /// It is for something else, or does not say.
    pub fn check_purpose(&self) -> Result<(), KeyError> {
        self.check_usage()?;
        let names_it = self.parts.key_usage.is_some() || self.parts.extended_key_usage.is_some();
        if self.parts.is_authority && !names_it {
            let problem = "it is an authority's, and names neither digitalSignature nor codeSigning";
            return Err(KeyError::Usage { subject: self.parts.subject.clone(), problem });
        }
        Ok(())
    }

    /// Checks that the kernel takes it into a keyring. Statements are nothing for the kernel; for root hashes and
    /// policies a certificate that it does not take is of no use.
    ///
    /// # Errors
    /// Why it does not, and what it answers.
    pub fn check_kernel(&self) -> Result<(), KeyError> {
        match loadable::problem(&self.der, self.signature_verifies()) {
            None => Ok(()),
            Some(problem) => Err(KeyError::Kernel { subject: self.parts.subject.clone(), problem }),
        }
    }

    /// What `keyUsage` names, as RFC 5280 does; nothing where there is no such extension, which allows everything.
    pub fn key_usages(&self) -> Vec<&'static str> {
        let Some(usage) = &self.parts.key_usage else { return Vec::new() };
        let named = [
            (usage.digital_signature(), "digitalSignature"),
            (usage.non_repudiation(), "nonRepudiation"),
            (usage.key_encipherment(), "keyEncipherment"),
            (usage.data_encipherment(), "dataEncipherment"),
            (usage.key_agreement(), "keyAgreement"),
            (usage.key_cert_sign(), "keyCertSign"),
            (usage.crl_sign(), "cRLSign"),
            (usage.encipher_only(), "encipherOnly"),
            (usage.decipher_only(), "decipherOnly"),
        ];
        named.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
    }

    /// What `extendedKeyUsage` names, by name or number; nothing where there is no such extension, which allows
    /// everything.
    pub fn extended_key_usages(&self) -> Vec<String> {
        let Some(usage) = &self.parts.extended_key_usage else { return Vec::new() };
        usage.0.iter().map(oid::usage_name).collect()
    }

    /// The DER of the issuer's name and of the serial number.
    pub(crate) fn issuer_and_serial_der(&self) -> (&[u8], &[u8]) {
        (&self.parts.issuer_der, &self.parts.serial_der)
    }

    /// Whether `issuer` has issued it: it says so, and the issuer's key signed it; `None` where that cannot be told here.
    pub fn is_issued_by(&self, issuer: &Self) -> Option<bool> {
        match issuer.is_authority() && self.issuer() == issuer.subject() {
            true => self.is_signed_with(issuer.public_key()),
            false => Some(false),
        }
    }

    /// Whether its own key signed it; `None` where that cannot be told here.
    fn signature_verifies(&self) -> Option<bool> {
        self.is_signed_with(self.public_key())
    }

    fn is_signed_with(&self, key: &PublicKey) -> Option<bool> {
        let outer = AnyRef::from_der(&self.der).ok()?;
        let mut reader = SliceReader::new(outer.value()).ok()?;
        let signed = reader.tlv_bytes().ok()?;
        let algorithm = AlgorithmIdentifierOwned::decode(&mut reader).ok()?;
        let signature = BitStringRef::decode(&mut reader).ok()?;
        loadable::is_signed_by(key, &algorithm.oid, signed, &signature)
    }
}

impl Parts {
    fn of_der(der: &[u8]) -> Result<Self, KeyError> {
        let malformed = |error| KeyError::malformed(WHAT, error);
        let (serial_der, issuer_der) = names(der).map_err(malformed)?;
        let certificate = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        let certificate = certificate.tbs_certificate();
        let key_id = certificate.get_extension::<SubjectKeyIdentifier>().map_err(malformed)?;
        let authority = certificate.get_extension::<BasicConstraints>().map_err(malformed)?;
        let validity = certificate.validity();
        Ok(Self {
            issuer_der,
            serial_der,
            subject: printable(certificate.subject()),
            issuer: printable(certificate.issuer()),
            serial: certificate.serial_number().as_bytes().to_vec(),
            public_key: PublicKey::of_info(certificate.subject_public_key_info())?,
            subject_key_id: key_id.map(|(_, id)| SubjectKeyId(id.0.as_bytes().to_vec())),
            validity: Validity::read(
                validity.not_before.to_system_time(),
                validity.not_after.to_system_time(),
            ),
            key_usage: certificate.get_extension().map_err(malformed)?.map(|(_, usage)| usage),
            extended_key_usage: certificate.get_extension().map_err(malformed)?.map(|(_, usage)| usage),
            is_authority: authority.is_some_and(|(_, constraints)| constraints.ca),
        })
    }
}

/// The DER of the serial number and of the issuer's name as they stand: the kernel compares these bytes.
fn names(der: &[u8]) -> der::Result<(Vec<u8>, Vec<u8>)> {
    let outer = AnyRef::from_der(der)?;
    outer.tag().assert_eq(Tag::Sequence)?;
    let mut outer = SliceReader::new(outer.value())?;
    let inner = AnyRef::decode(&mut outer)?;
    inner.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(inner.value())?;
    let version = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
    if Tag::peek(&reader)? == version {
        reader.tlv_bytes()?;
    }
    let serial = reader.tlv_bytes()?.to_vec();
    let _algorithm = reader.tlv_bytes()?;
    Ok((serial, reader.tlv_bytes()?.to_vec()))
}

/// The name that `der` is, as far as it is one.
pub(crate) fn printable_name(der: &[u8]) -> String {
    x509_cert::name::Name::from_der(der)
        .map_or_else(|_| "a name that is damaged".to_owned(), |name| printable(&name))
}

fn printable(name: &x509_cert::name::Name) -> String {
    let mut text = String::new();
    for character in name.to_string().chars() {
        if character.is_control() || is_invisible(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// Whether a character makes a name look like another: marks of direction, joiners, and what has no width.
const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' |
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{KeyKind, generate};
    use super::*;

    #[test]
    fn a_name_cannot_pretend_to_be_another() {
        let validity = Validity::starting(SystemTime::now(), Duration::from_secs(3600)).unwrap();
        for (name, shown) in [
            ("example\u{202e}gpj", "CN=example\\u{202e}gpj"),
            ("ex\u{200b}ample", "CN=ex\\u{200b}ample"),
            ("Beispiel \u{e4}\u{6f22}", "CN=Beispiel \u{e4}\u{6f22}"),
        ] {
            let made = generate(KeyKind::P256, &name.parse().unwrap(), &validity).unwrap();
            let certificate = Certificate::parse(made.certificate_pem.as_bytes()).unwrap();
            assert_eq!(certificate.subject(), shown);
            assert!(!format!("{made:?}").contains("PRIVATE"));
        }
    }
}
