use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sealpack_gate::usable;
use sealpack_kernel::Kernel;
use sealpack_mount::{Level, Writable};
use sealpack_node::new_files::{NewFile, write_all};
use sealpack_node::{mounting, revoked};

use crate::args::ContainerArgs;
use crate::container::{ContainerImage, add_files};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::journal;
use crate::show;

/// Write what container runtimes take: a directory with an image mounted and a config.json.
///
/// DIR gets a directory `rootfs`, with the image mounted on it as `sealpack mount` does it, and a `config.json` with what
/// the image's config says: entrypoint, command, variables, user and groups, directory, volumes, stop signal, labels; with
/// the usual capabilities, namespaces and mounts, and the system calls of containers-common's profile. `crun run --bundle
/// DIR NAME` runs it, as any other runtime does. `sealpack umount DIR/rootfs` takes the image away again; the rest is the
/// user's to remove.
///
/// The mount is read-only unless --upper and --work are given; /run, /tmp, /var/tmp and the image's volumes are in memory
/// then.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack bundle debian:12 /srv/shell -- ls -l /
  sealpack bundle debian:12 /srv/shell --upper /srv/upper --work /srv/work -t
  sealpack bundle registry.example.org/prod/app:1 /srv/app --require enforced --memory 512m
  sealpack bundle debian:12 /srv/shell --no-mount     # only config.json; the root is the user's to mount")]
pub(crate) struct Bundle {
    /// The image: a name or a digest.
    image: String,
    /// The directory: a new one, or an empty one.
    dir: PathBuf,
    /// The directory that takes changes; it may have some already.
    #[arg(long, value_name = "DIR", requires = "work")]
    upper: Option<PathBuf>,
    /// An empty directory on the filesystem of --upper.
    #[arg(long, value_name = "DIR", requires = "upper")]
    work: Option<PathBuf>,
    /// Do not mount the image: `rootfs` stays an empty directory.
    #[arg(long, conflicts_with_all = ["upper", "require"])]
    no_mount: bool,
    /// Refuse any mount that is less: plain, verified, signed or enforced.
    #[arg(long, value_name = "LEVEL", default_value = "plain")]
    require: Level,
    #[command(flatten)]
    container: ContainerArgs,
}

/// The directory that the image is mounted on, below that of the bundle.
const ROOT: &str = "rootfs";

impl Bundle {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let (trust, mut remarks) = (context.trust_store(), context.output.gate_remarks());
        usable::check(&store, &record, self.require >= Level::Signed, &trust, &mut remarks)?;
        revoked::check(&store, &record, &trust.revocations_so_far()?)?;
        let image = ContainerImage::read(&store, &record)?;
        let writable = Writable::new(self.upper, self.work).map_err(CommandError::usage)?;
        let read_only = writable.is_none();
        let mut wishes = self.container.wishes(ROOT, read_only)?;
        if self.container.has_host_network() {
            add_files(&mut wishes, read_only.then(|| image.tree()));
        }
        let spec = image.plan(&wishes, self.container.seccomp())?;
        image.check_command(&spec).map_err(CommandError::exit_as_its_kind)?;
        if read_only && !self.no_mount {
            check_places(&image.missing_places(&spec))?;
        }
        let made = Made::directories(&self.dir)?;
        let achieved = match self.no_mount {
            true => None,
            false => {
                let options = mounting::Options {
                    writable,
                    read_only,
                    ..mounting::Options::read_only(self.dir.join(ROOT), self.require)
                };
                let achieved = mounting::mount(&store, &record, options)?;
                journal::mounted(&record, &achieved);
                Some(achieved)
            }
        };
        let config = self.dir.join("config.json");
        write(&config, spec.to_json().as_bytes()).inspect_err(|_| {
            if let Some(achieved) = &achieved {
                // What it could not be unmounted for is told by the directory that stays.
                _ = sealpack_mount::unmount(&Kernel::default(), &achieved.target, false);
            }
        })?;
        made.keep();
        show::mounted::bundled(context.output, &config, achieved.as_ref())
    }
}

/// A runtime could not make them.
fn check_places(missing: &[String]) -> CommandResult {
    let Some(first) = missing.first() else { return Ok(()) };
    Err(CommandError::failed(format_args!(
        "the image has no {first}, on which something is to be mounted or where the command is to start, and it is mounted \
         read-only"
    ))
    .hint("--upper and --work have the runtime make what is missing"))
}

/// config.json tells variables, which may be secrets: it is root's alone.
fn write(path: &Path, bytes: &[u8]) -> CommandResult {
    Ok(write_all(&[NewFile { path, bytes, mode: 0o600 }], false)?)
}

/// Directories that were made, and go again unless they are kept.
struct Made(Vec<PathBuf>);

impl Made {
    /// That of the bundle, which may be there if it is empty, and the one for the mount.
    fn directories(dir: &Path) -> Result<Self, CommandError> {
        let failed = |path: &Path, error: std::io::Error| {
            CommandError::failed(format_args!("{}: {error}", path.display()))
        };
        let mut made = Self(Vec::new());
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => made.0.push(dir.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let mut entries = fs::read_dir(dir).map_err(|error| failed(dir, error))?;
                if entries.next().is_some() {
                    return Err(CommandError::failed(format_args!("{} is not empty", dir.display()))
                        .hint("give a new directory, or an empty one"));
                }
            }
            Err(error) => return Err(failed(dir, error)),
        }
        let root = dir.join(ROOT);
        DirBuilder::new().mode(0o755).create(&root).map_err(|error| failed(&root, error))?;
        made.0.push(root);
        Ok(made)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // One that is in use, or has something in it by now, stays.
            _ = fs::remove_dir(path);
        }
    }
}
