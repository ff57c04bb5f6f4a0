use std::path::{Path, PathBuf};

use sealpack_gate::seal::Sealed;
use sealpack_node::Error;
use sealpack_node::find::find_name;
use sealpack_node::seals::{self, Attached, SealingError};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

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
        let mut remarks = context.output.remarks();
        let certificates = seals::certificates(&self.certificates, &mut remarks)?;
        let attached = Attached::read(&self.directory, &certificates)?;
        let (_lock, store) = context.open_for_reading()?;
        let record = find_name(&store, &self.image)?;
        let (record, seal) = attached
            .attach(&store, record, self.replace, &context.trust_store(), &mut remarks)
            .map_err(|error| advised(error, &self.directory))?;
        let path = seals::path_of(&store, &record);
        let sealed = Sealed { record, seal, path, published: None };
        show::seal::sealed(context.output, &sealed)
    }
}

/// Who takes signatures can have named another image, or another directory.
fn advised(error: Error, directory: &Path) -> CommandError {
    let is_other = matches!(error, Error::Sealing(SealingError::NotForImage { .. }));
    let error = CommandError::from(error);
    match is_other {
        true => error.hint(format_args!(
            "name the image that {} was prepared for, or prepare it anew",
            directory.display()
        )),
        false => error,
    }
}
