//! What a sealed host starts next.

use sealpack_format::BlobDigest;
use sealpack_gate::pull::Admitted;
use sealpack_host::esp::{Boots, Entry};
use sealpack_host::upgrade::{Chosen, Plan, State};
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// The image that a host goes to.
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) manifest: BlobDigest,
    pub(crate) epoch: u64,
}

/// What was done so that it comes next.
pub(crate) struct Done<'a> {
    pub(crate) image: &'a Image,
    pub(crate) chosen: &'a Chosen,
    pub(crate) plan: &'a Plan,
    /// What came into the store, if something did.
    pub(crate) admitted: Option<&'a Admitted>,
    /// The UKI on the ESP, where it was written or got its tries back.
    pub(crate) file: Option<&'a str>,
    /// The ESP as it is now.
    pub(crate) boots: &'a Boots,
}

impl Done<'_> {
    /// The word for where the host is now.
    fn state(&self) -> &'static str {
        let boot = self.chosen.uki.command_line.boot();
        match self.plan.state {
            State::Running => "running",
            State::Next => "next",
            State::ToDo if self.boots.next().is_some_and(|next| next.starts(boot)) => "next",
            State::ToDo => "staged",
        }
    }
}

/// Shows it.
pub(crate) fn shown(output: Output, done: &Done<'_>) -> CommandResult {
    let Done { image, chosen, plan, admitted, file, boots } = done;
    let state = done.state();
    // What is only staged has changed nothing on the ESP.
    let removed: Vec<&str> = match state {
        "staged" => Vec::new(),
        _ => plan.remove.iter().map(|entry| entry.file_name.as_str()).collect(),
    };
    let value = json!({
        "state": state,
        "name": image.name,
        "manifest": image.manifest,
        "epoch": image.epoch,
        "uki": chosen.label,
        "uki_bytes": chosen.bytes.len(),
        "file": file,
        "removed_files": removed,
        "added": admitted.map(|admitted| parts::staged(&admitted.pulled().added)["added"].clone()),
        "next": file_name(boots.next()),
        "fallback": file_name(boots.fallback()),
        "falls_back": boots.falls_back(),
    });
    output.result(&value, || text_of(done, state, &removed))
}

fn file_name(entry: Option<&Entry>) -> Value {
    json!(entry.map(|entry| &entry.file_name))
}

fn text_of(done: &Done<'_>, state: &str, removed: &[&str]) -> String {
    let Done { image, admitted, boots, .. } = done;
    let mut text = match state {
        "running" => return format!("{} runs already, with epoch {}", image.name, image.epoch),
        "staged" => {
            format!("{} is here, with epoch {}; nothing changes at the next start\n", image.name, image.epoch)
        }
        _ => format!("{} comes next, with epoch {}\n", image.name, image.epoch),
    };
    if let Some(admitted) = admitted {
        let added = &admitted.pulled().added;
        let (packs, bytes) = (count(added.packs, "pack"), size(added.pack_bytes));
        text += &format!("  store           {packs} added ({bytes})\n");
    }
    for (what, entry) in [("next", boots.next()), ("fallback", boots.fallback())] {
        text += &format!("  {what:<15} {}\n", entry.map_or("none", |entry| &entry.file_name));
    }
    removed.iter().for_each(|file| text += &format!("  removed         {file}\n"));
    text
}

/// Shows what a host goes back to.
pub(crate) fn back(output: Output, before: Option<&str>, next: &Entry) -> CommandResult {
    let epoch = next.uki.as_ref().ok().and_then(sealpack_host::uki::UkiFile::epoch);
    let value = json!({ "next": next.file_name, "epoch": epoch, "instead_of": before });
    output.result(&value, || match before {
        Some(before) => format!("{} comes next, and not {before}", next.file_name),
        None => format!("{} comes next", next.file_name),
    })
}
