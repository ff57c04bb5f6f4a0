use sealpack_gate::verify::{self, Report};
use sealpack_node::find::{Digests, try_find};
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::source::Source;

use crate::args::{GateArgs, RegistryArgs};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, Failures};
use crate::output::count;
use crate::show;

/// Verify everything that an image rests on: its blobs, contents, root hashes, seal and signers.
///
/// An image in the store is hashed anew, every byte; its root hashes are computed from that and compared with its
/// seal, the seal is judged by the trust store, and where the image is mounted, the kernel is asked about its devices. Of
/// an image that is not in the store, the seals that are where it comes from are judged, which is said first; its layers
/// are not fetched, and so no root hash is computed.
///
/// Everything that is wrong is listed; the exit status is 3 if anything is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack verify debian:12
  sealpack verify --all
  sealpack verify --require sealed registry.example.org/prod/app:1
  sealpack verify --json debian:12 | jq -r '.failures[]'")]
pub(crate) struct Verify {
    /// The image: a name or a digest in the store, or else a source as `sealpack pull` takes them.
    #[arg(required_unless_present = "all")]
    image: Option<String>,
    /// Verify every image in the store, under each of its names.
    #[arg(long, conflicts_with = "image")]
    all: bool,
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
        match &self.image {
            Some(image) => self.one(image, context),
            None => self.all(context),
        }
    }

    /// All that the store has; one that is not good does not keep the others from being looked at.
    fn all(&self, context: &Context) -> CommandResult {
        let images = context.open()?.images()?;
        let mut failures = Failures::default();
        for damage in &images.damaged {
            let error = CommandError::refused(damage);
            context.output.error(&error);
            failures.add(&error);
        }
        for record in &images.records {
            if let Err(error) = self.one(&record.name, context) {
                context.output.error(&error);
                failures.add(&error);
            }
        }
        failures.result(images.records.len() + images.damaged.len(), "image")
    }

    fn one(&self, image: &str, context: &Context) -> CommandResult {
        let report = match self.stored(image, context)? {
            Some(report) => report,
            None => self.elsewhere(image, context)?,
        };
        context.output.result(&show::report::json_of(&report), || show::report::text_of(&report))?;
        verdict(&report)
    }

    /// What is in the store under that name, if anything is.
    fn stored(&self, image: &str, context: &Context) -> Result<Option<Report>, CommandError> {
        if context.open_if_there(None)?.is_none() {
            return Ok(None);
        }
        let (_lock, store) = context.open_for_reading()?;
        let Some(record) = try_find(&store, image, Digests::Beginnings)? else { return Ok(None) };
        let asked = (self.platform.as_ref(), self.gate.demand());
        let (trust, mut remarks) = (context.trust_store(), context.output.gate_remarks());
        Ok(Some(verify::stored(&store, &record, asked, &trust, &mut remarks)?))
    }

    fn elsewhere(&self, image: &str, context: &Context) -> Result<Report, CommandError> {
        let source: Source = image.parse().map_err(CommandError::usage)?;
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        let (client, environment) = (
            self.registry.client_options(&source, context.output),
            Environment::of_process(std::env::var_os),
        );
        let (store, trust) = (context.open_if_there(None)?, context.trust_store());
        let (asked, way) = ((&platform, self.gate.demand()), (&client, &environment));
        let mut remarks = context.output.gate_remarks();
        Ok(verify::elsewhere(&source, asked, store.as_ref(), &trust, way, &mut remarks)?)
    }
}

/// Status 3 if anything is wrong.
fn verdict(report: &Report) -> CommandResult {
    let failures = report.failures();
    let Some(first) = failures.first() else { return Ok(()) };
    Err(match failures.len() {
        1 => CommandError::refused(format_args!("{}: {first}", report.name)),
        more => CommandError::refused(format_args!(
            "{}: {} failed, the first of them {first}",
            report.name,
            count(more as u64, "check")
        )),
    })
}
