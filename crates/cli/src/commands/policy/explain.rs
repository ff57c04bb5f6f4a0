use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sealpack_kernel::Kernel;
use sealpack_node::mounted_files::MountedFiles;
use sealpack_node::policy::{LOG_MAX_BYTES, PolicyError, tell};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Explain what the kernel logs of its decisions.
///
/// Reads the kernel's log, the audit daemon's, or the journal's, finds the records of IPE in it, and says for each
/// what was denied to whom, by which rule, of which mounted image, and what to do. Equal records are counted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy explain                        # the kernel's log
  sealpack policy explain /var/log/audit/audit.log
  journalctl -o export _TRANSPORT=audit | sealpack policy explain -")]
pub(crate) struct Explain {
    /// A log, `-` for standard input [default: the kernel's own log].
    file: Option<PathBuf>,
}

impl Explain {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let log = read(&Kernel::default(), self.file.as_deref())?;
        // Without a store, images are called by their digests.
        let records = context.open_for_reading().and_then(|(_lock, store)| Ok(store.images()?.records));
        let files = MountedFiles::now(&records.unwrap_or_default());
        let told = tell(&log, &files, &mut context.output.remarks());
        // A kernel that decides nothing has denied nothing, which is not the same as nothing to deny.
        if told.is_empty() && self.file.is_none() && Kernel::default().ipe().is_none() {
            return Err(PolicyError::NoIpe.into());
        }
        show::records::records(context.output, &told)
    }
}

/// The log in a file, `-` for standard input; else the kernel's own.
pub(in crate::commands) fn read(kernel: &Kernel, file: Option<&Path>) -> Result<Vec<u8>, CommandError> {
    let (what, read) = match file {
        None => {
            return kernel.log().map_err(|error| {
                CommandError::failed(error).hint("give a log as a file, or run it as root")
            });
        }
        Some(path) if path.as_os_str() == "-" => ("standard input".to_owned(), read_log(io::stdin())),
        Some(path) => {
            let read = File::open(path).and_then(read_log);
            (path.display().to_string(), read)
        }
    };
    read.map_err(|error| CommandError::failed(format_args!("cannot read {what}: {error}")))
}

/// All of a log. A part of it would say nothing of what happened last.
fn read_log(log: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    log.take(LOG_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LOG_MAX_BYTES {
        let problem = format!("it has more than {} MiB", LOG_MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}
