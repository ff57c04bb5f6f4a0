use sealpack_host::check::check;
use sealpack_host::image::ImageFiles;
use sealpack_node::policy::executables::Assumption;
use sealpack_node::policy::{PolicyError, check as check_policy};
use sealpack_trust::policy::Version;
use sealpack_trust::policy::profile::{AllowedDevices, Profile, Recipe};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::count;
use crate::show;

/// What the policy is called that the image is judged by.
const POLICY: &str = "host";

/// Judge whether an image has what a sealed host's has to have.
///
/// Each requirement of docs/sealed-hosts.md is looked at, and named with the file that does not meet it and what to do
/// about that; and each file that can be executed or loaded is judged by the policy of hosts, as if the image were sealed.
/// Exit status 3: a host of this image would not come up, or would not be what it should be.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host check host:1
  sealpack host check --json host:1 | jq -r '.findings[] | select(.breaks) | .path'")]
pub(crate) struct Check {
    /// The image: a name or a digest.
    image: String,
}

impl Check {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let findings = check(&ImageFiles::open(&store, &record)?)?;
        let recipe = Recipe {
            profile: Profile::Host,
            name: POLICY.parse().expect("it is a name"),
            version: Version::default(),
            devices: AllowedDevices::Signed,
            files: Vec::new(),
            revoked: Vec::new(),
        };
        let policy = recipe.policy().map_err(PolicyError::from)?;
        let decisions = check_policy(&policy, &store, &record, Some(Assumption::Sealed))?;
        show::host_check::judged(context.output, &record, &findings, &policy, &decisions)?;
        let broken = findings.iter().filter(|finding| finding.fault.as_ref().is_some_and(|it| it.breaks));
        match broken.count() as u64 {
            0 if decisions.denied() == 0 => Ok(()),
            0 => Err(CommandError::refused(format_args!(
                "{} of {} would be denied on the host",
                count(decisions.denied() as u64, "file"),
                record.name
            ))),
            broken => Err(CommandError::refused(format_args!(
                "{} is no image of a sealed host: {} in it",
                record.name,
                count(broken, "fault")
            ))),
        }
    }
}
