use std::path::PathBuf;

use sealpack_kernel::Kernel;
use sealpack_mount::ActivePolicy;
use sealpack_trust::policy::audit::Step;
use serde_json::json;

use super::source::{self, Origin};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};

/// Give a signed policy to the kernel.
///
/// It decides nothing before it is activated; an update of the active policy does at once. Nothing of it
/// survives a reboot: load it from the initramfs, before the root is switched.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy load sealed.p7b
  sealpack policy load --update sealed.p7b
  sealpack policy load --update --activate sealed.p7b")]
pub(crate) struct Load {
    /// The file that `sealpack policy sign` made.
    file: PathBuf,
    /// Replace the kernel's policy of this name, if it has one, by this higher version.
    #[arg(long)]
    update: bool,
    /// Activate it too.
    #[arg(long)]
    activate: bool,
}

impl Load {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let source = source::read(&self.file)?;
        let Origin::Signed { der, .. } = &source.origin else {
            let error = format_args!("{} is not signed", self.file.display()).to_string();
            return Err(CommandError::usage(error)
                .hint("the kernel takes signed policies only: `sealpack policy sign` it"));
        };
        let kernel = Kernel::default();
        let ipe = source::ipe(&kernel)?;
        let (name, version) = (source.policy.name().to_string(), source.policy.version().to_string());
        let what = format!("policy {name} version {version}");
        let policies = ipe.policies().map_err(CommandError::failed)?;
        let updates = self.update && policies.iter().any(|policy| policy.name == name);
        if updates {
            ipe.update(&name, der).map_err(|error| source::refused(Step::Update, &what, &error))?;
        } else {
            ipe.load(der).map_err(|error| source::refused(Step::Load, &what, &error))?;
        }
        if self.activate {
            ipe.activate(&name).map_err(|error| source::refused(Step::Activate, &what, &error))?;
        }
        let active = ActivePolicy::read(&ipe).map_err(CommandError::failed)?;
        let is_active = active.is_some_and(|active| active.name == name);
        let enforcing = ipe.is_enforcing().map_err(CommandError::failed)?;
        let done = if updates { "updated" } else { "loaded" };
        let value = json!({
            "name": name, "version": version, "done": done, "active": is_active, "enforcing": enforcing,
        });
        context.output.result(&value, || {
            let state = match (is_active, enforcing) {
                (true, true) => "active and enforced",
                (true, false) => "active; IPE is not enforcing, so it denies nothing",
                (false, _) => "not active",
            };
            format!("{what}: {done}, {state}")
        })
    }
}
