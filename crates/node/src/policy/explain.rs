//! What the kernel logged of its decisions, told.

use std::collections::{HashMap, HashSet};

use sealpack_trust::policy::audit::{Access, EventId, Explanation, Logged, Record, records};

use crate::mounted_files::MountedFiles;
use crate::remark::{Remark, Remarks};

/// More of a log than this is not read, in bytes.
pub const LOG_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A record, told, with the number of those that differ in time and process only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The first one's line in the log, from 1.
    pub line: usize,
    /// When it happened, where the line tells.
    pub id: Option<EventId>,
    /// What the kernel logged.
    pub record: Record,
    /// What it means.
    pub explanation: Explanation,
    /// How many there are.
    pub count: u64,
}

/// All of IPE's records in a log explained, those of one event once, equal decisions counted. Of records that cannot
/// be read remarks tell.
pub fn tell(log: &[u8], files: &MountedFiles, remarks: Remarks<'_>) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    let (mut seen, mut kinds) = (HashSet::new(), HashMap::new());
    for logged in records(log) {
        let Logged { line, id, record } = logged;
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                remarks(Remark::RecordUnreadable { line, why: error.to_string() });
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
