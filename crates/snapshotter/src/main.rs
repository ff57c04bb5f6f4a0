//! `sealpack-snapshotter`: serves containerd.

mod log;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use sealpack_snapshotter::Snapshotter;
use sealpack_snapshotter::service::{self, Listener};
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
    #[arg(long, value_name = "SOCK", default_value = "/run/containerd/containerd.sock", hide = true)]
    containerd: PathBuf,
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
    let (snapshotter, notices) = Snapshotter::open(&store)?;
    for notice in notices {
        log::say(Level::Warning, &notice.to_string());
    }
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
    service::serve(listener, Arc::new(snapshotter), stopped).await?;
    log::say(Level::Info, "stopped");
    Ok(())
}
