use std::path::PathBuf;

use sealpack_host::signing;
use sealpack_node::keys::read_certificates;
use sealpack_node::new_files::{self, NewFile};

use super::input;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Put signatures that were made elsewhere into a UKI.
///
/// Each is checked to be of this file, to the byte, before anything is written. Programs that sign the file itself, such as
/// sbsign, need no `attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sbsign --detached --key boot.key --cert boot.crt --output unsigned.p7s unsigned.efi
  sealpack host attach unsigned.efi unsigned.p7s -o sealed_3.efi --cert boot.crt")]
pub(crate) struct Attach {
    /// The UKI, or another program that firmware starts.
    uki: PathBuf,
    /// Its signatures: PKCS#7, DER or PEM, or WIN_CERTIFICATE.
    #[arg(required = true)]
    signature: Vec<PathBuf>,
    /// Where the signed UKI goes [default: in the place of the unsigned one].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Who may have signed it: certificates, PEM or DER. Without any, the certificate that the signature carries counts.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    cert: Vec<PathBuf>,
    /// Replace the output if it is there.
    #[arg(long, requires = "output")]
    force: bool,
}

impl Attach {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let mut certificates = Vec::new();
        for file in &self.cert {
            certificates.extend(read_certificates(file)?);
        }
        let mut bytes = input::read(&self.uki)?;
        let mut signers = Vec::new();
        for file in &self.signature {
            let named = |error: CommandError| error.about(&file.display().to_string());
            let content = input::read(file)?;
            if content.starts_with(b"MZ") {
                return Err(named(CommandError::failed("this is a program, not a signature of one"))
                    .hint("`sbsign --detached` writes the signature alone; without it, its output is signed already"));
            }
            let signature = signing::read_signature(&content);
            let signature = signature.map_err(|error| named(CommandError::failed(error)))?;
            let attached = signing::attach(&bytes, &signature, &certificates);
            let (signed, signer) = attached.map_err(|error| named(error.into()))?;
            bytes = signed;
            signers.push(signer);
        }
        let (path, replace) = match &self.output {
            Some(output) => (output, self.force),
            None => (&self.uki, true),
        };
        new_files::write_all(&[NewFile { path, bytes: &bytes, mode: 0o644 }], replace)?;
        show::uki::attached(context.output, path, bytes.len(), &signers)
    }
}
