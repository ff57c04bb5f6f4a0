//! What a policy would decide on an image.

use sealpack_format::tree::shown;
use sealpack_node::policy::executables::Lint;
use sealpack_node::policy::{Checked, FileDecision, Interpreter};
use sealpack_store::ImageRecord;
use sealpack_trust::policy::{Action, Operation, Policy};
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::Output;

/// Shows what is denied, and `all` that is allowed too.
pub(crate) fn checked(
    output: Output,
    policy: &Policy,
    record: &ImageRecord,
    checked: &Checked<'_>,
    all: bool,
) -> CommandResult {
    let value = json!({
        "policy": policy.name().to_string(),
        "policy_version": policy.version().to_string(),
        "name": record.name,
        "manifest": record.manifest,
        "judged_as": checked.judged_as.to_string(),
        "decisions": checked.files.iter().map(json_of).collect::<Vec<_>>(),
        "denied": checked.denied(),
        "notes": json_notes(checked),
    });
    output.result(&value, || text_of(record, checked, all))
}

/// As text: what is denied, and `all` that is allowed too.
pub(crate) fn text_of(record: &ImageRecord, checked: &Checked<'_>, all: bool) -> String {
    let Checked { judged_as, files, lints, .. } = checked;
    let mut text = format!("{}: {judged_as}\n", record.name);
    for operation in Operation::ALL {
        let of_operation = || files.iter().filter(|file| file.file.operation == operation);
        let allowed = of_operation().filter(|file| file.decision.action == Action::Allow).count();
        let denied = of_operation().count() - allowed;
        if allowed + denied > 0 {
            text += &format!("{operation}: {allowed} allowed, {denied} denied\n");
        }
    }
    for (action, title) in [(Action::Deny, "denied"), (Action::Allow, "allowed")] {
        if action == Action::Deny || all {
            text += &section(title, files.iter().filter(|file| file.decision.action == action));
        }
    }
    text + &notes(lints)
}

/// What is denied, as JSON.
pub(crate) fn denied(checked: &Checked<'_>) -> Vec<Value> {
    checked.files.iter().filter(|file| file.decision.action == Action::Deny).map(json_of).collect()
}

/// What no policy can help with, as JSON.
pub(crate) fn json_notes(checked: &Checked<'_>) -> Vec<Value> {
    checked.lints.iter().map(json_of_lint).collect()
}

/// Files grouped by what decided on them, and why.
fn section<'a>(title: &str, files: impl Iterator<Item = &'a FileDecision<'a>>) -> String {
    let mut groups: Vec<(String, Vec<&FileDecision<'_>>)> = Vec::new();
    for file in files {
        let reason = format!("{}: {}", file.decision.rule_text(), file.decision.reason());
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, group)) => group.push(file),
            None => groups.push((reason, vec![file])),
        }
    }
    let mut text = String::new();
    for (reason, group) in groups {
        text += &format!("\n{title} by {reason}\n");
        for FileDecision { file, .. } in group {
            text += &format!("  {} ({})\n", shown(&file.path), file.shape.name());
        }
    }
    text
}

/// What is to be known, files of which the same is to be known together.
fn notes(lints: &[Lint]) -> String {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for lint in lints {
        let path = lint.path.as_ref().map(|path| shown(path));
        match groups.iter_mut().find(|(text, _)| *text == lint.text) {
            Some((_, paths)) => paths.extend(path),
            None => groups.push((&lint.text, path.into_iter().collect())),
        }
    }
    let title = if groups.is_empty() { "" } else { "\nto know:\n" };
    let line = |(text, paths): &(&str, Vec<String>)| match &paths[..] {
        [] => format!("  {text}\n"),
        paths => format!("  {}: {text}\n", paths.join(", ")),
    };
    groups.iter().map(line).fold(title.to_owned(), |text, line| text + &line)
}

fn json_of(decided: &FileDecision<'_>) -> Value {
    let FileDecision { file, bytes_in, decision, interpreter } = decided;
    let word = |action| match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    };
    let more = json!({
        "op": file.operation.name(),
        "decision": word(decision.action),
        "rule": decision.rule_text(),
        "reason": decision.reason(),
        "kind": file.shape.name(),
        "executable_bit": file.executable_bit,
        "place": bytes_in.name(),
    });
    let mut value = parts::with(parts::path(&file.path), more);
    if let Some(Interpreter { path, action }) = interpreter {
        value["interpreter"] = json!({
            "path": String::from_utf8_lossy(path),
            "decision": action.map_or("missing", word),
        });
    }
    value
}

fn json_of_lint(lint: &Lint) -> Value {
    let path = lint.path.as_ref().map(|path| String::from_utf8_lossy(path));
    json!({ "kind": lint.kind, "path": path, "text": lint.text })
}
