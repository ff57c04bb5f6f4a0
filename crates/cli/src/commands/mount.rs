use std::path::PathBuf;

use sealpack_mount::{Level, Writable};
use sealpack_node::mounting::{self, MountingError};
use sealpack_node::revoked;
use sealpack_store::{ImageRecord, ObjectForm, Store};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::journal;
use crate::show;

/// Mount an image on a directory.
///
/// The mount is read-only unless --upper and --work are given. The output says what was
/// achieved, and why not more: `plain` (nothing is checked), `verified` (all bytes are checked when
/// they are read), `signed` (besides, the kernel accepted the signatures of all of it) or `enforced`
/// (besides, the kernel executes nothing that its policy does not allow).
///
/// Device files in the image have no effect, and set-user-ID bits none unless the mount is signed and
/// has no --upper.
///
/// Whoever may not make devices, as ordinary users or anybody on a sealed host, has the broker make
/// them, where one runs; sealed images only. Users mount in a namespace of their own, for example in
/// the shell that `unshare --map-root-user --mount` starts, and read-only.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack mount debian:12 /mnt
  sealpack mount debian:12 /mnt --upper /var/tmp/upper --work /var/tmp/work
  sealpack mount debian:12 /mnt --require enforced
  sealpack mount debian:12 /mnt --plan     # only show the system calls")]
pub(crate) struct Mount {
    /// The image: a name or a digest.
    image: String,
    /// The directory to mount on.
    target: PathBuf,
    /// The directory that takes changes; it may have some already.
    #[arg(long, value_name = "DIR", requires = "work")]
    upper: Option<PathBuf>,
    /// An empty directory on the filesystem of --upper.
    #[arg(long, value_name = "DIR", requires = "upper")]
    work: Option<PathBuf>,
    /// Mount read-only even with --upper.
    #[arg(long, requires = "upper")]
    read_only: bool,
    /// Let nothing be executed from the mount.
    #[arg(long)]
    noexec: bool,
    /// Let set-user-ID bits have no effect, even in a signed image.
    #[arg(long)]
    nosuid: bool,
    /// Refuse anything less: plain, verified, signed or enforced.
    #[arg(long, value_name = "LEVEL", default_value = "plain")]
    require: Level,
    /// Try for no more: plain, verified, signed or enforced.
    #[arg(long, value_name = "LEVEL", default_value = "enforced")]
    at_most: Level,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    plan: bool,
}

impl Mount {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let required = self.require;
        let advised = |error: MountingError| match error.is_of_level() {
            true => CommandError::from(error).hint(advice(&store, &record, required)),
            false => error.into(),
        };
        let options = mounting::Options {
            writable: Writable::new(self.upper, self.work).map_err(CommandError::usage)?,
            target: self.target,
            read_only: self.read_only,
            noexec: self.noexec,
            nosuid: self.nosuid,
            required: self.require,
            at_most: self.at_most,
            look_for_objects: true,
        };
        revoked::check(&store, &record, &context.trust_store().revocations_so_far()?)?;
        let plan = mounting::plan(&store, &record, options).map_err(advised)?;
        if self.plan {
            return show::mounted::plan(context.output, &plan);
        }
        let achieved = mounting::apply(&store, &record, &plan).map_err(advised)?;
        journal::mounted(&record, &achieved);
        show::mounted::mounted(context.output, &achieved)
    }
}

/// What to do where a level is required that image or machine do not reach.
fn advice(store: &Store, record: &ImageRecord, required: Level) -> &'static str {
    let is_sealed = !matches!(store.read_seal(record), Ok(None));
    match record.objects {
        ObjectForm::Files if required >= Level::Signed => {
            "signatures are of packs: `sealpack seal` puts the image into packs and signs them"
        }
        ObjectForm::Packs if required >= Level::Signed && !is_sealed => "`sealpack seal` the image first",
        ObjectForm::Files | ObjectForm::Packs => "`sealpack doctor` says what this machine lacks",
    }
}
