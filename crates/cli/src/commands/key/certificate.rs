use std::path::PathBuf;
use std::time::SystemTime;

use sealpack_trust::key::{self, Certificate};

use super::subject::SubjectArgs;
use crate::args::KeyArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;
use sealpack_node::new_files::{self, NewFile};

/// Make a certificate for a key that is there, such as one in a token.
///
/// It is signed by its own key and good for signing code, nothing else.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack key certificate --key site.key --cert site.crt --subject example-packs
  sealpack key certificate --key 'pkcs11:token=site;object=packs' --cert site.crt
  sealpack key certificate --signer-command ./kms-sign --public-key kms.pem --cert site.crt")]
pub(crate) struct Certify {
    #[command(flatten)]
    key: KeyArgs,
    /// With --signer-command: the public key of what it signs with, PEM or DER, as key services give it.
    #[arg(long, value_name = "FILE", required_unless_present = "key", conflicts_with = "key")]
    public_key: Option<PathBuf>,
    /// Where the certificate goes: PEM.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

impl Certify {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let validity = self.subject.validity(SystemTime::now())?;
        let public = self.public_key.as_deref().unwrap_or(&self.cert);
        let signer = self.key.signer(public, context.output)?;
        let der = key::self_signed_certificate(&*signer, &self.subject.subject, &validity)
            .map_err(CommandError::failed)?;
        let certificate = Certificate::parse(&der).map_err(CommandError::failed)?;
        if !certificate.is_self_signed() {
            return Err(CommandError::failed("the private key made a signature that is not its own"));
        }
        let pem = certificate.pem();
        let file = NewFile { path: &self.cert, bytes: pem.as_bytes(), mode: 0o644 };
        new_files::write_all(&[file], self.force)?;
        show::key::made(context.output, &certificate, &self.cert, None)
    }
}
