//! Files with private keys and certificates, keys in tokens, and programs that sign.

mod command;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealpack_trust::key::token::TokenUri;
#[cfg(feature = "pkcs11")]
use sealpack_trust::key::token::{PinSource, TokenKey};
use sealpack_trust::key::{Certificate, FileKey, KeyError, PublicKey, Signer};
use sealpack_trust::pkcs7::{self, SigningError};
use sealpack_trust::seal::SigningPair;
use zeroize::Zeroizing;

use crate::remark::{Remark, Remarks};

pub use command::CommandKey;

/// A PIN, which is wiped when it is not needed any more.
pub type Pin = Zeroizing<String>;

/// Where a private key is.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// In a file, PEM or DER, not encrypted.
    File(PathBuf),
    /// In a PKCS#11 token.
    Token {
        /// Which key of which token (RFC 7512).
        uri: Box<TokenUri>,
        /// The PIN, where the URI names no file that has it.
        pin: Option<Pin>,
    },
    /// In the keeping of a program, which signs with it.
    Program {
        /// The program; without a slash it is looked for in `PATH`.
        program: PathBuf,
        /// The file with the certificate, or else the public key, that its signatures are held against.
        public: PathBuf,
    },
}

/// Whom signatures are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignsFor {
    /// The kernel, which then has to be able to read the certificate: root hashes and policies.
    Kernel,
    /// Only those who pull: statements.
    Pulls,
    /// Firmware, which knows no trust store: programs that it starts.
    Firmware,
}

/// A private key and the certificate that it belongs to.
pub struct SigningKey {
    /// What signs.
    pub signer: Box<dyn Signer>,
    /// Its certificate.
    pub certificate: Certificate,
}

/// Why a key or a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// Key and certificate are not of one pair, or cannot sign what is to be signed.
    #[error("{key} and {}: {source}", certificate.display())]
    Pair {
        /// The key, without what a URI says of a PIN.
        key: String,
        /// The certificate's file.
        certificate: PathBuf,
        /// What is wrong with the two.
        source: KeyError,
    },
    /// A file that should have a PIN in its first line has none.
    #[error("{}: there is no PIN in it", path.display())]
    NoPin {
        /// The file.
        path: PathBuf,
    },
    /// The token does not give the key.
    #[cfg(feature = "pkcs11")]
    #[error("{uri}: {source}")]
    Token {
        /// The key, without what the URI says of a PIN.
        uri: Box<TokenUri>,
        /// What the token says.
        source: sealpack_trust::key::token::TokenError,
    },
    /// The program was built without what speaks to tokens.
    #[error("{uri}: this build of Sealpack does not use tokens")]
    NoTokens {
        /// The key, without what the URI says of a PIN.
        uri: Box<TokenUri>,
    },
}

impl KeySource {
    /// Loads the key, opens its token, or has its program sign.
    pub fn signer(&self, remarks: Remarks<'_>) -> Result<Box<dyn Signer>, KeyFileError> {
        match self {
            Self::File(path) => Ok(Box::new(read_key(path, remarks)?)),
            Self::Token { uri, pin } => token_key(uri, pin.as_ref()),
            Self::Program { program, public } => {
                Ok(Box::new(CommandKey::new(program, read_public_key(public)?)))
            }
        }
    }

    /// Loads the key and its certificate, which must be of one pair and good for whom the signatures are for.
    pub fn with_certificate(
        &self,
        path: &Path,
        signs_for: SignsFor,
        remarks: Remarks<'_>,
    ) -> Result<SigningKey, KeyFileError> {
        let certificate = read_certificate(path)?;
        let signer = self.signer(remarks)?;
        certificate.check_signer(&*signer).map_err(|source| KeyFileError::Pair {
            key: self.name(),
            certificate: path.to_owned(),
            source,
        })?;
        if signs_for == SignsFor::Kernel {
            check_kernel(&certificate, path)?;
        }
        if signs_for != SignsFor::Firmware
            && let Err(problem) = certificate.check_purpose()
        {
            remarks(Remark::NoPurpose { path: path.to_owned(), problem });
        }
        if !certificate.is_valid_at(SystemTime::now()) {
            remarks(Remark::NotValidNow { path: path.to_owned() });
        }
        Ok(SigningKey { signer, certificate })
    }

    /// What messages call it: never with what a URI says of a PIN.
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Token { uri, .. } => uri.to_string(),
            Self::Program { program, .. } => program.display().to_string(),
        }
    }
}

impl SigningKey {
    /// As what sealing takes.
    #[must_use]
    pub fn pair(&self) -> SigningPair<'_> {
        SigningPair { signer: &*self.signer, certificate: &self.certificate }
    }

    /// A detached signature, for a root hash: PKCS#7 in DER.
    pub fn sign_detached(&self, content: &[u8]) -> Result<Vec<u8>, SigningError> {
        pkcs7::sign_detached(&*self.signer, &self.certificate, content)
    }

    /// A signature with the content inside, for a policy: PKCS#7 in DER.
    pub fn sign_embedded(&self, content: &[u8]) -> Result<Vec<u8>, SigningError> {
        pkcs7::sign_embedded(&*self.signer, &self.certificate, content)
    }
}

/// The certificates in a file: PEM, or DER with one.
pub fn read_certificates(path: &Path) -> Result<Vec<Certificate>, KeyFileError> {
    Certificate::parse_all(&read(path)?).map_err(|source| content(path, source))
}

/// The certificate in a file, PEM or DER.
pub fn read_certificate(path: &Path) -> Result<Certificate, KeyFileError> {
    Certificate::parse(&read(path)?).map_err(|source| content(path, source))
}

/// The public key in a file, PEM or DER, or that of the certificate in it.
fn read_public_key(path: &Path) -> Result<PublicKey, KeyFileError> {
    let bytes = read(path)?;
    match Certificate::parse(&bytes) {
        Ok(certificate) => Ok(certificate.public_key().clone()),
        Err(_) => PublicKey::parse(&bytes).map_err(|source| content(path, source)),
    }
}

/// A public key in a file, PEM or DER.
///
/// # Errors
/// If the file cannot be read, or is something else.
pub fn read_bare_public_key(path: &Path) -> Result<PublicKey, KeyFileError> {
    PublicKey::parse(&read(path)?).map_err(|source| content(path, source))
}

/// That the kernel takes the certificate of that file.
pub fn check_kernel(certificate: &Certificate, path: &Path) -> Result<(), KeyFileError> {
    certificate.check_kernel().map_err(|source| content(path, source))
}

fn read_key(path: &Path, remarks: Remarks<'_>) -> Result<FileKey, KeyFileError> {
    let key = FileKey::parse(&read(path)?).map_err(|source| content(path, source))?;
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        remarks(Remark::KeyIsShared { path: path.to_owned(), mode: mode & 0o7777 });
    }
    Ok(key)
}

#[cfg(feature = "pkcs11")]
fn token_key(uri: &TokenUri, pin: Option<&Pin>) -> Result<Box<dyn Signer>, KeyFileError> {
    let in_file = match uri.pin_source() {
        Some(PinSource::File(path)) => Some(first_line(path)?),
        None => None,
    };
    let pin = in_file.as_ref().or(pin);
    let key = TokenKey::open(uri, pin.map(|pin| pin.as_str()));
    Ok(Box::new(key.map_err(|source| KeyFileError::Token { uri: Box::new(uri.clone()), source })?))
}

#[cfg(feature = "pkcs11")]
fn first_line(path: &Path) -> Result<Pin, KeyFileError> {
    let bytes = read(path)?;
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let text = std::str::from_utf8(line).ok().filter(|line| !line.is_empty());
    let text = text.ok_or_else(|| KeyFileError::NoPin { path: path.to_owned() })?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(not(feature = "pkcs11"))]
fn token_key(uri: &TokenUri, _pin: Option<&Pin>) -> Result<Box<dyn Signer>, KeyFileError> {
    Err(KeyFileError::NoTokens { uri: Box::new(uri.clone()) })
}

fn content(path: &Path, source: KeyError) -> KeyFileError {
    KeyFileError::Content { path: path.to_owned(), source }
}

/// One byte more than the parsers take, so that they can say that it is too much.
const READ_MAX_BYTES: u64 = 1024 * 1024 + 1;

/// The bytes of a file that may hold a private key, wiped when they are not needed any more; of a larger file than any
/// key, certificate or signature one byte more than the parsers take.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    // Sized at once: growing would leave copies of a private key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    file.take(READ_MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
