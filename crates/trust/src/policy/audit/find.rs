//! Records in logs: the kernel's own (`dmesg`), `audit.log`, and the journal's export format.

use super::fields::{Fields, find};
use super::{Access, Activation, Enforcing, EventId, Load, Record};

/// A record that is missing something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the field `{field}` is missing or malformed")]
pub struct RecordError {
    /// The field.
    pub field: &'static str,
}

/// A record in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The line, from 1.
    pub line: usize,
    /// When it happened, where the line tells.
    pub id: Option<EventId>,
    /// What it says, or why that cannot be read.
    pub record: Result<Record, RecordError>,
}

/// The records about IPE in a log, in its order. Everything else is passed over.
///
/// Lines may be those of the kernel's log (`audit: type=1420 audit(…): …`, whatever is before),
/// of the audit daemon's (`type=IPE_ACCESS msg=audit(…): …`, or `type=UNKNOWN[1420]`), or of the
/// journal, as text or in export format (`MESSAGE=AUDIT1420 …`).
pub fn records(log: &[u8]) -> impl Iterator<Item = Logged> {
    log.split(|byte| *byte == b'\n').zip(1..).filter_map(|(line, number)| {
        // The audit daemon can add what numbers mean, behind a separator.
        let line = line.split(|byte| *byte == 0x1d).next().unwrap_or_default();
        let (head, message, kind) = KINDS.iter().find_map(|kind| {
            let at = find(line, kind.first_field.as_bytes())?;
            let (head, message) = line.split_at_checked(at)?;
            kind.is_announced(head).then_some((head, message, kind))
        })?;
        // Records of this type come from other security modules too.
        if kind.shared && find(message, b"lsm=ipe").is_none() {
            return None;
        }
        let record = (kind.parse)(&Fields::new(message.trim_ascii_end()));
        Some(Logged { line: number, id: event_id(head), record })
    })
}

struct Kind {
    /// What the kernel writes first.
    first_field: &'static str,
    /// The names by which the logs call the record.
    names: [&'static str; 2],
    /// Whether not only IPE writes such.
    shared: bool,
    parse: fn(&Fields<'_>) -> Result<Record, RecordError>,
}

const KINDS: [Kind; 4] = [
    Kind { first_field: "ipe_op=", names: ["1420", "IPE_ACCESS"], shared: false, parse: access },
    Kind {
        first_field: "old_active_pol_name=",
        names: ["1421", "IPE_CONFIG_CHANGE"],
        shared: false,
        parse: activation,
    },
    Kind { first_field: "policy_name=", names: ["1422", "IPE_POLICY_LOAD"], shared: false, parse: load },
    Kind { first_field: "enforcing=", names: ["1404", "MAC_STATUS"], shared: true, parse: enforcing },
];

impl Kind {
    /// Whether what stands before the first field names the record's type, and not as part of
    /// something else.
    fn is_announced(&self, head: &[u8]) -> bool {
        self.names.iter().any(|name| {
            let forms = [format!("type={name} "), format!("type=UNKNOWN[{name}] "), format!("AUDIT{name} ")];
            forms.iter().any(|form| find(head, form.as_bytes()).is_some())
                || head.ends_with(format!("{name} ").as_bytes())
        })
    }
}

/// `audit(1653364370.067:61): `.
fn event_id(head: &[u8]) -> Option<EventId> {
    let start = find(head, b"audit(")?;
    let text = str::from_utf8(head.get(start + 6..)?).ok()?;
    let (text, _) = text.split_once(')')?;
    let (time, serial) = text.split_once(':')?;
    let (seconds, milliseconds) = time.split_once('.')?;
    Some(EventId {
        unix_seconds: seconds.parse().ok()?,
        milliseconds: milliseconds.parse().ok()?,
        serial: serial.parse().ok()?,
    })
}

fn access(fields: &Fields<'_>) -> Result<Record, RecordError> {
    let (rule, action) = fields.rule()?;
    Ok(Record::Access(Access {
        operation: fields.word("ipe_op")?,
        hook: fields.word("ipe_hook")?,
        enforcing: fields.flag("enforcing")?,
        pid: fields.number("pid")?,
        command: fields.string("comm")?,
        file: fields.file()?,
        rule,
        action,
    }))
}

fn activation(fields: &Fields<'_>) -> Result<Record, RecordError> {
    let old = ["old_active_pol_name", "old_active_pol_version", "old_policy_digest"];
    let new = ["new_active_pol_name", "new_active_pol_version", "new_policy_digest"];
    Ok(Record::Activation(Activation {
        old: fields.policy(old)?,
        new: fields.policy(new)?.ok_or(RecordError { field: "new_active_pol_name" })?,
        login_uid: fields.login_uid(),
    }))
}

fn load(fields: &Fields<'_>) -> Result<Record, RecordError> {
    let policy = fields.policy(["policy_name", "policy_version", "policy_digest"])?;
    let outcome = match policy {
        Some(policy) if fields.flag("res")? => Ok(policy),
        _ => Err(fields.number::<i32>("errno").ok().map(i32::saturating_abs)),
    };
    Ok(Record::Load(Load { outcome, login_uid: fields.login_uid() }))
}

fn enforcing(fields: &Fields<'_>) -> Result<Record, RecordError> {
    Ok(Record::Enforcing(Enforcing {
        new: fields.flag("enforcing")?,
        old: fields.flag("old_enforcing")?,
        login_uid: fields.login_uid(),
    }))
}
