//! `sealpack-snapshotter`: serves containerd.

mod log;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use sealpack_node::trust_store::TrustStore;
use sealpack_oci::environment::Environment;
use sealpack_oci::registry::ClientOptions;
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
    /// The socket to serve on. Not needed where the program is started with one (systemd's socket activation).
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The store, which is made if there is none.
    #[arg(long, value_name = "DIR", env = "SEALPACK_STORE", default_value = location::SYSTEM)]
    store: PathBuf,
    /// containerd's own socket, which layers are read from.
    #[arg(long, value_name = "SOCK", default_value = "/run/containerd/containerd.sock")]
    containerd: PathBuf,
    /// A directory for mounts of images, which containers' are made on.
    #[arg(long, value_name = "DIR", default_value = "/run/sealpack/m")]
    mounts: PathBuf,
    /// The trust store, whose rules say which images may be used [default: /etc/sealpack/trust.d].
    #[arg(long, value_name = "DIR", env = "SEALPACK_TRUST")]
    trust: Option<PathBuf>,
    /// Ask for seals with credentials from this file only.
    #[arg(long = "authfile", value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file too when seals are asked for.
    #[arg(long = "ca", value_name = "FILE")]
    ca_files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::say(Level::Error, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open_or_create(&arguments.store, None)?;
    let (snapshotter, notices) = Snapshotter::open(store, rules(arguments), &arguments.mounts)?;
    for notice in notices {
        log::say(Level::Warning, &notice.to_string());
    }
    snapshotter.tell_of_mounts(|Based { image, path, assurance }| {
        log::say(
            Level::Info,
            &format!("image={image:?} mounted={path:?} assurance={:?}", assurance.to_string()),
        );
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(CALLS_AT_ONCE)
        .enable_all()
        .build()?;
    runtime.block_on(serve(arguments, snapshotter))?;
    // Threads that still work on something are not waited for: what they do is safe to be cut off anywhere.
    runtime.shutdown_background();
    Ok(())
}

fn rules(arguments: &Arguments) -> Rules {
    let user = rustix::process::geteuid().as_raw();
    let trust = TrustStore::new(arguments.trust.clone(), user, |name| std::env::var_os(name));
    let client = ClientOptions {
        auth_file: arguments.auth_file.clone(),
        ca_files: arguments.ca_files.clone(),
        ..ClientOptions::default()
    };
    Rules::new(trust, client, Environment::of_process(std::env::var_os))
}

async fn serve(arguments: &Arguments, snapshotter: Snapshotter) -> Result<(), Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = match (Listener::passed()?, &arguments.socket) {
        (Some(passed), _) => passed,
        (None, Some(path)) => Listener::bind(path)?,
        (None, None) => {
            return Err("there is no socket to serve on: --socket PATH, or socket activation".into());
        }
    };
    log::say(Level::Info, "serving");
    let stopped = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    service::serve(listener, Arc::new(snapshotter), arguments.containerd.clone(), stopped).await?;
    log::say(Level::Info, "stopped");
    Ok(())
}
