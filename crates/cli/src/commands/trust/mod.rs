mod add;
mod list;
mod remove;
mod revoke;

use crate::context::Context;
use crate::error::CommandResult;

/// Say whose signatures count when images are pulled, and what no longer counts.
///
/// The trust store is a directory: certificates in packs, statements and policies, for what each may have signed;
/// rules.toml with what may be pulled; revoked.toml. It is /etc/sealpack/trust.d, for others than root
/// $XDG_CONFIG_HOME/sealpack/trust.d besides, or what --trust names. The kernel does not ask it: which devices it
/// accepts is for the certificates in its own keyrings.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack trust add publisher --cert publisher.crt
  sealpack trust list
  sealpack trust revoke publisher --reason stolen
  sealpack trust revoke --root-hash … --policy sealed.policy")]
pub(crate) struct Trust {
    #[command(subcommand)]
    command: TrustCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TrustCommand {
    Add(add::Add),
    List(list::List),
    Remove(remove::Remove),
    Revoke(revoke::Revoke),
}

impl Trust {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.command {
            TrustCommand::Add(command) => command.run(context),
            TrustCommand::List(command) => command.run(context),
            TrustCommand::Remove(command) => command.run(context),
            TrustCommand::Revoke(command) => command.run(context),
        }
    }
}
