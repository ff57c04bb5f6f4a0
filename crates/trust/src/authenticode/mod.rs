//! Signatures of programs that firmware starts: Authenticode, "Windows Authenticode Portable Executable Signature
//! Format" (Microsoft, 2008), as the UEFI specification takes it (section 32.5).
//!
//! A PKCS#7 whose content names the hash of the image, and whose signer signs attributes with the hash of that content.
//! Which bytes of a file are hashed, `sealpack_format::pe` knows; here they come as parts, in their order. What is
//! written has two attributes and no time, so that nothing in it but an ECDSA signature is random. What others wrote
//! may have more: times, counter-signatures, whole chains.
//!
//! The hash function is that of the key: SHA-256, and SHA-384 with P-384. EDK2 hashes the image with the one that the
//! PKCS#7 names first (`HashPeImageByType`); shim and sbverify know SHA-256 only.

mod error;
mod message;
mod sign;
#[cfg(test)]
mod tests;

pub use error::ImageSignatureError;
pub use message::ImageSignature;
pub use sign::sign_image;

use der::asn1::ObjectIdentifier;

/// `SPC_INDIRECT_DATA_OBJID`: the type of the content.
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
/// `SPC_PE_IMAGE_DATA_OBJID`: of what it is the hash.
const PE_IMAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
/// `id-contentType` (RFC 5652, section 11.1).
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// `id-messageDigest` (RFC 5652, section 11.2).
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
