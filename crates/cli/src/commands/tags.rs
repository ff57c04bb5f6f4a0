use sealpack_format::reference::Reference;
use sealpack_oci::environment::Environment;
use sealpack_oci::registry::RegistrySource;
use sealpack_oci::source::Source;

use crate::args::RegistryArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// List the tags that a repository of a registry has.
///
/// Tags that begin with `sha256-` are lists of what has been said about images, by registries that have no list of their own.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack tags debian
  sealpack tags registry.example.org/prod/app
  sealpack tags --json registry.example.org/prod/app | jq -r '.tags[]'")]
pub(crate) struct Tags {
    /// The repository: an image's name without a tag.
    repository: Reference,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Tags {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let reference = self.repository;
        if let Some(more) =
            reference.tag().filter(|tag| *tag != "latest").or(reference.digest().map(|_| "a digest"))
        {
            return Err(CommandError::usage(format_args!(
                "{reference} is one image: {more} is no part of a repository"
            ))
            .hint(format_args!("leave it out: `sealpack tags {}`", reference.name())));
        }
        let client = self.registry.client_options(&Source::Registry(reference.clone()), context.output);
        let environment = Environment::of_process(std::env::var_os);
        let tags = RegistrySource::new(reference.clone(), &client, &environment).tags()?;
        show::tags::list(context.output, &reference, &tags)
    }
}
