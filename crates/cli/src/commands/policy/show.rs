use std::path::PathBuf;

use sealpack_kernel::Kernel;
use sealpack_node::policy::{GivenPolicy, KernelPolicies};

use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// Show a policy as the kernel understands it, and what is odd about it.
///
/// Of a signed policy, nothing is verified: the kernel does that when it is loaded.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy show sealed.policy
  sealpack policy show sealed.p7b
  sealpack policy show               # the kernel's policies
  sealpack policy show sealed        # one of them")]
pub(crate) struct Show {
    /// A file with a policy, signed or not, or the name of a policy that the kernel has. Without it, the
    /// kernel's policies are listed.
    #[arg(value_name = "FILE|NAME")]
    policy: Option<PathBuf>,
}

impl Show {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let kernel = Kernel::default();
        match &self.policy {
            Some(name) => show::policy::policy(context.output, &GivenPolicy::find(&kernel, name)?),
            None => show::policy::of_kernel(context.output, &KernelPolicies::read(&kernel)?),
        }
    }
}
