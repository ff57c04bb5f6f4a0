use std::collections::HashSet;
use std::path::PathBuf;

use sealpack_format::digest::RootHash;
use sealpack_format::tree::{Content, Kind};
use sealpack_store::Store;
use sealpack_trust::policy::profile::{AllowedFile, Profile, Recipe, RecipeError};
use sealpack_trust::policy::{PolicyName, Version};
use serde_json::json;

use super::source;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::executables::{StoredObjects, candidates};
use crate::output::count;
use sealpack_node::new_files::{self, NewFile};

/// Write a policy.
///
/// Profiles: `early`, for the initramfs, allows executing from it and from signed devices; `final`, for the
/// running system, from signed devices only; `strict` as final, with kernel modules, firmware and
/// what kexec loads from signed devices only too. Everything else is allowed.
#[derive(Debug, clap::Args)]
// `--version` is the policy's here, not the program's.
#[command(disable_version_flag = true)]
#[command(after_help = "Examples:
  sealpack policy new final -o sealed.policy
  sealpack policy new strict --version 1.0.0 --revoke … -o sealed.policy
  sealpack policy new final --no-signed-devices --digests debian:12 --except /usr/share -o a.policy")]
pub(crate) struct New {
    /// early, final or strict.
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
    /// Do not allow what is on signed devices, only what else is said.
    #[arg(long)]
    no_signed_devices: bool,
    /// Where the policy goes [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, requires = "output")]
    force: bool,
}

impl New {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let recipe = Recipe {
            profile: self.profile,
            files: self.files(context)?,
            name: self.name,
            version: self.version,
            signed_devices: !self.no_signed_devices,
            revoked: revoked(context, self.revoke)?,
        };
        let text = recipe.text().map_err(explained)?;
        let policy = recipe.policy().map_err(explained)?;
        source::remark(context.output, &policy.remarks());
        if let Some(path) = &self.output {
            new_files::write_all(&[NewFile { path, bytes: &text, mode: 0o644 }], self.force)?;
        }
        let value = json!({
            "name": policy.name().to_string(),
            "version": policy.version().to_string(),
            "profile": self.profile.name(),
            "rules": policy.rules().len(),
            "file": self.output,
            "text": String::from_utf8_lossy(&text),
        });
        context.output.result(&value, || match &self.output {
            Some(path) => format!(
                "{}: policy {} version {}, {}",
                path.display(),
                policy.name(),
                policy.version(),
                count(policy.rules().len() as u64, "rule")
            ),
            None => String::from_utf8_lossy(&text).into_owned(),
        })
    }

    fn files(&self, context: &Context) -> Result<Vec<AllowedFile>, CommandError> {
        if self.digests.is_empty() {
            return Ok(Vec::new());
        }
        let (_lock, store) = context.open_for_reading()?;
        let mut files = Vec::new();
        for image in &self.digests {
            self.add_image(context, &store, image, &mut files)?;
        }
        // Images share files; the first to have one names it.
        let mut seen = HashSet::new();
        files.retain(|file: &AllowedFile| seen.insert((file.operation, file.digest)));
        Ok(files)
    }

    fn add_image(
        &self,
        context: &Context,
        store: &Store,
        image: &str,
        files: &mut Vec<AllowedFile>,
    ) -> CommandResult {
        let record = context.find_whole(store, image)?;
        let tree = store.tree(&record)?;
        let objects = StoredObjects::open(store, &record)?;
        let mut inline = 0;
        for file in candidates(&tree, &objects)? {
            let is_below = |top: &String| is_at_or_below(&file.path, top.as_bytes());
            if self.except.iter().any(is_below) || !(self.only.is_empty() || self.only.iter().any(is_below)) {
                continue;
            }
            match &tree.inode(file.inode).kind {
                Kind::Regular(Content::Object { id, .. }) => {
                    let (operation, digest, path) = (file.operation, *id, file.path.into());
                    files.push(AllowedFile { operation, digest, path });
                }
                Kind::Regular(Content::Inline(bytes)) if !bytes.is_empty() => inline += 1,
                _ => {}
            }
        }
        if inline > 0 {
            context.output.remark(&format!(
                "note: {} of {image} have at most 64 bytes and are inside its metadata image, where no digest allows \
                 them: they will not be executed; `sealpack policy check` lists them",
                count(inline, "executable file")
            ));
        }
        Ok(())
    }
}

/// The root hashes given and those revoked in the trust store, each once.
fn revoked(context: &Context, given: Vec<RootHash>) -> Result<Vec<RootHash>, CommandError> {
    let revocations = context.trust_store().revocations()?;
    let mut seen = HashSet::new();
    let all = given.into_iter().chain(revocations.root_hashes.iter().map(|revoked| revoked.root_hash));
    Ok(all.filter(|root_hash| seen.insert(*root_hash)).collect())
}

/// Whether `path` is `top` or in it.
fn is_at_or_below(path: &[u8], top: &[u8]) -> bool {
    let end = top.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let top = top.get(..end).unwrap_or_default();
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn explained(error: RecipeError) -> CommandError {
    let hint = match &error {
        RecipeError::AllowsNothing => "leave out --no-signed-devices, or name images with --digests",
        RecipeError::TooLong { .. } => {
            "take what is needed with --only, leave the rest out with --except (such as /usr/lib/x86_64-linux-gnu/gconv), \
             or seal the images into packs: one rule allows them all"
        }
    };
    CommandError::failed(&error).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::is_at_or_below;

    #[test]
    fn exceptions_are_whole_names() {
        for (path, top, expected) in [
            ("/usr/lib/a", "/usr/lib", true),
            ("/usr/lib/a", "/usr/lib//", true),
            ("/usr/lib", "/usr/lib", true),
            ("/usr/lib64/a", "/usr/lib", false),
            ("/usr", "/usr/lib", false),
            ("/usr", "/", true),
        ] {
            assert_eq!(is_at_or_below(path.as_bytes(), top.as_bytes()), expected, "{path} {top}");
        }
    }
}
