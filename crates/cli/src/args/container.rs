//! What is wanted of a container.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use sealpack_bundle::limits::{Cpus, Limits, Memory, Processes};
use sealpack_bundle::{Network, Tmpfs, Volume, Wishes};

use crate::error::CommandError;

/// Options of commands that make containers. Among them -v is a volume, as with all engines, and not --verbose.
#[derive(Debug)]
pub(crate) struct ContainerArgs(Options);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Container options")]
struct Options {
    /// Start this program instead of the image's entrypoint, and nothing of the image's command.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Set a variable; with a name alone to what it is here. May be given several times.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Run as this user, by name or number, as the image's /etc/passwd and /etc/group have them [default: the image's].
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Start in this directory of the container [default: the image's].
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Mount a directory or file of this machine's in the container. May be given several times.
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    volume: Vec<Volume>,
    /// Mount a filesystem in memory in the container; options are size=, mode=, uid=, gid=, nr_inodes=, exec, noexec and the
    /// like. May be given several times.
    #[arg(long, value_name = "TARGET[:OPTION,…]")]
    tmpfs: Vec<Tmpfs>,
    /// The container's network: none but its own loopback, or this machine's.
    #[arg(long, value_name = "NETWORK", default_value = "none")]
    network: NetworkArg,
    /// Limit the container's memory, as in 512m or 2g.
    #[arg(long, value_name = "SIZE")]
    memory: Option<Memory>,
    /// Limit the processors that it can use, as in 1.5.
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<Cpus>,
    /// Limit its processes and threads, or do not, with `unlimited` [default: 2048].
    #[arg(long, value_name = "NUMBER")]
    pids: Option<Processes>,
    /// Give it a capability besides the usual ones, as NET_ADMIN, or `all`. May be given several times.
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Take a capability from it, or `all`. May be given several times.
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// The profile of system calls that it may make, in the form of containers-common's, or `unconfined`
    /// [default: /etc/containers/seccomp.json, else /usr/share/containers/seccomp.json].
    #[arg(long, value_name = "FILE")]
    seccomp: Option<PathBuf>,
    /// Give it a terminal.
    #[arg(short, long)]
    tty: bool,
    /// What to start, with its arguments, instead of the image's command.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The global option whose letter is another one's here.
const VERBOSE: &str = "verbose";

impl clap::FromArgMatches for ContainerArgs {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        Options::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl clap::Args for ContainerArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        Options::augment_args(with_free_letter(command))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Options::augment_args_for_update(with_free_letter(command))
    }
}

/// Takes its letter from the global option, which verbs have before their own.
fn with_free_letter(command: clap::Command) -> clap::Command {
    let has_it = command.get_arguments().any(|argument| argument.get_id() == VERBOSE);
    match has_it {
        true => command.mut_arg(VERBOSE, |argument| argument.short(None)),
        false => command,
    }
}

/// The words of `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NetworkArg {
    None,
    Host,
}

/// Where the profile of system calls is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeccompFile<'a> {
    /// In one of the usual places.
    Usual,
    /// There.
    At(&'a Path),
    /// Nowhere: all calls go through.
    Unconfined,
}

impl ContainerArgs {
    /// Whether the container has a terminal.
    pub(crate) const fn has_terminal(&self) -> bool {
        self.0.tty
    }

    /// Whether it has this machine's network.
    pub(crate) fn has_host_network(&self) -> bool {
        self.0.network == NetworkArg::Host
    }

    /// Where the profile of system calls is.
    pub(crate) fn seccomp(&self) -> SeccompFile<'_> {
        match self.0.seccomp.as_deref() {
            None => SeccompFile::Usual,
            Some(path) if path == "unconfined" => SeccompFile::Unconfined,
            Some(path) => SeccompFile::At(path),
        }
    }

    /// What is wanted, with the root directory at `root`; the rest is the command's to say.
    ///
    /// # Errors
    /// A volume whose source is not there, a variable of ours that is no text.
    pub(crate) fn wishes(&self, root: &str, read_only: bool) -> Result<Wishes, CommandError> {
        Ok(Wishes {
            root: root.to_owned(),
            read_only,
            entrypoint: self.0.entrypoint.clone().map(|program| vec![program]),
            command: self.0.command.clone(),
            variables: self
                .0
                .env
                .iter()
                .filter_map(|variable| resolved(variable).transpose())
                .collect::<Result<_, _>>()?,
            user: self.0.user.clone(),
            directory: self.0.workdir.clone(),
            volumes: self.0.volume.iter().map(found).collect::<Result<_, _>>()?,
            tmpfs: self.0.tmpfs.clone(),
            network: match self.0.network {
                NetworkArg::None => Network::None,
                NetworkArg::Host => Network::Host,
            },
            limits: Limits {
                memory: self.0.memory,
                cpus: self.0.cpus,
                processes: self.0.pids.unwrap_or_default(),
            },
            add_capabilities: self.0.cap_add.clone(),
            drop_capabilities: self.0.cap_drop.clone(),
            terminal: self.0.tty,
            hostname: None,
            cgroup: None,
        })
    }
}

/// A variable with its value; `None` where it has none here, and so gets none there.
fn resolved(variable: &str) -> Result<Option<String>, CommandError> {
    if variable.contains('=') || variable.is_empty() {
        return Ok(Some(variable.to_owned()));
    }
    let Some(value) = std::env::var_os(variable) else { return Ok(None) };
    let value = value.into_string().map_err(|_| {
        CommandError::usage(format_args!("the value of {variable} is no text, and cannot be handed on"))
    })?;
    Ok(Some(format!("{variable}={value}")))
}

/// A volume whose source is there, by its whole path.
fn found(volume: &Volume) -> Result<Volume, CommandError> {
    let source = Path::new(&volume.source);
    let failed = |why: String| CommandError::failed(format_args!("volume {}: {why}", source.display()));
    let path = source.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed("there is no such file or directory".to_owned()),
        _ => failed(error.to_string()),
    })?;
    let is_file = !path.metadata().map_err(|error| failed(error.to_string()))?.is_dir();
    let source = path.into_os_string().into_string();
    let source = source.map_err(|_| failed("its path is no text, as runtimes want it".to_owned()))?;
    Ok(Volume { source, is_file, ..volume.clone() })
}
