use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sealpack_format::ObjectId;
use sealpack_host::status::Status;
use sealpack_kernel::Kernel;
use sealpack_mount::enforcement_in_force;
use sealpack_node::mounts::{NOTES, mounts};
use sealpack_node::new_files::{NewFile, write_all};
use sealpack_node::standing::IpeState;

use super::host::{find_out, known, looked_at};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show::metrics::{HostState, State, StoreState, shown};

/// What a mount is whose level cannot be found out.
const UNKNOWN: &str = "unknown";
/// What a mount may be.
const LEVELS: [&str; 5] = ["plain", "verified", "signed", "enforced", UNKNOWN];
/// Anybody may read them, as the agent does that passes them on.
const MODE: u32 = 0o644;

/// Print what a monitoring system wants to know, in Prometheus' text format.
///
/// Images and what the store takes, mounts by level, what the kernel enforces and by which policy; of a sealed host what runs,
/// what comes next and what is fallen back to, and why a start was refused. What cannot be looked at is left out, told on
/// standard error, and has the value 0 in sealpack_looked_at.
///
/// --output is for the agent's collector of text files: FILE is whole whenever it is read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack metrics
  sealpack metrics --output /var/lib/prometheus/node-exporter/sealpack.prom
  sealpack metrics --json | jq '.metrics[] | select(.name == \"sealpack_mounts\").samples'")]
pub(crate) struct Metrics {
    /// Write them to a file, in the place of the one that may be there.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Metrics {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let kernel = Kernel::new();
        let store = told(context, "the store", store(context));
        let mounts = told(context, "what is mounted", levels(&kernel));
        let host = told(context, "the host", find_out(&kernel)).map(Result::ok);
        let host = host.map(|status| status.map(|status| host_state(context, status)));
        let ipe = kernel.ipe().map(|_| IpeState::read(&kernel).map_err(CommandError::failed));
        let state = State {
            store: store.as_ref(),
            mounts: mounts.as_ref(),
            ipe: ipe.map(|ipe| told(context, "IPE", ipe)),
            in_force: enforcement_in_force(&kernel).is_ok(),
            host: host.as_ref().map(Option::as_ref),
        };
        shown(context.output, &state, self.output.as_deref(), write)
    }
}

/// Writes the file, or leaves the one before.
fn write(path: &Path, text: &str) -> CommandResult {
    Ok(write_all(&[NewFile { path, bytes: text.as_bytes(), mode: MODE }], true)?)
}

/// What was looked at; says why it could not be.
fn told<T>(context: &Context, what: &str, result: Result<T, CommandError>) -> Option<T> {
    result
        .map_err(|error| {
            context.output.remark(&format!("note: {what} is not looked at: {}", error.message()))
        })
        .ok()
}

/// What the store has. One that nobody has pulled into has nothing.
fn store(context: &Context) -> Result<StoreState, CommandError> {
    let (_lock, store) = match context.open_for_reading() {
        Err(error) if error.is_no_store() => return Ok(StoreState::default()),
        opened => opened?,
    };
    let names = store.images()?.records.len();
    Ok(StoreState { names: names as u64, holdings: store.holdings()? })
}

/// How many mounts on the machine are of which level.
fn levels(kernel: &Kernel) -> Result<BTreeMap<&'static str, u64>, CommandError> {
    let mut levels: BTreeMap<_, _> = LEVELS.map(|level| (level, 0)).into();
    for mount in mounts(kernel, Path::new(NOTES))?.mounts {
        let level = mount.assurance.map_or(UNKNOWN, |assurance| assurance.level.name());
        *levels.entry(level).or_default() += 1;
    }
    Ok(levels)
}

fn host_state(context: &Context, status: Status) -> HostState {
    let names_of = |image: &ObjectId| known(context, image).map(|image| image.names).unwrap_or_default();
    let names = names_of(&status.boot.image);
    let refused = status.refused().and_then(|refused| refused.started);
    let refused_names = refused.map(|started| names_of(&started.image)).unwrap_or_default();
    let esp = looked_at(&status).map_err(CommandError::from);
    let boots = told(context, "the EFI system partition", esp);
    let written = |file: &str| boots.as_ref().and_then(|(esp, _)| esp.written_unix_seconds(file));
    let written = boots
        .iter()
        .flat_map(|(_, boots)| &boots.entries)
        .map(|entry| (entry.file_name.clone(), written(&entry.file_name)));
    let written = written.filter_map(|(file, at)| Some((file, at?))).collect();
    HostState { status, names, refused_names, boots: boots.map(|(_, boots)| boots), written }
}
