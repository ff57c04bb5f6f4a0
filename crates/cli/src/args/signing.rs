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
#[group(id = "signer", args = ["key", "signer_command"], required = true, multiple = false)]
pub(crate) struct KeyArgs {
    /// The private key: a file, PEM or DER, not encrypted; or, where Sealpack was built for that, the PKCS#11 URI of a
    /// key in a token (pkcs11:token=…;object=…), whose PIN is in the file of its pin-source or in $SEALPACK_PIN.
    #[arg(long, value_name = "FILE|URI", env = "SEALPACK_KEY")]
    key: Option<PathBuf>,
    /// Have this program sign instead: it gets what is to be signed on its standard input, and answers with the
    /// signature (docs/signer-command.md).
    #[arg(long, value_name = "PROGRAM", env = "SEALPACK_SIGNER_COMMAND")]
    signer_command: Option<PathBuf>,
}

/// What signs the statement of a seal, where that is another key.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct StatementSigningArgs {
    /// The private key that signs the statement, where it is not the one that signs the root hashes: a file or a
    /// PKCS#11 URI.
    #[arg(long, value_name = "FILE|URI", env = "SEALPACK_STATEMENT_KEY", requires = "statement_cert")]
    statement_key: Option<PathBuf>,
    /// Have this program sign the statement instead, as --signer-command.
    #[arg(
        long,
        value_name = "PROGRAM",
        env = "SEALPACK_STATEMENT_SIGNER_COMMAND",
        requires = "statement_cert"
    )]
    #[arg(conflicts_with = "statement_key")]
    statement_signer_command: Option<PathBuf>,
    /// Its certificate: PEM or DER.
    #[arg(long, value_name = "FILE", env = "SEALPACK_STATEMENT_CERT")]
    statement_cert: Option<PathBuf>,
}

/// The key and certificate of a verb that has other verbs below it, which need none.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct SealSigningArgs {
    /// The private key that signs the root hashes: a file, PEM or DER, not encrypted; or, where Sealpack was built for
    /// that, the PKCS#11 URI of a key in a token (pkcs11:token=…;object=…), whose PIN is in the file of its pin-source
    /// or in $SEALPACK_PIN.
    #[arg(long, value_name = "FILE|URI", env = "SEALPACK_KEY", required_unless_present = "signer_command")]
    key: Option<PathBuf>,
    /// Have this program sign instead: it gets what is to be signed on its standard input, and answers with the
    /// signature (docs/signer-command.md).
    #[arg(long, value_name = "PROGRAM", env = "SEALPACK_SIGNER_COMMAND", conflicts_with = "key")]
    signer_command: Option<PathBuf>,
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
    #[arg(long, value_name = "FILE|URI", required_unless_present_any = ["unsigned", "signer_command"])]
    #[arg(conflicts_with = "unsigned", requires = "cert")]
    key: Option<PathBuf>,
    /// Have this program sign instead: it gets what is to be signed on its standard input, and answers with the
    /// signature (docs/signer-command.md).
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["key", "unsigned"], requires = "cert")]
    signer_command: Option<PathBuf>,
    /// Its certificate, which the firmware has in its db: PEM or DER.
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
}

impl BootSigningArgs {
    /// Loads both; nothing where what is made stays unsigned.
    pub(crate) fn signer(&self, output: Output) -> Result<Option<SigningKey>, CommandError> {
        let Some(cert) = &self.cert else { return Ok(None) };
        let source = source(self.key.as_deref(), self.signer_command.as_deref(), cert)?
            .ok_or_else(|| CommandError::usage("--cert is of no use without --key or --signer-command"))?;
        load(&source, cert, SignsFor::Firmware, output).map(Some)
    }
}

impl SealSigningArgs {
    /// As [`SigningArgs::signer`].
    pub(crate) fn signer(&self, output: Output) -> Result<SigningKey, CommandError> {
        let lacks = || CommandError::usage("sealing needs --key or --signer-command, and --cert");
        let cert = self.cert.as_ref().ok_or_else(lacks)?;
        let source = source(self.key.as_deref(), self.signer_command.as_deref(), cert)?;
        load(&source.ok_or_else(lacks)?, cert, SignsFor::Kernel, output)
    }
}

impl SigningArgs {
    /// Loads both and checks that they belong together, are for signing code, and that the kernel can know the certificate.
    pub(crate) fn signer(&self, output: Output) -> Result<SigningKey, CommandError> {
        load(&self.key.source(&self.cert)?, &self.cert, SignsFor::Kernel, output)
    }
}

impl StatementSigningArgs {
    /// As [`SigningArgs::signer`], but not for the kernel, for which statements are nothing; nothing where no key is given.
    pub(crate) fn signer(&self, output: Output) -> Result<Option<SigningKey>, CommandError> {
        let Some(cert) = &self.statement_cert else { return Ok(None) };
        let program = self.statement_signer_command.as_deref();
        let source = source(self.statement_key.as_deref(), program, cert)?.ok_or_else(|| {
            CommandError::usage("--statement-cert needs --statement-key or --statement-signer-command")
        })?;
        load(&source, cert, SignsFor::Pulls, output).map(Some)
    }
}

fn load(
    source: &KeySource,
    certificate: &Path,
    signs_for: SignsFor,
    output: Output,
) -> Result<SigningKey, CommandError> {
    Ok(source.with_certificate(certificate, signs_for, &mut output.remarks())?)
}

impl KeyArgs {
    /// Loads it. `public` is the file that has the public key of a program that signs.
    pub(crate) fn signer(&self, public: &Path, output: Output) -> Result<Box<dyn Signer>, CommandError> {
        Ok(self.source(public)?.signer(&mut output.remarks())?)
    }

    fn source(&self, public: &Path) -> Result<KeySource, CommandError> {
        source(self.key.as_deref(), self.signer_command.as_deref(), public)?
            .ok_or_else(|| CommandError::usage("neither --key nor --signer-command is given"))
    }
}

/// A program, a file, or a key in a token: what begins as a URI does.
fn source(
    key: Option<&Path>,
    program: Option<&Path>,
    public: &Path,
) -> Result<Option<KeySource>, CommandError> {
    if let Some(program) = program {
        return Ok(Some(KeySource::Program { program: program.to_owned(), public: public.to_owned() }));
    }
    let Some(key) = key else { return Ok(None) };
    let Some(uri) = key.to_str().filter(|text| TokenUri::is_one(text)) else {
        return Ok(Some(KeySource::File(key.to_owned())));
    };
    let uri: TokenUri = uri
        .parse()
        .map_err(|error| CommandError::usage(format_args!("cannot use the PKCS#11 URI: {error}")))?;
    let pin = std::env::var("SEALPACK_PIN").ok().map(Pin::new);
    Ok(Some(KeySource::Token { uri: Box::new(uri), pin }))
}
