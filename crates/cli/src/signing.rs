//! The key and certificate that commands sign with.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealpack_trust::key::token::TokenUri;
#[cfg(feature = "pkcs11")]
use sealpack_trust::key::token::{PinSource, TokenKey};
use sealpack_trust::key::{Certificate, FileKey, KeyError, Signer};
use sealpack_trust::pkcs7::{self, SigningError};
use sealpack_trust::seal::SigningPair;
use zeroize::Zeroizing;

use crate::error::CommandError;
use crate::output::Output;

/// What signs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct SigningArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Its certificate: PEM or DER.
    #[arg(long, value_name = "FILE", env = "SEALPACK_CERT")]
    cert: PathBuf,
}

/// The private key.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// The private key: a file, PEM or DER, not encrypted; or, where Sealpack was built for that, the PKCS#11 URI of a
    /// key in a token (pkcs11:token=…;object=…), whose PIN is in the file of its pin-source or in $SEALPACK_PIN.
    #[arg(long, value_name = "FILE|URI", env = "SEALPACK_KEY")]
    key: PathBuf,
}

/// A private key and the certificate that it belongs to.
pub(crate) struct SigningKey {
    pub(crate) signer: Box<dyn Signer>,
    pub(crate) certificate: Certificate,
}

/// What signs the statement of a seal, where that is another key.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct StatementSigningArgs {
    /// The private key that signs the statement, where it is not the one that signs the root hashes: a file or a
    /// PKCS#11 URI.
    #[arg(long, value_name = "FILE|URI", env = "SEALPACK_STATEMENT_KEY", requires = "statement_cert")]
    statement_key: Option<PathBuf>,
    /// Its certificate: PEM or DER.
    #[arg(long, value_name = "FILE", env = "SEALPACK_STATEMENT_CERT", requires = "statement_key")]
    statement_cert: Option<PathBuf>,
}

/// The key and certificate of a verb that has other verbs below it, which need none.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct SealSigningArgs {
    /// The private key that signs the root hashes: a file, PEM or DER, not encrypted; or, where Sealpack was built for
    /// that, the PKCS#11 URI of a key in a token (pkcs11:token=…;object=…), whose PIN is in the file of its pin-source
    /// or in $SEALPACK_PIN.
    #[arg(long, value_name = "FILE|URI", env = "SEALPACK_KEY", required = true)]
    key: Option<PathBuf>,
    /// Its certificate: PEM or DER.
    #[arg(long, value_name = "FILE", env = "SEALPACK_CERT", required = true)]
    cert: Option<PathBuf>,
}

impl SealSigningArgs {
    /// As [`SigningArgs::signer`].
    pub(crate) fn signer(&self, output: Output) -> Result<SigningKey, CommandError> {
        let (Some(key), Some(cert)) = (&self.key, &self.cert) else {
            return Err(CommandError::usage("sealing needs --key and --cert"));
        };
        load(&KeyArgs { key: key.clone() }, cert, output, ForKernel::Yes)
    }
}

impl SigningArgs {
    /// Loads both and checks that they belong together, are for signing code, and can be known to the kernel.
    pub(crate) fn signer(&self, output: Output) -> Result<SigningKey, CommandError> {
        load(&self.key, &self.cert, output, ForKernel::Yes)
    }
}

impl StatementSigningArgs {
    /// As [`SigningArgs::signer`], but for the kernel, which knows nothing of statements; nothing where no key is given.
    pub(crate) fn signer(&self, output: Output) -> Result<Option<SigningKey>, CommandError> {
        let (Some(key), Some(certificate)) = (&self.statement_key, &self.statement_cert) else {
            return Ok(None);
        };
        load(&KeyArgs { key: key.clone() }, certificate, output, ForKernel::No).map(Some)
    }
}

/// Whether signatures are for the kernel, which then has to take the certificate.
#[derive(Clone, Copy)]
enum ForKernel {
    Yes,
    No,
}

fn load(key: &KeyArgs, cert: &Path, output: Output, kernel: ForKernel) -> Result<SigningKey, CommandError> {
    let certificate = read_certificate(cert)?;
    let signer = key.signer(output)?;
    certificate.check_signer(&*signer).map_err(|error| {
        CommandError::failed(format_args!("{} and {}: {error}", key.name(), cert.display()))
    })?;
    if matches!(kernel, ForKernel::Yes) {
        check_kernel(&certificate, cert)?;
    }
    if let Err(error) = certificate.check_purpose() {
        output.remark(&format!("warning: {}: {error}; `sealpack trust add` refuses it", cert.display()));
    }
    if !certificate.is_valid_at(SystemTime::now()) {
        output.remark(&format!(
            "warning: the certificate {} is not valid at this time; the kernel does not look at that, others may",
            cert.display()
        ));
    }
    Ok(SigningKey { signer, certificate })
}

impl KeyArgs {
    /// Loads it.
    pub(crate) fn signer(&self, output: Output) -> Result<Box<dyn Signer>, CommandError> {
        match self.key.to_str().filter(|text| TokenUri::is_one(text)) {
            None => Ok(Box::new(read_key(&self.key, output)?)),
            Some(uri) => {
                let uri: TokenUri = uri.parse().map_err(|error| {
                    CommandError::usage(format_args!("cannot use the PKCS#11 URI: {error}"))
                })?;
                token_key(&uri)
            }
        }
    }

    /// What messages call it: never with what a URI says of a PIN.
    fn name(&self) -> String {
        let uri = self.key.to_str().and_then(|text| text.parse::<TokenUri>().ok());
        uri.map_or_else(|| self.key.display().to_string(), |uri| uri.to_string())
    }
}

impl SigningKey {
    /// As what sealing takes.
    pub(crate) fn pair(&self) -> SigningPair<'_> {
        SigningPair { signer: &*self.signer, certificate: &self.certificate }
    }

    /// A detached signature, for a root hash.
    pub(crate) fn sign_detached(&self, content: &[u8]) -> Result<Vec<u8>, SigningError> {
        pkcs7::sign_detached(&*self.signer, &self.certificate, content)
    }

    /// A signature with the content inside, for a policy.
    pub(crate) fn sign_embedded(&self, content: &[u8]) -> Result<Vec<u8>, SigningError> {
        pkcs7::sign_embedded(&*self.signer, &self.certificate, content)
    }
}

/// The certificate in a file.
pub(crate) fn read_certificate(path: &Path) -> Result<Certificate, CommandError> {
    Certificate::parse(&read(path)?).map_err(|error| named(path, &error))
}

/// That the kernel takes the certificate in a file.
pub(crate) fn check_kernel(certificate: &Certificate, path: &Path) -> Result<(), CommandError> {
    certificate.check_kernel().map_err(|error| {
        named(path, &error).hint("without the kernel it will do for statements only (docs/keys.md)")
    })
}

fn read_key(path: &Path, output: Output) -> Result<FileKey, CommandError> {
    let key = FileKey::parse(&read(path)?).map_err(|error| named(path, &error))?;
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        output.remark(&format!(
            "warning: others than its owner may use the private key {} (mode {:04o}); `chmod 600` stops that",
            path.display(),
            mode & 0o7777
        ));
    }
    Ok(key)
}

#[cfg(feature = "pkcs11")]
fn token_key(uri: &TokenUri) -> Result<Box<dyn Signer>, CommandError> {
    let pin = match uri.pin_source() {
        Some(PinSource::File(path)) => Some(first_line(path)?),
        None => std::env::var("SEALPACK_PIN").ok().map(Zeroizing::new),
    };
    let key = TokenKey::open(uri, pin.as_ref().map(|pin| pin.as_str()));
    let key = key.map_err(|error| CommandError::failed(format_args!("{uri}: {error}")))?;
    Ok(Box::new(key))
}

#[cfg(feature = "pkcs11")]
fn first_line(path: &Path) -> Result<Zeroizing<String>, CommandError> {
    let bytes = read(path)?;
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let text = std::str::from_utf8(line).ok().filter(|line| !line.is_empty());
    let text =
        text.ok_or_else(|| CommandError::failed(format_args!("{}: there is no PIN in it", path.display())))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(not(feature = "pkcs11"))]
fn token_key(uri: &TokenUri) -> Result<Box<dyn Signer>, CommandError> {
    Err(CommandError::failed(format_args!("{uri}: this build of Sealpack does not use tokens"))
        .hint("build it with `cargo build --package sealpack --features pkcs11`"))
}

fn named(path: &Path, error: &KeyError) -> CommandError {
    CommandError::failed(format_args!("{}: {error}", path.display()))
}

/// One byte more than the parsers take, so that they can say that it is too much.
const READ_MAX: u64 = 1024 * 1024 + 1;

/// The bytes of a file that may hold a private key.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let failed =
        |error: std::io::Error| CommandError::failed(format_args!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    // Sized at once: growing would leave copies of a private key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    file.take(READ_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl From<SigningError> for CommandError {
    fn from(error: SigningError) -> Self {
        Self::failed(error)
    }
}
