//! The key and certificate that commands sign with.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealpack_trust::key::{Certificate, FileKey, KeyError, Signer};
use sealpack_trust::pkcs7::{self, SigningError};
use zeroize::Zeroizing;

use crate::error::CommandError;
use crate::output::Output;

/// What signs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct SigningArgs {
    /// The private key: PEM or DER, not encrypted.
    #[arg(long, value_name = "FILE", env = "SEALPACK_KEY")]
    key: PathBuf,
    /// Its certificate: PEM or DER.
    #[arg(long, value_name = "FILE", env = "SEALPACK_CERT")]
    cert: PathBuf,
}

/// A private key and the certificate that it belongs to.
pub(crate) struct SigningKey {
    pub(crate) signer: Box<dyn Signer>,
    pub(crate) certificate: Certificate,
}

impl SigningArgs {
    /// Loads both and checks that they belong together and are for signing code.
    pub(crate) fn signer(&self, output: Output) -> Result<SigningKey, CommandError> {
        let certificate = read_certificate(&self.cert)?;
        let signer: Box<dyn Signer> = Box::new(read_key(&self.key, output)?);
        certificate.check_signer(&*signer).map_err(|error| {
            CommandError::failed(format_args!("{} and {}: {error}", self.key.display(), self.cert.display()))
        })?;
        if !certificate.is_valid_at(SystemTime::now()) {
            output.remark(&format!(
                "warning: the certificate {} is not valid at this time; the kernel does not look at that, others may",
                self.cert.display()
            ));
        }
        Ok(SigningKey { signer, certificate })
    }
}

impl SigningKey {
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
