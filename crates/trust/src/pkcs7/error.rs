use crate::key::{KeyError, PublicKeyKind, SignError};

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// Key and certificate cannot be used together, or not for this.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// What the key made is not its signature.
    #[error("the private key made a signature that its certificate \"{subject}\" does not verify")]
    Wrong {
        /// The certificate's.
        subject: String,
    },
    /// The content is larger than DER can say.
    #[error("cannot encode the signature: {problem}")]
    Encode {
        /// What the encoder says.
        problem: String,
    },
}

/// Why bytes are not a signature of the form that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Text around it.
    #[error("this is text (PEM or S/MIME), not DER; make signatures with -outform der")]
    Text,
    /// BER where the kernel and others could disagree on what it says.
    #[error("the PKCS#7 has an element of indefinite length: BER, not DER (OpenSSL makes that with -stream)")]
    Indefinite,
    /// The structure is broken.
    #[error("the PKCS#7 is damaged in {place}: {problem}")]
    Malformed {
        /// The element of RFC 5652, section 5.
        place: &'static str,
        /// What the decoder says.
        problem: String,
    },
    /// Something stands behind it.
    #[error("{size_bytes} bytes follow the end of {place} in the PKCS#7")]
    Trailing {
        /// The element that ended.
        place: &'static str,
        /// How much stands there.
        size_bytes: usize,
    },
    /// A PKCS#7 of another kind.
    #[error("the PKCS#7 is of type {found}, not signed data")]
    NotSignedData {
        /// The type, an object identifier.
        found: String,
    },
    /// Something else than bytes was signed.
    #[error("the PKCS#7 signs a content of type {found}; the kernel takes plain data only")]
    ContentType {
        /// The type, an object identifier.
        found: String,
    },
    /// A version that there is not, or one that does not fit to how the signer is named.
    #[error("the version of {place} in the PKCS#7 is {found}, which does not fit with what it says")]
    Version {
        /// The element that has it.
        place: &'static str,
        /// The version.
        found: u8,
    },
    /// No signature inside.
    #[error("the PKCS#7 has no signer")]
    NoSigner,
    /// Several signatures inside.
    #[error(
        "the PKCS#7 has several signers; each has to sign in a blob of its own, because the kernel refuses all of one when it refuses one"
    )]
    SeveralSigners,
    /// Attributes.
    #[error("the signature has {which} attributes, where none may be (sign with -noattr)")]
    Attributes {
        /// `signed` or `unsigned`.
        which: &'static str,
    },
    /// Certificates in a detached signature.
    #[error("the signature carries certificates, where none may be (sign with -nocerts)")]
    Certificates,
    /// Revocation lists.
    #[error("the PKCS#7 carries revocation lists, where none may be")]
    RevocationLists,
    /// A hash function that the kernel or Sealpack does not take.
    #[error("the signature is over {found}; SHA-256, SHA-384 and SHA-512 are taken")]
    Digest {
        /// The hash function.
        found: String,
    },
    /// Different hash functions in different places.
    #[error("the signature names {signer} as its hash function, where the PKCS#7 names {other}")]
    DigestsDiffer {
        /// In the signer's part.
        signer: String,
        /// Elsewhere.
        other: String,
    },
    /// A kind of signature that the kernel does not take.
    #[error(
        "the signature is of the kind {found}; the kernel takes rsaEncryption (PKCS#1 v1.5) and ecdsa-with-SHA256, -SHA384 or -SHA512"
    )]
    Algorithm {
        /// The kind.
        found: String,
    },
    /// A detached signature where an embedded one is wanted.
    #[error("the PKCS#7 has no content: the signature is detached (sign with -nodetach)")]
    NoContent,
    /// An embedded signature where a detached one is wanted.
    #[error("the PKCS#7 contains the content: the signature is not detached (sign without -nodetach)")]
    Content,
}

/// Why a signature was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is not of the wanted form.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Nobody who is trusted.
    #[error("the signature is by {signer}, which is none of the {} given", certificates(*.trusted))]
    UnknownSigner {
        /// How the signature names its signer.
        signer: String,
        /// How many certificates were given.
        trusted: usize,
    },
    /// The signer's key is of another kind.
    #[error("the signature is of the kind {found}, but the key of \"{subject}\" is {kind}")]
    OtherKind {
        /// What it is.
        found: &'static str,
        /// The certificate's.
        subject: String,
        /// The certificate's key.
        kind: PublicKeyKind,
    },
    /// The signature does not match.
    #[error(
        "the signature is not one of \"{subject}\" over this content: one of the two was changed, or is another's"
    )]
    Signature {
        /// The certificate's.
        subject: String,
    },
}

fn certificates(number: usize) -> String {
    format!("{number} certificate{}", if number == 1 { "" } else { "s" })
}
