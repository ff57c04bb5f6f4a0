use std::path::PathBuf;

use sealpack_format::digest::RootHash;
use sealpack_node::new_files::{self, NewFile};
use sealpack_node::policy::{AllowedFiles, Choice, PolicyError, devices_of, revoked};
use sealpack_node::trust_store::TrustStoreError;
use sealpack_trust::anchors::Revocations;
use sealpack_trust::policy::profile::{AllowedDevices, AllowedFile, Profile, Recipe};
use sealpack_trust::policy::{PolicyName, Version};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Write a policy.
///
/// Profiles: `early`, for the initramfs, allows executing from it and from signed devices; `final`, for the
/// running system, from signed devices only; `strict` as final, with kernel modules, firmware and
/// what kexec loads from signed devices only too; `host` for a machine that is booted from a sealed image: as strict,
/// with IMA's policies and certificates from signed devices only too, and nothing for kexec. Everything else is allowed.
#[derive(Debug, clap::Args)]
// `--version` is the policy's here, not the program's.
#[command(disable_version_flag = true)]
#[command(after_help = "Examples:
  sealpack policy new final -o sealed.policy
  sealpack policy new strict --version 1.0.0 --revoke … -o sealed.policy
  sealpack policy new host --image site/host:3 -o host.policy
  sealpack policy new final --no-signed-devices --digests debian:12 --except /usr/share -o a.policy")]
pub(crate) struct New {
    /// early, final, strict or host.
    profile: Profile,
    /// The policy's name: the kernel knows it by this, over all its versions.
    #[arg(long, default_value = "sealed")]
    name: PolicyName,
    /// The policy's version. The kernel never goes back to a lower one.
    #[arg(long, value_name = "A.B.C", default_value = "0.0.1")]
    version: Version,
    /// Allow everything executable in these images by its fs-verity digest. For images whose objects are
    /// files; the kernel takes about 575 digests.
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    digests: Vec<String>,
    /// With --digests: take only what is at or below this path.
    #[arg(long, value_name = "PATH", requires = "digests")]
    only: Vec<String>,
    /// With --digests: leave out what is at or below this path.
    #[arg(long, value_name = "PATH", requires = "digests")]
    except: Vec<String>,
    /// Deny everything on the dm-verity device with this root hash, signed or not; besides those that are revoked in
    /// the trust store, which are always denied.
    #[arg(long, value_name = "ROOT-HASH")]
    revoke: Vec<RootHash>,
    /// Allow what is on the signed devices of these images only, by their root hashes, and not what else is signed. For
    /// images in packs.
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    image: Vec<String>,
    /// Do not allow what is on signed devices, only what else is said.
    #[arg(long, conflicts_with = "image")]
    no_signed_devices: bool,
    /// Where the policy goes [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, requires = "output")]
    force: bool,
}

/// What the trust store has revoked. Where only a variable says where that is, it need not be made for policies.
fn revocations(context: &Context) -> Result<Revocations, CommandError> {
    let trust = context.trust_store();
    match trust.revocations() {
        Err(error @ TrustStoreError::Missing { .. }) if context.trust_by_variable => {
            context.output.remark(&format!("warning: {error}: what is revoked is not denied"));
            Ok(Revocations::default())
        }
        revocations => Ok(revocations?),
    }
}

impl New {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let recipe = Recipe {
            profile: self.profile,
            files: self.files(context)?,
            devices: self.devices(context)?,
            name: self.name,
            version: self.version,
            revoked: revoked(&revocations(context)?, self.revoke),
        };
        let text = recipe.text().map_err(PolicyError::from)?;
        let policy = recipe.policy().map_err(PolicyError::from)?;
        show::policy::remarks(context.output, &policy.remarks());
        if let Some(path) = &self.output {
            new_files::write_all(&[NewFile { path, bytes: &text, mode: 0o644 }], self.force)?;
        }
        show::policy::made(context.output, self.profile, &policy, &text, self.output.as_deref())
    }

    fn devices(&self, context: &Context) -> Result<AllowedDevices, CommandError> {
        if self.image.is_empty() {
            return Ok(if self.no_signed_devices { AllowedDevices::None } else { AllowedDevices::Signed });
        }
        let (_lock, store) = context.open_for_reading()?;
        let mut devices = Vec::new();
        for image in &self.image {
            let record = context.find_whole(&store, image)?;
            devices.extend(devices_of(&store, &record, image, &mut context.output.remarks())?);
        }
        Ok(AllowedDevices::These(devices))
    }

    fn files(&self, context: &Context) -> Result<Vec<AllowedFile>, CommandError> {
        if self.digests.is_empty() {
            return Ok(Vec::new());
        }
        let (_lock, store) = context.open_for_reading()?;
        let mut files = AllowedFiles::new(Choice { only: &self.only, except: &self.except });
        for image in &self.digests {
            let record = context.find_whole(&store, image)?;
            files.add_image(&store, &record, image, &mut context.output.remarks())?;
        }
        Ok(files.into_files())
    }
}
