use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use sealpack_bundle::Spec;
use sealpack_format::tree::Tree;
use sealpack_gate::pull::{Wanted, pull};
use sealpack_gate::{Demand, usable};
use sealpack_kernel::Kernel;
use sealpack_kernel::mount::MountAttributes;
use sealpack_mount::{Level, Writable};
use sealpack_node::{mounting, revoked};
use sealpack_oci::environment::Environment;
use sealpack_oci::source::Source;
use sealpack_store::{ImageRecord, Store};

use crate::args::{ContainerArgs, RegistryArgs};
use crate::container::place::{self, Place};
use crate::container::{ContainerImage, Manner, Stopping, add_files, run, runtime};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::hint::TakesOlder;
use crate::journal;
use crate::progress;

/// The status with which engines say that there is no container to have a status.
const NO_CONTAINER: u8 = 125;

/// Run a container of an image.
///
/// The container is made by an installed runtime, crun or runc, of the image as `sealpack mount` mounts it: with its
/// entrypoint, command, variables, user and groups, directory, volumes, stop signal and labels, the usual capabilities, and
/// the system calls of containers-common's profile. It is gone with the command, and all that it changed; if the command
/// is killed, the next one that runs a container, or `sealpack gc`, ends it and removes what is left.
///
/// Sealed images are read-only, with /run, /tmp, /var/tmp and the image's volumes in memory; others can be written to.
///
/// Signals are passed on to the container; SIGTERM as the stop signal of the image, and who does not heed that within
/// --stop-timeout, or a third Ctrl-C, is killed.
///
/// The exit status is that of what ran, 128 more than the signal that ended it; 125 where there was no container, 126
/// where its program cannot be executed, 127 where there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack run debian:12 -- cat /etc/os-release
  sealpack run -ti debian:12 -- bash
  sealpack run --pull --require enforced registry.example.org/prod/app:1
  sealpack run -v ./site:/srv/www:ro --network host --memory 512m registry.example.org/web:1
  sealpack run -i debian:12 -- sh -s < script.sh")]
pub(crate) struct Run {
    /// The image: a name or a digest in the store; with --pull, a source as of `sealpack pull`.
    image: String,
    /// Pull the image first, by the rules of the trust store.
    #[arg(long)]
    pull: bool,
    /// Give the container what comes in on standard input.
    #[arg(short, long)]
    interactive: bool,
    /// Let nothing be written to the container's root directory [default for sealed images].
    #[arg(long, conflicts_with = "writable")]
    read_only: bool,
    /// Let it be written to, on the store's disk or in memory; it is gone with the container [default for images that are
    /// not sealed: disk].
    #[arg(long, value_name = "WHERE", num_args = 0..=1, require_equals = true, default_missing_value = "disk")]
    writable: Option<Where>,
    /// Refuse any mount that is less: plain, verified, signed or enforced.
    #[arg(long, value_name = "LEVEL", default_value = "plain")]
    require: Level,
    /// The runtime, by name or path [default: crun, else runc].
    #[arg(long, value_name = "PROGRAM")]
    runtime: Option<PathBuf>,
    /// How many seconds the container has from the stop signal to its end.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    stop_timeout: u32,
    #[command(flatten)]
    container: ContainerArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Where changes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Where {
    Disk,
    Memory,
}

/// What a container is made of, once the store need not be looked at any more.
struct Ready {
    kernel: Kernel,
    place: Place,
    spec: Spec,
    manner: Manner,
    changes: Option<Where>,
}

impl Run {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.status(context).map_err(|error| error.or_exit_as(NO_CONTAINER))? {
            0 => Ok(()),
            status => std::process::exit(status.into()),
        }
    }

    fn status(&self, context: &Context) -> Result<u8, CommandError> {
        if !rustix::process::geteuid().is_root() {
            return Err(CommandError::failed("containers are run by root only")
                .hint("`sealpack bundle --no-mount` writes what a runtime of one's own takes"));
        }
        swept(context);
        let ready = self.ready(context)?;
        let ran = run(&ready.kernel, &ready.place, &ready.spec, ready.manner);
        let removed = ready.remove();
        let ended = ran?;
        removed?;
        Ok(ended.status())
    }

    /// Everything up to a mounted image. The store is locked meanwhile; afterwards the mount tells that it is in use.
    fn ready(&self, context: &Context) -> Result<Ready, CommandError> {
        let name = if self.pull { Some(self.bring(context)?) } else { None };
        let kernel = Kernel::default();
        let runtime = runtime::choose(&kernel, self.runtime.as_deref())?;
        context.output.detail(|| format!("runtime {runtime}, {}", runtime.path.display()));
        let (_lock, store) = context.open_for_reading()?;
        let record =
            context.find(&store, name.as_deref().unwrap_or(&self.image)).map_err(|error| {
                match self.pull {
                    true => error,
                    false => error.also_hint("--pull brings it first"),
                }
            })?;
        let (trust, mut remarks) = (context.trust_store(), context.output.gate_remarks());
        usable::check(&store, &record, self.require >= Level::Signed, &trust, &mut remarks)?;
        revoked::check(&store, &record, &trust.revocations_so_far()?)?;
        let image = ContainerImage::read(&store, &record)?;
        let is_sealed = store.read_seal(&record)?.is_some();
        let (read_only, changes) = match (self.read_only, self.writable) {
            (true, _) => (true, None),
            (false, None) => (is_sealed, (!is_sealed).then_some(Where::Disk)),
            (false, writable) => (false, writable),
        };
        let mut wishes = self.container.wishes("rootfs", read_only)?;
        if self.container.has_host_network() {
            add_files(&mut wishes, None);
        }
        let mut spec = image.plan(&wishes, self.container.seccomp())?;
        image.check_command(&spec)?;
        // A runtime cannot make the places for its mounts on what is read-only, but on what it makes so itself.
        let missing = image.missing_places(&spec);
        let changes = changes.or_else(|| (!missing.is_empty()).then_some(Where::Memory));
        if read_only && !missing.is_empty() {
            context.output.detail(|| format!("the image lacks {}: made in memory", missing.join(", ")));
        }
        let containers = store.containers_path();
        let place =
            Place::new(&runtime.path, (changes == Some(Where::Disk)).then_some(containers.as_path()))?;
        name_it(&mut spec, place.id());
        let stopping =
            Stopping { signal: image.stop_signal(), patience: Duration::from_secs(self.stop_timeout.into()) };
        let manner =
            Manner { has_input: self.interactive, has_terminal: self.container.has_terminal(), stopping };
        let ready = Ready { kernel, place, spec, manner, changes };
        let mounted = ready.kernel.keep_mounts_private().map_err(CommandError::failed);
        let mounted = mounted.and_then(|()| runtime::hide_second_cgroups(&ready.kernel, &runtime));
        match mounted.and_then(|()| ready.mount(&store, &record, image.tree(), self.require, context)) {
            Ok(()) => Ok(ready),
            Err(error) => {
                // What cannot be removed is for the next sweep.
                _ = ready.remove();
                Err(error)
            }
        }
    }

    /// Pulls the image; its name in the store.
    fn bring(&self, context: &Context) -> Result<String, CommandError> {
        let source: Source = self.image.parse().map_err(CommandError::usage)?;
        let client = self.registry.client_options(&source, context.output);
        let environment = Environment::of_process(std::env::var_os);
        let demand = Demand { sealed: self.require >= Level::Signed, allow_rollback: false };
        let (place, trust) = (context.place()?, context.trust_store());
        let observer = progress::observer(context.output);
        let mut remarks = context.output.gate_remarks();
        let wanted = Wanted::new(source, demand);
        let way = (&client, &environment);
        let admitted = pull(&wanted, &place, &trust, way, observer.as_ref(), &mut remarks)
            .map_err(|error| CommandError::from(error).of_what_takes_older(TakesOlder::ByPull))?;
        Ok(admitted.pulled().record.name.clone())
    }
}

/// Removes what others left whose command was killed, which is no reason not to go on.
pub(crate) fn swept(context: &Context) {
    match place::sweep() {
        Ok((swept, errors)) => {
            for id in swept {
                context.output.detail(|| format!("removed what was left of container {id}"));
            }
            errors.iter().for_each(|error| context.output.remark(&format!("warning: {}", error.message())));
        }
        Err(error) => context.output.remark(&format!("warning: {}", error.message())),
    }
}

/// What the container is called by itself, and by the kernel.
fn name_it(spec: &mut Spec, id: &str) {
    spec.hostname = Some(id.to_owned());
    if !spec.process.env.iter().any(|variable| variable.starts_with("HOSTNAME=")) {
        spec.process.env.push(format!("HOSTNAME={id}"));
    }
    spec.linux.cgroups_path = Some(place::cgroup_of(id));
}

impl Ready {
    /// Mounts the image where nobody else sees it, with what takes changes.
    fn mount(
        &self,
        store: &Store,
        record: &ImageRecord,
        tree: &Tree,
        required: Level,
        context: &Context,
    ) -> CommandResult {
        let root = self.place.at("rootfs");
        fs::create_dir(&root).map_err(|error| failed(&root, error))?;
        let writable = self.changes.map(|changes| self.make_changes(changes, tree)).transpose()?;
        let options = mounting::Options {
            read_only: writable.is_none(),
            writable,
            ..mounting::Options::read_only(root, required)
        };
        let achieved = mounting::mount(store, record, options)?;
        journal::mounted(record, &achieved);
        context.output.detail(|| format!("container {}: {}", self.place.id(), achieved.assurance));
        Ok(())
    }

    /// An upper and a work directory, the upper with the mode and owner of the image's root directory, which it hides.
    fn make_changes(&self, changes: Where, tree: &Tree) -> Result<Writable, CommandError> {
        let directory = match (changes, self.place.changes()) {
            (Where::Disk, Some(directory)) => directory.to_owned(),
            _ => self.place.at("changes"),
        };
        make_private(&directory)?;
        if changes == Where::Memory {
            mount_memory(&self.kernel, &directory)?;
        }
        let (upper, work) = (directory.join("upper"), directory.join("work"));
        for path in [&upper, &work] {
            fs::create_dir(path).map_err(|error| failed(path, error))?;
        }
        let metadata = &tree.root().metadata;
        let mode = fs::Permissions::from_mode(metadata.permissions.into());
        chown(&upper, Some(metadata.uid), Some(metadata.gid))
            .and_then(|()| fs::set_permissions(&upper, mode))
            .map_err(|error| failed(&upper, error))?;
        Ok(Writable { upper, work })
    }

    /// Removes the container and all that was for it.
    fn remove(self) -> CommandResult {
        for path in [self.place.at("rootfs"), self.place.at("changes")] {
            // Where nothing is mounted there is nothing to take away; what stays goes with this process.
            _ = self.kernel.unmount(&path, true);
        }
        let removed = self.place.remove();
        _ = sealpack_mount::remove_leftovers(&self.kernel);
        removed
    }
}

/// Makes a directory for root alone, and those above it.
fn make_private(path: &Path) -> CommandResult {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(path);
    made.map_err(|error| failed(path, error))
}

/// Mounts a filesystem in memory.
fn mount_memory(kernel: &Kernel, path: &Path) -> CommandResult {
    let attributes = MountAttributes { read_only: false, nosuid: true, nodev: true, noexec: false };
    let mount = || -> Result<_, sealpack_kernel::Error> {
        let context = kernel.fsopen("tmpfs")?;
        context.set_string("mode", "0700")?;
        context.create()?;
        context.mount(attributes)
    };
    let mounted = mount().map_err(|error| failed(path, error))?;
    let target = fs::File::open(path).map_err(|error| failed(path, error))?;
    kernel.attach(&mounted, &target).map_err(|error| failed(path, error))
}

fn failed(path: &Path, why: impl std::fmt::Display) -> CommandError {
    CommandError::failed(format_args!("{}: {why}", path.display()))
}
