use std::path::PathBuf;

use sealpack_format::tree::{InodeId, Kind, Tree, shown};
use sealpack_kernel::Kernel;
use sealpack_store::ImageRecord;
use sealpack_trust::policy::{Action, Decision, Operation, Policy};
use serde_json::{Value, json};

use super::source;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::executables::{
    Assumption, Candidate, Facts, Lint, Place, StoredObjects, candidates, interpreter, lints,
};
use crate::output::count;

/// Predict what a policy does to an image, without a kernel that has it.
///
/// Every program, library and script is judged, and kernel modules and firmware, as the kernel would: by
/// the device that its bytes are on and its fs-verity digest. Exit status 3: something would be denied.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy check sealed.policy debian:12
  sealpack policy check sealed.policy debian:12 --assume sealed
  sealpack policy check --json sealed debian:12 | jq '.files[] | select(.decision == \"deny\")'")]
pub(crate) struct Check {
    /// A file with a policy, signed or not, or the name of a policy that the kernel has.
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// The image: a name or a digest.
    image: String,
    /// Judge the image as if it were kept and mounted so, not as this store has it.
    #[arg(long, value_enum, value_name = "HOW")]
    assume: Option<Assumption>,
    /// List what is allowed too.
    #[arg(long)]
    all: bool,
}

/// A file with what would become of it.
struct Judged<'p> {
    file: Candidate,
    place: Place,
    decision: Decision<'p>,
    /// The interpreter or loader that the file states, and what would become of that.
    interpreter: Option<(Vec<u8>, Option<Action>)>,
}

impl Check {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let source = source::find(&Kernel::default(), &self.policy)?;
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let tree = store.tree(&record)?;
        let objects = StoredObjects::open(&store, &record)?;
        let facts = Facts::new(&store, &record, &objects, self.assume)?;
        let files = candidates(&tree, &objects)?;
        let lints = lints(&tree, &files);
        let judged = judge(&source.policy, &tree, &facts, files)?;
        let denied = judged.iter().filter(|file| file.decision.action == Action::Deny).count();
        let value = json!({
            "policy": {
                "name": source.policy.name().to_string(),
                "version": source.policy.version().to_string(),
            },
            "image": record.name,
            "judged_as": facts.description(),
            "files": judged.iter().map(Judged::json).collect::<Vec<_>>(),
            "denied": denied,
            "notes": lints.iter().map(json_of_lint).collect::<Vec<_>>(),
        });
        context.output.result(&value, || self.text(&record, &facts, &judged, &lints))?;
        if denied == 0 {
            return Ok(());
        }
        Err(CommandError::refused(format_args!(
            "policy {} would deny {denied} of {} of {}",
            source.policy.name(),
            count(judged.len() as u64, "file"),
            record.name
        ))
        .hint(facts.advice()))
    }

    fn text(&self, record: &ImageRecord, facts: &Facts<'_>, judged: &[Judged<'_>], lints: &[Lint]) -> String {
        let mut text = format!("{}: {}\n", record.name, facts.description());
        for operation in Operation::ALL {
            let of_operation = || judged.iter().filter(|file| file.file.operation == operation);
            let allowed = of_operation().filter(|file| file.decision.action == Action::Allow).count();
            let denied = of_operation().count() - allowed;
            if allowed + denied > 0 {
                text += &format!("{operation}: {allowed} allowed, {denied} denied\n");
            }
        }
        for (action, title) in [(Action::Deny, "denied"), (Action::Allow, "allowed")] {
            if action == Action::Deny || self.all {
                text += &section(title, judged.iter().filter(|file| file.decision.action == action));
            }
        }
        text + &notes(lints)
    }
}

fn judge<'p>(
    policy: &'p Policy,
    tree: &Tree,
    facts: &Facts<'_>,
    files: Vec<Candidate>,
) -> Result<Vec<Judged<'p>>, CommandError> {
    let decide = |operation, inode: InodeId| {
        let Kind::Regular(content) = &tree.inode(inode).kind else { return Ok(None) };
        let (place, facts) = facts.of(content)?;
        Ok::<_, CommandError>(Some((place, policy.evaluate(operation, &facts))))
    };
    let mut judged = Vec::new();
    for file in files {
        let Some((place, decision)) = decide(file.operation, file.inode)? else { continue };
        let started = interpreter(tree, &file.shape).filter(|_| file.executable_bit);
        let interpreter = match started {
            Some((path, Some(inode))) => {
                let decided = decide(Operation::Execute, inode)?;
                Some((path.to_vec(), decided.map(|(_, decision)| decision.action)))
            }
            Some((path, None)) => Some((path.to_vec(), None)),
            None => None,
        };
        judged.push(Judged { file, place, decision, interpreter });
    }
    Ok(judged)
}

/// Files grouped by what decided on them, and why.
fn section<'a>(title: &str, files: impl Iterator<Item = &'a Judged<'a>>) -> String {
    let mut groups: Vec<(String, Vec<&Judged<'_>>)> = Vec::new();
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
        for Judged { file, .. } in group {
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

impl Judged<'_> {
    fn json(&self) -> Value {
        let Self { file, place, decision, interpreter } = self;
        let word = |action| match action {
            Action::Allow => "allow",
            Action::Deny => "deny",
        };
        let mut value = json!({
            "path": String::from_utf8_lossy(&file.path),
            "op": file.operation.name(),
            "decision": word(decision.action),
            "rule": decision.rule_text(),
            "reason": decision.reason(),
            "kind": file.shape.name(),
            "executable_bit": file.executable_bit,
            "place": place.name(),
        });
        if str::from_utf8(&file.path).is_err() {
            value["path_hex"] = file.path.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        }
        if let Some((path, action)) = interpreter {
            value["interpreter"] = json!({
                "path": String::from_utf8_lossy(path),
                "decision": action.map_or("missing", word),
            });
        }
        value
    }
}

fn json_of_lint(lint: &Lint) -> Value {
    let path = lint.path.as_ref().map(|path| String::from_utf8_lossy(path));
    json!({ "kind": lint.kind, "path": path, "text": lint.text })
}
