use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealpack_trust::key::token::TokenUri;
use sealpack_trust::key::{self, Certificate, KeyKind};

use super::subject::SubjectArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;
use sealpack_node::new_files::{self, NewFile, NewFileError, directory_of};

/// Make a private key and its certificate.
///
/// The certificate is signed by its own key and good for signing code, nothing else. The key is not encrypted: keep it
/// where only those who may sign can read it. Use different keys for policies and for images.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack key new --key site.key --cert site.crt --subject example-packs
  sealpack key new --key policy.key --cert policy.crt --type p384 --subject example-policies")]
pub(crate) struct New {
    /// Where the private key goes: PEM, for its owner's eyes only.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the certificate goes: PEM.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The kind of key: rsa2048, rsa3072, rsa4096, p256 or p384.
    #[arg(long = "type", value_name = "TYPE", default_value = "rsa3072")]
    kind: KeyKind,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Replace the files if they are there.
    #[arg(long)]
    force: bool,
}

impl New {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        self.check_places()?;
        let validity = self.subject.validity(SystemTime::now())?;
        let made =
            key::generate(self.kind, &self.subject.subject, &validity).map_err(CommandError::failed)?;
        let certificate =
            Certificate::parse(made.certificate_pem.as_bytes()).map_err(CommandError::failed)?;
        let key = NewFile { path: &self.key, bytes: made.key_pem.as_bytes(), mode: 0o600 };
        let cert = NewFile { path: &self.cert, bytes: made.certificate_pem.as_bytes(), mode: 0o644 };
        new_files::write_all(&[key, cert], self.force)?;
        show::key::made(context.output, &certificate, &self.cert, Some(&self.key))
    }

    /// Making a key takes seconds: what can be refused before is.
    fn check_places(&self) -> CommandResult {
        if self.key.to_str().is_some_and(TokenUri::is_one) {
            return Err(CommandError::usage("keys in tokens are made with the token's own tools")
                .hint("`sealpack key certificate` makes the certificate for such a key"));
        }
        if absolute(&self.key)? == absolute(&self.cert)? {
            return Err(CommandError::usage("--key and --cert are the same file; each needs its own"));
        }
        for path in [&self.key, &self.cert] {
            new_files::check_place(path)?;
            if !self.force && path.symlink_metadata().is_ok() {
                let hint = "choose another name, or replace it with --force: a replaced key is gone for good";
                return Err(CommandError::from(NewFileError::IsThere { path: path.clone() }).hint(hint));
            }
        }
        Ok(())
    }
}

/// The directory by its real name, and the name in it.
fn absolute(path: &Path) -> Result<PathBuf, CommandError> {
    let name = path
        .file_name()
        .ok_or_else(|| CommandError::usage(format_args!("{} names no file", path.display())))?;
    let directory = directory_of(path);
    let found = directory.canonicalize().map_err(|error| {
        CommandError::failed(format_args!(
            "cannot write {}: {}: {error}",
            path.display(),
            directory.display()
        ))
    })?;
    Ok(found.join(name))
}
