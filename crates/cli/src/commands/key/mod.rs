mod certificate;
mod check;
mod new;
mod show;
mod subject;

use crate::context::Context;
use crate::error::CommandResult;

/// Make and look at the keys that sign images and policies.
///
/// The kernel checks signatures with certificates from its own keyrings; docs/keys.md says how they get there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack key new --key site.key --cert site.crt --subject example-packs
  sealpack key show site.crt
  sealpack key check --key site.key --cert site.crt")]
pub(crate) struct Key {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    New(new::New),
    Certificate(certificate::Certify),
    Show(show::Show),
    Check(check::Check),
}

impl Key {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.command {
            KeyCommand::New(command) => command.run(context),
            KeyCommand::Certificate(command) => command.run(context),
            KeyCommand::Show(command) => command.run(context),
            KeyCommand::Check(command) => command.run(context),
        }
    }
}
