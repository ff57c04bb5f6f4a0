//! The key and certificate that commands sign with.

use std::path::{Path, PathBuf};

use sealpack_node::keys::{KeySource, Pin, SigningKey, SignsFor};
use sealpack_trust::key::Signer;
use sealpack_trust::key::token::TokenUri;

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

/// The key and certificate of what firmware starts.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct BootSigningArgs {
    /// The private key that signs what firmware starts: a file, PEM or DER, not encrypted; or, where Sealpack was built
    /// for that, the PKCS#11 URI of a key in a token (pkcs11:token=…;object=…), whose PIN is in the file of its pin-source
    /// or in $SEALPACK_PIN. An RSA key, unless the firmware is known to take others. Use another one than for images and
    /// policies.
    #[arg(long, value_name = "FILE|URI", required_unless_present = "unsigned", conflicts_with = "unsigned")]
    #[arg(requires = "cert")]
    key: Option<PathBuf>,
    /// Its certificate, which the firmware has in its db: PEM or DER.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
}

impl BootSigningArgs {
    /// Loads both; nothing where what is made stays unsigned.
    pub(crate) fn signer(&self, output: Output) -> Result<Option<SigningKey>, CommandError> {
        let (Some(key), Some(cert)) = (&self.key, &self.cert) else { return Ok(None) };
        load(&KeyArgs { key: key.clone() }, cert, SignsFor::Firmware, output).map(Some)
    }
}

impl SealSigningArgs {
    /// As [`SigningArgs::signer`].
    pub(crate) fn signer(&self, output: Output) -> Result<SigningKey, CommandError> {
        let (Some(key), Some(cert)) = (&self.key, &self.cert) else {
            return Err(CommandError::usage("sealing needs --key and --cert"));
        };
        load(&KeyArgs { key: key.clone() }, cert, SignsFor::Kernel, output)
    }
}

impl SigningArgs {
    /// Loads both and checks that they belong together, are for signing code, and that the kernel can know the certificate.
    pub(crate) fn signer(&self, output: Output) -> Result<SigningKey, CommandError> {
        load(&self.key, &self.cert, SignsFor::Kernel, output)
    }
}

impl StatementSigningArgs {
    /// As [`SigningArgs::signer`], but for the kernel, for which statements are nothing; nothing where no key is given.
    pub(crate) fn signer(&self, output: Output) -> Result<Option<SigningKey>, CommandError> {
        let (Some(key), Some(certificate)) = (&self.statement_key, &self.statement_cert) else {
            return Ok(None);
        };
        load(&KeyArgs { key: key.clone() }, certificate, SignsFor::Pulls, output).map(Some)
    }
}

fn load(
    key: &KeyArgs,
    certificate: &Path,
    signs_for: SignsFor,
    output: Output,
) -> Result<SigningKey, CommandError> {
    Ok(key.source()?.with_certificate(certificate, signs_for, &mut output.remarks())?)
}

impl KeyArgs {
    /// Loads it.
    pub(crate) fn signer(&self, output: Output) -> Result<Box<dyn Signer>, CommandError> {
        Ok(self.source()?.signer(&mut output.remarks())?)
    }

    /// A file, unless it is the URI of a key in a token.
    fn source(&self) -> Result<KeySource, CommandError> {
        let Some(uri) = self.key.to_str().filter(|text| TokenUri::is_one(text)) else {
            return Ok(KeySource::File(self.key.clone()));
        };
        let uri: TokenUri = uri
            .parse()
            .map_err(|error| CommandError::usage(format_args!("cannot use the PKCS#11 URI: {error}")))?;
        Ok(KeySource::Token { uri: Box::new(uri), pin: std::env::var("SEALPACK_PIN").ok().map(Pin::new) })
    }
}
