use sealpack_kernel::Kernel;
use sealpack_trust::policy::audit::Step;
use serde_json::json;

use super::source;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};

/// Have a loaded policy decide, instead of the one that does.
///
/// There is no way back to none, and none to a policy with a lower version, before the next boot.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy activate sealed")]
pub(crate) struct Activate {
    /// The policy's name; `sealpack policy show` lists those that are loaded.
    name: String,
}

impl Activate {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let kernel = Kernel::default();
        let ipe = source::ipe(&kernel)?;
        let what = format!("to activate policy {}", self.name);
        ipe.activate(&self.name).map_err(|error| source::refused(Step::Activate, &what, &error))?;
        let enforcing = ipe.is_enforcing().map_err(CommandError::failed)?;
        context.output.result(&json!({ "name": self.name, "active": true, "enforcing": enforcing }), || {
            let state = if enforcing { "enforced" } else { "IPE is not enforcing, so it denies nothing" };
            format!("policy {}: active, {state}", self.name)
        })
    }
}
