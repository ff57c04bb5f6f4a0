//! An image, as a container is made of it.

use std::path::Path;

use sealpack_bundle::accounts::{self, Accounts};
use sealpack_bundle::seccomp::{Machine, PROFILE_MAX_BYTES, Profile};
use sealpack_bundle::{
    Executable, ImageConfig, Spec, Wishes, check_places, find_command, keep_owners, missing_places, plan,
};
use sealpack_format::tree::{Content, Kind, Tree};
use sealpack_format::walk;
use sealpack_kernel::probe::System;
use sealpack_oci::platform::Platform;
use sealpack_store::{ImageRecord, Store};

use crate::args::SeccompFile;
use crate::error::CommandError;

/// Where engines have the profile of system calls: what the machine's administrator made of it, and the distribution's.
const PROFILES: [&str; 2] = ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"];

/// What is read of an image.
pub(crate) struct ContainerImage {
    config: ImageConfig,
    accounts: Accounts,
    tree: Tree,
}

impl ContainerImage {
    /// Reads it from the store; each file's content is hashed first. Links are followed inside the image.
    pub(crate) fn read(store: &Store, record: &ImageRecord) -> Result<Self, CommandError> {
        let about = |error: CommandError| error.about(&record.name);
        let config = ImageConfig::parse(&store.blob(&record.config)?);
        let config = config.map_err(|error| about(CommandError::failed(error)))?;
        let tree = store.tree(record)?;
        let file = |path: &str| file(store, record, &tree, path);
        let accounts = Accounts::parse(&file("/etc/passwd")?, &file("/etc/group")?);
        Ok(Self { config, accounts, tree })
    }

    /// What a runtime is to be told.
    pub(crate) fn plan(&self, wishes: &Wishes, seccomp: SeccompFile<'_>) -> Result<Spec, CommandError> {
        let profile = profile(seccomp)?;
        let machine = Machine {
            architecture: Platform::host().architecture().to_owned(),
            kernel: System::this().version().map_or((0, 0), |version| (version.major, version.minor)),
        };
        let filter = profile.as_ref().map(|profile| (profile, &machine));
        let mut spec = plan(&self.config, &self.accounts, wishes, filter).map_err(advised)?;
        check_places(&self.tree, &spec).map_err(CommandError::failed)?;
        keep_owners(&self.tree, &mut spec);
        Ok(spec)
    }

    /// The signal by which the image wants to be asked to end.
    pub(crate) fn stop_signal(&self) -> i32 {
        // A word that is none is an error of the plan's.
        sealpack_bundle::signals::parse(&self.config.config.stop_signal)
            .unwrap_or(sealpack_bundle::signals::TERMINATE)
    }

    /// What runtimes would have to make in the root directory.
    pub(crate) fn missing_places(&self, spec: &Spec) -> Vec<String> {
        missing_places(&self.tree, spec)
    }

    /// That there is what is to be started, with the exit status that shells and engines have for it where not.
    pub(crate) fn check_command(&self, spec: &Spec) -> Result<(), CommandError> {
        let program = spec.process.args.first().map(String::as_str).unwrap_or_default();
        match find_command(&self.tree, &spec.process, &spec.mounts) {
            Executable::At(_) | Executable::Unknown => Ok(()),
            Executable::NotExecutable(path) => Err(CommandError::failed(format_args!(
                "{program:?} cannot be executed: {path} in the image is no program"
            ))
            .exit_as(126)),
            Executable::Nowhere(places) => Err(CommandError::failed(format_args!(
                "the image has no program {program:?}: there is none at {}",
                places.join(", ")
            ))
            .exit_as(127)),
        }
    }

    /// The image's tree.
    pub(crate) const fn tree(&self) -> &Tree {
        &self.tree
    }
}

/// The content of a small file of the image; of one that is not there, or no file, nothing.
fn file(store: &Store, record: &ImageRecord, tree: &Tree, path: &str) -> Result<Vec<u8>, CommandError> {
    let Some(id) = walk::follow(tree, path.as_bytes()) else { return Ok(Vec::new()) };
    let Kind::Regular(content) = &tree.inode(id).kind else { return Ok(Vec::new()) };
    if content.size_bytes() > accounts::FILE_MAX_BYTES {
        return Err(CommandError::failed(format_args!(
            "{path} of {} has {} bytes, and more than {} are not read",
            record.name,
            content.size_bytes(),
            accounts::FILE_MAX_BYTES
        )));
    }
    match content {
        Content::Inline(bytes) => Ok(bytes.to_vec()),
        Content::Object { id, .. } => {
            let object = store.object_of_image(record, id)?.ok_or_else(|| {
                CommandError::failed(format_args!("the store has no object {id} ({path})"))
                    .hint("pull the image again")
            })?;
            let mut bytes = Vec::new();
            object
                .copy_to(&mut bytes)
                .map_err(|error| CommandError::failed(format_args!("{path}: {error}")))?;
            Ok(bytes)
        }
        Content::External { .. } => {
            Err(CommandError::failed(format_args!("{path} of {} is kept outside the store", record.name)))
        }
    }
}

/// The profile of system calls, `None` where there is to be none. That one is missing must not pass unnoticed.
fn profile(wanted: SeccompFile<'_>) -> Result<Option<Profile>, CommandError> {
    let path = match wanted {
        SeccompFile::Unconfined => return Ok(None),
        SeccompFile::At(path) => path,
        SeccompFile::Usual => {
            let is_there = |path: &&Path| path.exists();
            PROFILES.iter().map(Path::new).find(is_there).ok_or_else(|| {
                CommandError::failed(format_args!("there is no seccomp profile: neither {}", PROFILES.join(" nor ")))
                    .hint(
                        "the package golang-github-containers-common of Debian, containers-common of others, has one; \
                         --seccomp names another, or `unconfined`",
                    )
            })?
        }
    };
    let failed =
        |why: &dyn std::fmt::Display| CommandError::failed(format_args!("{}: {why}", path.display()));
    let length = path.metadata().map_err(|error| failed(&error))?.len();
    if length > PROFILE_MAX_BYTES {
        return Err(failed(&format_args!(
            "it has {length} bytes, and no profile has more than {PROFILE_MAX_BYTES}"
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    Profile::parse(&bytes).map(Some).map_err(|error| failed(&error))
}

/// What to do about a plan that cannot be made.
fn advised(error: sealpack_bundle::Error) -> CommandError {
    use sealpack_bundle::{AccountError, Error};
    let hint = match &error {
        Error::NoCommand => "give one behind --",
        Error::Account(AccountError::NoUser(_)) => {
            "a number need not be in the image; `sealpack cat IMAGE /etc/passwd` shows who is"
        }
        Error::Account(AccountError::NoGroup(_)) => {
            "a number need not be in the image; `sealpack cat IMAGE /etc/group` shows which are"
        }
        Error::MountedTwice(_) => {
            "a volume, a tmpfs and what the command itself mounts each need a place of their own"
        }
        _ => return CommandError::failed(error),
    };
    CommandError::failed(error).hint(hint)
}
