use std::path::PathBuf;
use std::time::SystemTime;

use sealpack_trust::key::Certificate;
use sealpack_trust::pkcs7;
use sealpack_trust::seal::{Seal as ImageSeal, Signed};

use super::prepare::{file_name, read_statement};
use super::{Sealed, check_is_of, devices_of, in_packs};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::sealing;
use sealpack_node::keys::{read, read_certificate};

/// Take signatures that were made elsewhere.
///
/// Each file that `sealpack seal prepare` wrote must have its signature beside it, with .p7s added to its name, in DER
/// or PEM. All are verified with the certificates given, and only then the seal is kept. Where the image has a seal
/// with the same statement, the signatures are added to it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack seal attach debian:12 to-be-signed --cert offline.crt
  sealpack seal attach debian:12 to-be-signed --cert packs.crt --cert statements.crt")]
pub(crate) struct Attach {
    /// The image: a name or a digest.
    image: String,
    /// The directory that `sealpack seal prepare` wrote.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The certificate of a key that signed; may be given several times.
    #[arg(long = "cert", value_name = "FILE", required = true)]
    certificates: Vec<PathBuf>,
    /// Make a new seal in the place of the one that there is.
    #[arg(long)]
    replace: bool,
}

impl Attach {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let certificates = self.certificates(context)?;
        let statement = read_statement(&self.directory)?;
        let mut signatures = Vec::new();
        for (signed, content) in statement.to_be_signed() {
            signatures.push((signed, self.signature(signed, &content, &certificates)?));
        }
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let record = in_packs(context, &store, record)?;
        check_is_of(&statement, &devices_of(&store, &record)?, &record).map_err(|error| {
            let directory = self.directory.display();
            error.hint(format_args!("name the image that {directory} was prepared for, or prepare it anew"))
        })?;
        let before = if self.replace { None } else { sealing::read(&store, &record)? };
        let refused = |error| CommandError::refused(format_args!("{}: {error}", record.name));
        let seal = match before {
            None => ImageSeal::assemble(statement, signatures).map_err(refused)?,
            Some(mut seal) if seal.statement() == &statement => {
                seal.attach(signatures).map_err(refused)?;
                seal
            }
            Some(_) => {
                return Err(CommandError::failed(format_args!(
                    "{} is sealed with another statement than the one in {}",
                    record.name,
                    self.directory.display()
                ))
                .hint("--replace puts this seal in the place of that one"));
            }
        };
        store.write_seal(&record.manifest, &seal.to_json())?;
        let path = store.seal_path(&record.manifest);
        let sealed = Sealed { record, seal, path, published: None };
        context.output.result(&sealed.to_json(), || sealed.to_string())
    }

    fn certificates(&self, context: &Context) -> Result<Vec<Certificate>, CommandError> {
        let mut certificates = Vec::new();
        for path in &self.certificates {
            let certificate = read_certificate(path)?;
            certificate
                .check_usage()
                .map_err(|error| CommandError::failed(format_args!("{}: {error}", path.display())))?;
            if !certificate.is_valid_at(SystemTime::now()) {
                context.output.remark(&format!(
                    "warning: the certificate {} is not valid at this time; the kernel does not look at that, others may",
                    path.display()
                ));
            }
            certificates.push(certificate);
        }
        Ok(certificates)
    }

    /// The signature of something, verified.
    fn signature(
        &self,
        signed: Signed,
        content: &[u8],
        certificates: &[Certificate],
    ) -> Result<Vec<u8>, CommandError> {
        let path = self.directory.join(file_name(signed) + ".p7s");
        if !path.exists() {
            return Err(CommandError::failed(format_args!(
                "the signature of {signed} is missing: there is no {}",
                path.display()
            ))
            .hint("sign all files; the README beside them says how"));
        }
        let refused = |error: &dyn std::fmt::Display| {
            CommandError::refused(format_args!("{}: {error}", path.display()))
        };
        let der = pkcs7::read_file(&read(&path)?).map_err(|error| refused(&error))?;
        let signer = pkcs7::verify_detached(&der, content, certificates).map_err(|error| refused(&error))?;
        if matches!(signed, Signed::RootHash(_)) {
            signer.check_kernel().map_err(|error| refused(&error))?;
        }
        Ok(der)
    }
}
