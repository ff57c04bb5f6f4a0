use std::path::{Path, PathBuf};

use sealpack_format::boot::artifact::UKI_MAX_BYTES;
use sealpack_gate::publish::Place;
use sealpack_gate::uki::NewUki;
use sealpack_host::disk::sealed;
use sealpack_host::esp::FileName;
use sealpack_host::uki::UkiFile;
use sealpack_oci::environment::Environment;
use sealpack_oci::target::Target;
use sealpack_store::{ImageRecord, Store};

use super::input;
use crate::args::RegistryArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Publish a UKI beside its image.
///
/// It becomes a referrer of the image's manifest, which must be in that repository: `sealpack host upgrade` finds it there,
/// and `sealpack copy` takes it along. It has to be signed, and to start just this image, as its seal has it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host push registry.example.org/host:2 sealed_2.efi
  sealpack host push host:2 sealed_2.efi --to oci:images:host")]
pub(crate) struct Push {
    /// The image: a name or a digest. It has to be sealed.
    image: String,
    /// The UKI, signed.
    uki: PathBuf,
    #[command(flatten)]
    publish: PublishArgs,
}

/// Where a UKI is published.
#[derive(Debug, clap::Args)]
pub(super) struct PublishArgs {
    /// Where the image is that the UKI is put beside [default: where it was pulled from].
    #[arg(long, value_name = "TARGET")]
    to: Option<Target>,
    /// Publish the UKI even where the name means another image by now.
    #[arg(long)]
    stale: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Push {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find_whole(&store, &self.image)?;
        let bytes = input::read(&self.uki)?;
        let published = self.publish.publish(context, &store, &record, &self.uki, &bytes)?;
        show::uki::published(context.output, &record, &self.uki, &published)
    }
}

impl PublishArgs {
    /// Publishes the UKI that is in the file `path`, and has these bytes.
    pub(super) fn publish(
        &self,
        context: &Context,
        store: &Store,
        record: &ImageRecord,
        path: &Path,
        bytes: &[u8],
    ) -> Result<sealpack_gate::publish::Published, CommandError> {
        let created = check(store, record, path, bytes)?;
        let environment = Environment::of_process(std::env::var_os);
        let client = self.registry.without_mirrors(context.output);
        let place = Place { to: self.to.clone(), stale: self.stale };
        let ready = place.look(store, record, (&client, &environment))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Where it is kept its tries are not counted.
        let title =
            FileName::parse(&name).map_or(name.clone().into_owned(), |name| name.with(None).to_string());
        let uki = NewUki { bytes, title: &title, created };
        Ok(ready.publish_uki(&uki, &mut context.output.gate_remarks())?)
    }
}

/// That hosts can take it for this image. Answers with the time of the image's seal.
fn check(
    store: &Store,
    record: &ImageRecord,
    path: &Path,
    bytes: &[u8],
) -> Result<sealpack_trust::timestamp::Timestamp, CommandError> {
    let about = |error: CommandError| error.about(&path.display().to_string());
    if bytes.len() as u64 > UKI_MAX_BYTES {
        let said =
            format_args!("it has {} bytes, and hosts take {UKI_MAX_BYTES} at most", bytes.len()).to_string();
        return Err(about(CommandError::failed(said)));
    }
    let image = sealed(store, record)?;
    let uki = UkiFile::parse(bytes)
        .map_err(|error| about(CommandError::failed(error)).hint("`sealpack host build` makes them"))?;
    uki.signed.clone().map_err(|error| {
        about(CommandError::failed(format_args!("it {error}"))).hint(
            "`sealpack host build` signs with --key and --cert; `sealpack host attach` takes signatures",
        )
    })?;
    uki.check_starts(&record.metadata_image, &image.root_hash).map_err(|error| {
        about(CommandError::refused(error)).hint("`sealpack host build` makes one of this image")
    })?;
    Ok(image.created)
}
