//! Keys and certificates: what signs root hashes and policies, and what the kernel knows the signers by.
//!
//! Kinds of keys: RSA of 2048, 3072 and 4096 bits, ECDSA on P-256 and P-384; the kernel's X.509 and PKCS#7 parsers
//! (`crypto/asymmetric_keys/`) take all of them. Whether they take a certificate too,
//! [`Certificate::check_kernel`] says. Bytes come in as PEM or DER, as OpenSSL writes them.
//!
//! ```
//! use sealpack_trust::key::{self, Certificate, FileKey, KeyKind, Signer};
//! use std::time::{Duration, SystemTime};
//!
//! let subject = "Example".parse().expect("a name that fits");
//! let validity = key::Validity::starting(SystemTime::now(), Duration::from_secs(86_400)).expect("a day");
//! let made = key::generate(KeyKind::P256, &subject, &validity).expect("a key");
//! let certificate = Certificate::parse(made.certificate_pem.as_bytes()).expect("a certificate");
//! let key = FileKey::parse(made.key_pem.as_bytes()).expect("a key");
//! certificate.check_signer(&key).expect("they belong together");
//! ```

mod certificate;
mod error;
mod file;
mod found;
mod generate;
mod loadable;
mod oid;
mod pem;
mod public;
mod signer;
pub mod token;

pub use certificate::{Certificate, Fingerprint, FingerprintError, SubjectKeyId};
pub use error::KeyError;
pub use file::FileKey;
pub use generate::{
    CommonName, CommonNameError, Generated, KeyKind, KeyKindError, Validity, ValidityError, generate,
    self_signed_certificate,
};
pub use public::{DigestAlgorithm, PublicKey, PublicKeyKind, SignatureAlgorithm};
pub use signer::{SignError, Signer};

pub(crate) use certificate::{hex, printable_name};
pub(crate) use oid::name as oid_name;
pub(crate) use oid::{
    ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512, RSA_ENCRYPTION, SHA256_WITH_RSA,
    SHA384_WITH_RSA, SHA512_WITH_RSA,
};
pub(crate) use pem::der_of_file;
