//! What the kernel logged of its decisions.

use sealpack_format::tree::shown;
use sealpack_node::policy::Told;
use sealpack_trust::policy::audit::{Explanation, Record};
use serde_json::{Value, json};

use crate::error::CommandResult;
use crate::output::Output;

/// Shows records of a log, explained.
pub(crate) fn records(output: Output, told: &[Told]) -> CommandResult {
    let values: Vec<Value> = told.iter().map(json_of).collect();
    output.result(&json!({ "records": values }), || {
        if told.is_empty() {
            return "no records of IPE are in this log".to_owned();
        }
        told.iter().map(text_of).collect::<Vec<_>>().join("\n")
    })
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
