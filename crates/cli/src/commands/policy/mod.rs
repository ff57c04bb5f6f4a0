mod activate;
mod check;
mod explain;
mod load;
mod new;
mod show;
mod sign;

pub(super) use explain::read as read_log;

use crate::context::Context;
use crate::error::CommandResult;

/// Write, sign, load and judge the policies by which the kernel decides what may execute.
///
/// The policies are those of IPE, a security module of Linux 6.12 and later; docs/policies.md tells
/// how to come from none to an enforced one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy new final -o sealed.policy
  sealpack policy check sealed.policy debian:12
  sealpack policy sign sealed.policy --key policy.key --cert policy.crt -o sealed.p7b
  sealpack policy load sealed.p7b --activate
  dmesg | sealpack policy explain -")]
pub(crate) struct Policy {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PolicyCommand {
    New(new::New),
    Show(show::Show),
    Check(check::Check),
    Sign(sign::Sign),
    Load(load::Load),
    Activate(activate::Activate),
    Explain(explain::Explain),
}

impl Policy {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.command {
            PolicyCommand::New(command) => command.run(context),
            PolicyCommand::Show(command) => command.run(context),
            PolicyCommand::Check(command) => command.run(context),
            PolicyCommand::Sign(command) => command.run(context),
            PolicyCommand::Load(command) => command.run(context),
            PolicyCommand::Activate(command) => command.run(context),
            PolicyCommand::Explain(command) => command.run(context),
        }
    }
}
