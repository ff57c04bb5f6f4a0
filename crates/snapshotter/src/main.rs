//! `sealpack-snapshotter`: serves containerd.

mod log;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use sealpack_node::settings::Settings;
use sealpack_node::trust_store::TrustStore;
use sealpack_oci::credentials::CredentialStore;
use sealpack_oci::environment::Environment;
use sealpack_oci::registry::ClientOptions;
use sealpack_snapshotter::event::Event;
use sealpack_snapshotter::service::{self, Listener};
use sealpack_snapshotter::{Based, Rules, Snapshotter};
use sealpack_store::{Store, location};
use tokio::signal::unix::{SignalKind, signal};

use crate::log::Level;

/// How many threads move messages; what takes long is done by others.
const THREADS: usize = 2;

/// How many calls are worked on at once. More wait.
const CALLS_AT_ONCE: usize = 64;

/// Serve the images of a store to containerd, as a snapshotter and a differ.
///
/// containerd connects to the socket; docs/containerd.md has its configuration. One process serves one containerd.
#[derive(Debug, Parser)]
#[command(name = "sealpack-snapshotter", version, max_term_width = 100)]
struct Arguments {
    /// The settings of this machine [default: /etc/sealpack/sealpack.toml, which need not be there].
    #[arg(long, value_name = "FILE", env = "SEALPACK_CONFIG")]
    config: Option<PathBuf>,
    /// The socket to serve on, where the program is not started with one (systemd's socket activation)
    /// [default: /run/sealpack/snapshotter.sock].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The store, which is made if there is none [default: /var/lib/sealpack].
    #[arg(long, value_name = "DIR", env = "SEALPACK_STORE")]
    store: Option<PathBuf>,
    /// containerd's own socket, which layers are read from [default: /run/containerd/containerd.sock].
    #[arg(long, value_name = "SOCK")]
    containerd: Option<PathBuf>,
    /// A directory for mounts of images, which containers' are made on [default: /run/sealpack/m].
    #[arg(long, value_name = "DIR")]
    mounts: Option<PathBuf>,
    /// The trust store, whose rules say which images may be used [default: /etc/sealpack/trust.d].
    #[arg(long, value_name = "DIR", env = "SEALPACK_TRUST")]
    trust: Option<PathBuf>,
    /// Ask for seals with credentials from this file only.
    #[arg(long = "authfile", value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file too when seals are asked for.
    #[arg(long = "ca", value_name = "FILE")]
    ca_files: Vec<PathBuf>,
    /// Log every call.
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::say(Level::Error, &error.to_string(), &[]);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let wanted = Wanted::new(arguments, Settings::read(arguments.config.as_deref())?);
    let environment = Environment::of_process(std::env::var_os);
    // Images that need no seal are served without them, and they may come later.
    if let Err(error) = CredentialStore::new(&environment, &wanted.client.auth_files).check_given() {
        log::say(Level::Warning, &error.to_string(), &[]);
    }
    let store = Store::open_or_create(&wanted.store, None)?;
    let rules = Rules::new(wanted.trust, wanted.client, environment);
    let (snapshotter, notices) = Snapshotter::open(store, rules, &wanted.mounts)?;
    for notice in notices {
        log::say(Level::Warning, &notice.to_string(), &[]);
    }
    snapshotter.tell_of_mounts(|Based { image, path, assurance }| {
        let fields = [
            ("image", image.clone()),
            ("mounted", path.display().to_string()),
            ("assurance", assurance.to_string()),
        ];
        log::say(Level::Info, "mounted", &fields);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(CALLS_AT_ONCE)
        .enable_all()
        .build()?;
    let from = if arguments.verbose { Level::Debug } else { Level::Info };
    runtime.block_on(serve(&wanted.socket, wanted.containerd, snapshotter, from))?;
    // Threads that still work on something are not waited for: what they do is safe to be cut off anywhere.
    runtime.shutdown_background();
    Ok(())
}

/// What is used: what was said on the command line, else in the settings, else the usual.
struct Wanted {
    socket: PathBuf,
    store: PathBuf,
    containerd: PathBuf,
    mounts: PathBuf,
    trust: TrustStore,
    client: ClientOptions,
}

impl Wanted {
    fn new(arguments: &Arguments, settings: Settings) -> Self {
        let choose = |said: &Option<PathBuf>, set: Option<PathBuf>, usual: &str| {
            said.clone().or(set).unwrap_or_else(|| usual.into())
        };
        let Settings { store, trust, registry, snapshotter: set } = settings;
        let user = rustix::process::geteuid().as_raw();
        let ca_files = &arguments.ca_files;
        Self {
            socket: choose(&arguments.socket, set.socket, "/run/sealpack/snapshotter.sock"),
            store: choose(&arguments.store, store, location::SYSTEM),
            containerd: choose(&arguments.containerd, set.containerd, "/run/containerd/containerd.sock"),
            mounts: choose(&arguments.mounts, set.mounts, "/run/sealpack/m"),
            trust: TrustStore::new(arguments.trust.clone().or(trust), user, |name| std::env::var_os(name)),
            client: ClientOptions {
                auth_files: match &arguments.auth_file {
                    Some(file) => vec![file.clone()],
                    None => registry.auth_files,
                },
                credential_helpers: registry.helpers,
                ca_files: if ca_files.is_empty() { registry.ca_files } else { ca_files.clone() },
                ..ClientOptions::default()
            },
        }
    }
}

async fn serve(
    socket: &Path,
    containerd: PathBuf,
    snapshotter: Snapshotter,
    from: Level,
) -> Result<(), Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = match Listener::passed()? {
        Some(passed) => passed,
        None => Listener::bind(socket)?,
    };
    log::say(Level::Info, "serving", &[]);
    let stopped = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let snapshotter = Arc::new(snapshotter);
    service::serve(
        listener,
        snapshotter,
        containerd,
        Arc::new(move |event: &Event| log::event(from, event)),
        stopped,
    )
    .await?;
    log::say(Level::Info, "stopped", &[]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: &str = include_str!("../../../contrib/systemd/sealpack-snapshotter.socket");
    const SERVICE: &str = include_str!("../../../contrib/systemd/sealpack-snapshotter.service");

    fn settings(unit: &str) -> impl Iterator<Item = (&str, &str)> {
        unit.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='))
    }

    #[test]
    fn the_unit_has_no_mounts_of_its_own_and_leaves_containers_alone() {
        let of_mounts = [
            "Private",
            "Protect",
            "ReadOnly",
            "ReadWrite",
            "Inaccessible",
            "Bind",
            "Temporary",
            "Root",
            "Mount",
        ];
        let of_mounts =
            settings(SERVICE).find(|(key, _)| of_mounts.iter().any(|start| key.starts_with(start)));
        assert_eq!(of_mounts, None);
        assert!(settings(SERVICE).any(|it| it == ("KillMode", "process")));
        assert!(settings(SERVICE).any(|it| it == ("Before", "containerd.service")));
    }

    #[test]
    fn the_units_socket_is_the_usual_one() {
        let arguments = Arguments::parse_from(["sealpack-snapshotter"]);
        let usual = Wanted::new(&arguments, Settings::default()).socket;
        assert!(settings(SOCKET).any(|it| it == ("ListenStream", usual.to_str().unwrap())));
        assert!(settings(SOCKET).any(|it| it == ("SocketMode", "0600")));
    }

    #[test]
    fn what_is_said_counts_more_than_what_is_set() {
        let set = Settings {
            store: Some("/set".into()),
            snapshotter: sealpack_node::settings::Snapshotter {
                mounts: Some("/m".into()),
                ..Default::default()
            },
            ..Settings::default()
        };
        let said = Arguments::parse_from(["sealpack-snapshotter", "--store", "/said"]);
        let wanted = Wanted::new(&said, set);
        assert_eq!((wanted.store, wanted.mounts), ("/said".into(), "/m".into()));
    }

    #[test]
    fn the_page_of_the_manual_has_every_option() {
        use clap::CommandFactory;

        let page = include_str!("../man/sealpack-snapshotter.8");
        for option in Arguments::command().get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("\\-\\-{option}")), "--{option}");
        }
    }
}
