mod kernel;
mod registry;
mod report;
mod seals;
mod stored;

use sealpack_oci::platform::Platform;
use sealpack_oci::source::Source;

use self::report::Report;
use sealpack_node::find::{Digests, try_find};

use crate::args::GateArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::registry_args::RegistryArgs;

/// Verify everything that an image rests on: its blobs, contents, root hashes, seal and signers.
///
/// An image in the store is hashed anew, every byte; its root hashes are computed from that and compared with its
/// seal, the seal is judged by the trust store, and where the image is mounted, the kernel is asked about its devices. Of
/// an image that is not in the store, the seals that are where it comes from are judged; its layers are not fetched, and
/// so no root hash is computed.
///
/// Everything that is wrong is listed; the exit status is 3 if anything is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack verify debian:12
  sealpack verify --require sealed registry.example.org/prod/app:1
  sealpack verify --json debian:12 | jq -r '.failures[]'")]
pub(crate) struct Verify {
    /// The image: a name or a digest in the store, or else a source as `sealpack pull` takes them.
    image: String,
    /// The platform: of an image in the store, what it has to be for; elsewhere, which of several is meant [default:
    /// this machine's].
    #[arg(long)]
    platform: Option<Platform>,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Verify {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let report = match self.stored(context)? {
            Some(report) => report,
            None => self.elsewhere(context)?,
        };
        context.output.result(&report.json(), || report.text())?;
        report.verdict()
    }

    /// What is in the store under that name, if anything is.
    fn stored(&self, context: &Context) -> Result<Option<Report>, CommandError> {
        let opened = match context.open_if_there(None)? {
            Some(_) => context.open_for_reading()?,
            None => return Ok(None),
        };
        let (_lock, store) = opened;
        let record = match try_find(&store, &self.image, Digests::Beginnings)? {
            Some(record) => record,
            None => return Ok(None),
        };
        stored::verify(context, &store, &record, self.platform.as_ref(), &self.gate).map(Some)
    }

    fn elsewhere(&self, context: &Context) -> Result<Report, CommandError> {
        let source: Source = self.image.parse().map_err(CommandError::usage)?;
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        registry::verify(context, &source, &platform, &self.gate, &self.registry)
    }
}
