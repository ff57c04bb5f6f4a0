//! Signatures as the kernel takes them: PKCS#7 (RFC 2315; CMS, RFC 5652) by one signer, without attributes.
//!
//! - *Detached*, for the root hashes of dm-verity devices: what OpenSSL makes with
//!   `smime -sign -binary -noattr -nocerts -outform der`, byte for byte where the key is RSA. The signed content is
//!   given beside it (`drivers/md/dm-verity-verify-sig.c`).
//! - *Embedded*, for IPE policies: the same with `-nodetach -nosmimecap`; the content is inside
//!   (`security/ipe/policy.c`).
//!
//! What is read is held to what is written, so that no two readers disagree on what it says: DER throughout, one
//! signer, nothing behind the end, and one hash function in all places. Signed attributes are refused although the
//! kernel takes them: a signature over attributes is, seen without them, a signature over their bytes as content, so
//! whoever takes both forms takes contents that nobody meant to sign (RFC 5652 leaves that open; attributes would add
//! nothing but a time that the signer claims). Certificates inside are never believed: the signer has to be among
//! those that the caller trusts. A detached signature has none; in an embedded one, as OpenSSL makes without
//! `-nocerts`, they are passed over.

mod error;
pub(crate) mod fields;
mod message;
mod sign;
mod verify;

pub use error::{FormatError, SigningError, VerifyError};
pub use message::{Form, Message, SignerId};
pub(crate) use sign::{IssuerAndSerial, set_of_one, signature_identifier};
pub use sign::{sign_detached, sign_embedded};
pub(crate) use verify::check_signature;
pub use verify::{Verified, content_of, verify_detached, verify_embedded};

use der::asn1::ObjectIdentifier;

use crate::key::{KeyError, der_of_file};

/// The DER of a file with one signature: DER, or PEM as OpenSSL writes it with `-outform pem`. What it is worth is not
/// looked at.
///
/// # Errors
/// Several of them, or something else.
pub fn read_file(bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
    der_of_file(bytes, &["PKCS7", "CMS"], "a PKCS#7 signature")
}

/// `id-signedData` (RFC 5652, section 5.1).
pub(crate) const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `id-data` (RFC 5652, section 4), the only type of content that the kernel takes here.
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
