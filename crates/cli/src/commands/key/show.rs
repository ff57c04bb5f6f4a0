use std::path::PathBuf;

use sealpack_trust::key::{Certificate, FileKey, KeyError};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;
use sealpack_node::keys::read;

/// Show what is in a certificate or a private key.
///
/// Of a private key: its kind, and the fingerprint of its public key, which its certificate shows too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack key show site.crt
  sealpack key show --json site.key")]
pub(crate) struct Show {
    /// The file: PEM or DER. Of several certificates, all are shown.
    file: PathBuf,
}

impl Show {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let bytes = read(&self.file)?;
        let failed =
            |error: &KeyError| CommandError::failed(format_args!("{}: {error}", self.file.display()));
        let certificates = match Certificate::parse_all(&bytes) {
            Ok(certificates) => certificates,
            Err(error) => match FileKey::parse(&bytes) {
                Ok(key) => return show::key::private_key(context.output, &key),
                // Whichever it tries to be knows more of what is wrong with it.
                Err(KeyError::Other { .. } | KeyError::Malformed { .. }) => return Err(failed(&error)),
                Err(error) => return Err(failed(&error)),
            },
        };
        show::key::certificates(context.output, &certificates)
    }
}
