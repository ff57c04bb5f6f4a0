//! What a command tells the machine's journal. Whoever cannot be told misses it, and the command goes on.

use std::path::Path;

use sealpack_gate::pull::Admitted;
use sealpack_mount::{Achieved, Mounted};
use sealpack_node::journal::{Entry, Happening, Journal, SOCKET};
use sealpack_node::policy::Loaded;
use sealpack_store::ImageRecord;

use crate::error::CommandError;

/// What names another socket, or with nothing in it none.
const VARIABLE: &str = "SEALPACK_JOURNAL";

fn say(entry: &Entry) {
    let given = std::env::var_os(VARIABLE);
    let socket = given.as_deref().map_or(Path::new(SOCKET), Path::new);
    if !socket.as_os_str().is_empty() {
        _ = Journal::at(socket, "sealpack").send(entry);
    }
}

/// An entry about an image in the store.
fn about(happening: Happening, message: String, record: &ImageRecord) -> Entry {
    let entry = Entry::new(happening, message)
        .with("IMAGE", &record.name)
        .with("MANIFEST", record.manifest)
        .with("METADATA_IMAGE", record.metadata_image);
    match &record.statement {
        Some(statement) => entry.with("STATEMENT", statement),
        None => entry,
    }
}

/// An image came in.
pub(crate) fn pulled(admitted: &Admitted) {
    let record = &admitted.pulled().record;
    let chosen = admitted.admission().chosen();
    let sealed = if chosen.is_some() { "sealed" } else { "without a seal that counts" };
    let mut entry =
        about(Happening::Pulled, format!("Pulled {} as {}, {sealed}", record.name, record.manifest), record);
    if let Some(chosen) = chosen {
        let signers: Vec<_> = chosen.verdict.statement_signers.iter().map(ToString::to_string).collect();
        entry = entry.with("EPOCH", chosen.verdict.epoch).with("SIGNERS", signers.join(" "));
    }
    say(&entry);
}

/// A command answers that something is not what a rule, a signature, a digest or a level says.
pub(crate) fn refused(verb: &str, error: &CommandError) {
    let message = format!("sealpack {verb}: refused: {}", error.message());
    say(&Entry::new(Happening::Refused, message).with("VERB", verb).with("REASON", error.message()));
}

/// An image was mounted.
pub(crate) fn mounted(record: &ImageRecord, achieved: &Achieved) {
    let (target, level) = (achieved.target.display(), achieved.assurance.level.name());
    let message = format!("Mounted {} on {target}: {level}", record.name);
    let entry = about(Happening::Mounted, message, record).with("TARGET", target).with("LEVEL", level);
    let why = &achieved.assurance.why_not_more;
    say(&if why.is_empty() { entry } else { entry.with("WHY_NOT_MORE", why) });
}

/// An image is mounted no more.
pub(crate) fn unmounted(unmounted: &Mounted) {
    let target = unmounted.target.display();
    let entry = Entry::new(Happening::Unmounted, format!("Unmounted {target}"));
    say(&entry.with("TARGET", target).with("METADATA_IMAGE", unmounted.image));
}

/// The kernel has a policy.
pub(crate) fn loaded(loaded: &Loaded) {
    let decides = if loaded.active { ", which decides" } else { "" };
    let message = format!("The kernel has policy {} version {}{decides}", loaded.name, loaded.version);
    let entry = Entry::new(Happening::PolicyLoaded, message)
        .with("POLICY", &loaded.name)
        .with("POLICY_VERSION", &loaded.version)
        .with("ACTIVE", loaded.active);
    say(&entry.with("ENFORCING", loaded.enforcing));
}

/// Another policy decides.
pub(crate) fn activated(policy: &str, enforcing: bool) {
    let how = if enforcing { "" } else { ", and only logs what it would deny" };
    let entry = Entry::new(Happening::PolicyActivated, format!("Policy {policy} decides now{how}"));
    say(&entry.with("POLICY", policy).with("ENFORCING", enforcing));
}
