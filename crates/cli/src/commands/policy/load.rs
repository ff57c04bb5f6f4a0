use std::path::{Path, PathBuf};

use sealpack_format::boot::{KeptPolicy, data};
use sealpack_host::keep_policy;
use sealpack_host::status::Status;
use sealpack_kernel::Kernel;
use sealpack_mount::Broker;
use sealpack_node::policy::{Done, GivenPolicy, Loaded, Loading, Origin, load};

use crate::commands::host;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::journal;
use crate::output::count;
use crate::show;

/// Give a signed policy to the kernel.
///
/// It decides nothing before it is activated; an update of the active policy does at once. Nothing of it
/// survives a reboot: load it from the initramfs, before the root is switched.
///
/// On a sealed host, only the broker may give the kernel policies, and only updates of the active one; `--update` asks
/// it by itself. What the kernel takes is kept in /data/policies, and offered to it at each boot.
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
    /// On a sealed host: even if it denies what the host is booted from. Nothing more of that is executed then, and the
    /// host does not start with this image any more.
    #[arg(long)]
    lock_out: bool,
}

impl Load {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let kernel = Kernel::default();
        let given = GivenPolicy::read(&self.file)?;
        let status = host::find_out(&kernel)?.ok();
        if let Some(status) = &status
            && !self.lock_out
        {
            check_goes_on(context, status, &given)?;
        }
        let broker = Broker::default();
        let loading = Loading { update: self.update, activate: self.activate, broker: Some(&broker) };
        let loaded = load(&kernel, &given, loading)?;
        journal::loaded(&loaded);
        let kept = match status.is_some() && loaded.active {
            true => keep(&given, &loaded),
            false => Ok(None),
        };
        match kept {
            Ok(kept) => show::policy::loaded(context.output, &loaded, kept.as_deref()),
            Err(error) => {
                show::policy::loaded(context.output, &loaded, None)?;
                Err(error)
            }
        }
    }
}

/// That a sealed host goes on, and starts again: that the policy allows executing what it is booted from.
fn check_goes_on(context: &Context, status: &Status, given: &GivenPolicy) -> CommandResult {
    let devices = host::devices(context, status);
    let denied: Vec<String> = devices
        .iter()
        .filter(|root_hash| given.policy.denies_device(root_hash))
        .map(ToString::to_string)
        .collect();
    match denied.first() {
        None => Ok(()),
        Some(first) => Err(CommandError::refused(format_args!(
            "policy {} version {} denies executing what is on {} that this host is booted from, the first with root hash {first}",
            given.policy.name(),
            given.policy.version(),
            count(denied.len() as u64, "device"),
        ))
        .hint("boot a newer image first; or --lock-out, if this one is not to run any more")),
    }
}

/// Keeps what decides now for the next boot. What does not need it, since it came with the UKI, is kept all the same: it
/// does no harm.
fn keep(given: &GivenPolicy, loaded: &Loaded) -> Result<Option<PathBuf>, CommandError> {
    let Origin::Signed { der, .. } = &given.origin else { return Ok(None) };
    let lost = |why: String| {
        let done = if loaded.done == Done::WasThere { "is active" } else { "is active from now on" };
        CommandError::failed(format_args!("it {done}, but will not be after the next boot: {why}"))
    };
    let version = given.policy.version();
    let version = [version.major, version.minor, version.revision];
    let policy = KeptPolicy::new(&given.policy.name().to_string(), version)
        .ok_or_else(|| lost(format!("no file can be called like policy {}", given.policy.name())))?;
    let directory = Path::new(data::MOUNTED_AT).join(data::POLICIES);
    let kept = keep_policy(&directory, &policy, der);
    kept.map(Some).map_err(|error| {
        lost(error.to_string()).hint("make room on the data partition, and give the same command again")
    })
}
