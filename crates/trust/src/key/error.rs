use super::PublicKeyKind;

/// What is wrong with a key or a certificate, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// More bytes than any key or certificate has.
    #[error("{size_bytes} bytes are too many for a key or a certificate (the limit is {limit_bytes})")]
    TooLarge {
        /// What was given.
        size_bytes: usize,
        /// What is read at most.
        limit_bytes: usize,
    },
    /// Between the lines of a PEM block is something else than a PEM block.
    #[error("line {line}: {problem}")]
    Pem {
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The bytes are not DER, or not of the structure that they should have.
    #[error("the {what} is damaged or is none: {problem}")]
    Malformed {
        /// Such as `certificate`.
        what: &'static str,
        /// What the decoder says, with the position in the DER.
        problem: String,
    },
    /// The private key needs a passphrase.
    #[error(
        "the private key is encrypted; decrypt it into a file that only you can read \
         (`openssl pkey -in FILE -out PLAIN`), or keep it in a PKCS#11 token"
    )]
    Encrypted,
    /// A container that has to be taken apart first.
    #[error(
        "this is a PKCS#12 container; take it apart with `openssl pkcs12 -in FILE -nodes -nocerts` (key) \
         and `openssl pkcs12 -in FILE -nokeys -clcerts` (certificate)"
    )]
    Pkcs12,
    /// It is in a form that has to be changed first.
    #[error("this is {found}; {how}")]
    Form {
        /// What it is.
        found: &'static str,
        /// How to make of it what is asked for.
        how: &'static str,
    },
    /// Something else than what was asked for.
    #[error("this is {found}, not {wanted}")]
    Other {
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// More than one where one is meant.
    #[error("the file has {count} {what}; give one with only that which is meant")]
    Several {
        /// How many there are.
        count: usize,
        /// Such as `certificates`.
        what: &'static str,
    },
    /// A kind of key that the kernel or Sealpack has no use for.
    #[error(
        "{algorithm} keys are not supported; use RSA (2048, 3072 or 4096 bits), or ECDSA on P-256 or P-384"
    )]
    Unsupported {
        /// The algorithm or curve.
        algorithm: String,
    },
    /// An RSA key that is too weak, or not of a size that the kernel takes.
    #[error(
        "the RSA key has {bits} bits; the kernel takes 2048, 3072 and 4096, and weaker ones are not supported"
    )]
    RsaSize {
        /// Of the modulus.
        bits: usize,
    },
    /// The numbers of a key do not fit together.
    #[error("the {what} is not valid: {problem}")]
    Invalid {
        /// `private key` or `public key`.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The certificate is another key's.
    #[error(
        "the key and the certificate do not belong together: the certificate \"{subject}\" is for another \
         key ({certificate_kind}, the given one is {key_kind})"
    )]
    Mismatch {
        /// The certificate's.
        subject: String,
        /// The key that the certificate is for.
        certificate_kind: PublicKeyKind,
        /// The key that was given.
        key_kind: PublicKeyKind,
    },
    /// The kernel answers an error when it is to take the certificate into a keyring.
    #[error("the kernel does not take the certificate \"{subject}\": {problem}")]
    Kernel {
        /// The certificate's.
        subject: String,
        /// Why, and the error.
        problem: String,
    },
    /// The certificate says that its key is not for signing code.
    #[error("the certificate \"{subject}\" is not for signing code: {problem}")]
    Usage {
        /// The certificate's.
        subject: String,
        /// What its extensions lack.
        problem: &'static str,
    },
}

impl KeyError {
    pub(super) fn malformed(what: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Malformed { what, problem: error.to_string() }
    }
}
