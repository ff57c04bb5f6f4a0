use std::path::PathBuf;

use sealpack_format::reference::Reference;
use sealpack_gate::save::{StoredImage, origin};
use sealpack_oci::archive::{ArchiveForm, Packed, save};
use sealpack_oci::copy::{CopyOptions, Platforms};
use sealpack_oci::environment::Environment;
use sealpack_oci::source::Source;

use crate::args::RegistryArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::{progress, show};

/// Write images of the store to an archive.
///
/// The archive has the images that the store has, by their digests, under their names, with their seals and whatever else
/// has been said about them where they came from. The same images make the same file. It is written under another name
/// first, and replaces the file that is there when it is whole.
///
/// The store does not keep layers as they came. They are fetched again from where the image was pulled, or from what --from
/// names, and checked against the digests that the store has.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack save debian:12 -o debian.tar
  sealpack save app:1 tool:1 -o both.tar
  sealpack save app:1 -o app.tar --format docker-archive    # for docker load
  sealpack save app:1 -o app.tar --from oci:build:app       # layers from a layout")]
pub(crate) struct Save {
    /// The images, by name or digest.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// The archive.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What kind of archive: an oci-archive has seals too, a docker-archive is for programs that know no other.
    #[arg(long, value_name = "FORM", default_value = "oci-archive")]
    format: ArchiveForm,
    /// Take layers from this registry, layout or archive [default: the registry that the image was pulled from].
    #[arg(long, value_name = "SOURCE")]
    from: Option<Source>,
    /// Leave behind what has been said about the images.
    #[arg(long)]
    no_referrers: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Save {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        context.output.when_interrupted("the archive is as it was before");
        let environment = Environment::of_process(std::env::var_os);
        let (_lock, store) = context.open_for_reading()?;
        let mut images = Vec::new();
        for name in &self.images {
            let record = context.find(&store, name)?;
            let from = match &self.from {
                Some(from) => from.clone(),
                None => origin(&record)?,
            };
            let client = self.registry.client_options(&from, context.output);
            images.push(StoredImage::new(&store, &record, &from, (&client, &environment))?);
        }
        let packed: Vec<Packed<'_>> =
            images.iter().map(|image| Packed { source: image, name: name_of(image) }).collect();
        let options = CopyOptions { platforms: Platforms::All, referrers: !self.no_referrers };
        let observer = progress::copy_observer(context.output);
        let saved = save(self.format, &self.output, &packed, &options, observer.as_ref());
        drop(observer);
        let saved = saved.map_err(|error| self.explained(error))?;
        let target = format!("{}:{}", self.format, self.output.display());
        let names: Vec<&str> = images.iter().map(StoredImage::name).collect();
        show::saved::saved(context.output, &target, &names, &saved)
    }

    fn explained(&self, error: sealpack_oci::Error) -> CommandError {
        let is_of_way = matches!(
            error,
            sealpack_oci::Error::Registry(_)
                | sealpack_oci::Error::AfterMirrors { .. }
                | sealpack_oci::Error::NoBlob { .. }
        );
        let error = CommandError::from(error);
        match is_of_way {
            true => error.also_hint(
                "the store does not keep layers as they came: `--from SOURCE` names where the image is",
            ),
            false => error,
        }
    }
}

/// The name in the archive: one with a digest only cannot be a tag there.
fn name_of(image: &StoredImage) -> Option<&str> {
    let has_tag = image.name().parse::<Reference>().is_ok_and(|name| name.digest().is_none());
    has_tag.then_some(image.name())
}
