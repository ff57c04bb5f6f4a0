use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;

use sealpack_format::tree::shown;
use sealpack_kernel::Kernel;
use sealpack_node::limited::read_at_most;
use sealpack_trust::policy::audit::{Access, EventId, Explanation, Logged, Record, records};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::mounted_files::MountedFiles;

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

/// More of a log than this is refused: what it ends with is what happened last.
const LOG_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A record, told, with the number of those that differ in time and process only.
struct Told {
    line: usize,
    id: Option<EventId>,
    record: Record,
    explanation: Explanation,
    count: u64,
}

impl Explain {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let log = self.log()?;
        let files = MountedFiles::now(context);
        let told = tell(&log, &files, context);
        let values: Vec<Value> = told.iter().map(json_of).collect();
        context.output.result(&json!({ "records": values }), || {
            if told.is_empty() {
                return "no records of IPE are in this log".to_owned();
            }
            told.iter().map(text_of).collect::<Vec<_>>().join("\n")
        })
    }

    fn log(&self) -> Result<Vec<u8>, CommandError> {
        let (what, read) = match &self.file {
            None => {
                return Kernel::default().log().map_err(|error| {
                    CommandError::failed(error).hint("give a log as a file, or run it as root")
                });
            }
            Some(path) if path.as_os_str() == "-" => {
                ("standard input".to_owned(), read_at_most(io::stdin(), LOG_MAX_BYTES))
            }
            Some(path) => {
                let read = File::open(path).and_then(|file| read_at_most(file, LOG_MAX_BYTES));
                (path.display().to_string(), read)
            }
        };
        read.map_err(|error| CommandError::failed(format_args!("cannot read {what}: {error}")))
    }
}

/// All records explained, those of one event once, equal decisions counted.
fn tell(log: &[u8], files: &MountedFiles, context: &Context) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    let (mut seen, mut kinds) = (HashSet::new(), HashMap::new());
    for logged in records(log) {
        let Logged { line, id, record } = logged;
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                context.output.remark(&format!("line {line}: {error}"));
                continue;
            }
        };
        // A log may have the kernel's line and the audit daemon's of one event.
        if id.is_some_and(|id| !seen.insert((id, record.clone()))) {
            continue;
        }
        let mut file = None;
        if let Record::Access(access) = &record {
            let kind = Access { pid: 0, ..access.clone() };
            if let Some(first) = kinds.get(&kind).and_then(|index: &usize| told.get_mut(*index)) {
                first.count += 1;
                continue;
            }
            kinds.insert(kind, told.len());
            file = access.file.as_ref().and_then(|file| files.find(file));
        }
        let explanation = Explanation::of(&record, file.as_ref());
        told.push(Told { line, id, record, explanation, count: 1 });
    }
    told
}

fn text_of(told: &Told) -> String {
    let Explanation { what, why, advice } = &told.explanation;
    let times = if told.count > 1 { format!(" ({} times)", told.count) } else { String::new() };
    let advice = advice.as_ref().map(|advice| format!("  to do: {advice}\n")).unwrap_or_default();
    format!("{what}{times}\n  why: {why}\n{advice}")
}

fn json_of(told: &Told) -> Value {
    let Told { line, id, record, explanation: Explanation { what, why, advice }, count } = told;
    let mut value = json!({ "line": line, "count": count, "what": what, "why": why, "advice": advice });
    if let Some(id) = id {
        value["event"] = id.to_string().into();
    }
    match record {
        Record::Access(access) => {
            value["type"] = "access".into();
            value["access"] = json!({
                "op": access.operation,
                "hook": access.hook,
                "enforcing": access.enforcing,
                "pid": access.pid,
                "command": shown(&access.command),
                "path": access.file.as_ref().and_then(|file| file.path.as_ref()).map(|path| shown(path)),
                "device": access.file.as_ref().map(|file| shown(&file.device)),
                "inode": access.file.as_ref().map(|file| file.inode),
                "rule": access.rule,
                "action": access.action.name(),
            });
        }
        Record::Activation(_) => value["type"] = "activation".into(),
        Record::Load(load) => {
            value["type"] = "load".into();
            value["errno"] = load.outcome.as_ref().err().copied().flatten().into();
        }
        Record::Enforcing(enforcing) => {
            value["type"] = "enforcing".into();
            value["enforcing"] = enforcing.new.into();
        }
    }
    value
}
