//! What two images have in common, and in what they differ.

use sealpack_format::tree::shown;
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::{Output, size};

/// One path that is not the same in both images.
pub(crate) struct Difference {
    pub(crate) path: Vec<u8>,
    pub(crate) change: Change,
}

pub(crate) enum Change {
    Added,
    Removed,
    /// In both, with the names of what differs.
    Changed(Vec<&'static str>),
}

/// Objects, and their size together.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) number: usize,
    pub(crate) bytes: u64,
}

/// Objects that two images have in common or alone.
pub(crate) struct Shared {
    pub(crate) both: Objects,
    pub(crate) only_first: Objects,
    pub(crate) only_second: Objects,
}

/// Shows what the images of these names share, and how many of their files differ; which they are if `all` is wanted.
pub(crate) fn differences(
    output: Output,
    [first, second]: [&str; 2],
    shared: &Shared,
    differences: &[Difference],
    all: bool,
) -> CommandResult {
    let count = |wanted: fn(&Change) -> bool| differences.iter().filter(|it| wanted(&it.change)).count();
    let added = count(|change| matches!(change, Change::Added));
    let removed = count(|change| matches!(change, Change::Removed));
    let changed = count(|change| matches!(change, Change::Changed(_)));
    let listed = if all { differences } else { &[] };
    let objects = |Objects { number, bytes }: &Objects| json!({ "objects": number, "object_bytes": bytes });
    let value = json!({
        "shared": objects(&shared.both),
        "only_first": objects(&shared.only_first),
        "only_second": objects(&shared.only_second),
        "files_added": added,
        "files_removed": removed,
        "files_changed": changed,
        "differences": listed.iter().map(Difference::json).collect::<Vec<_>>(),
    });
    output.result(&value, || {
        let mut text: String = listed.iter().map(Difference::line).collect();
        let Shared { both, only_first, only_second } = shared;
        text += &format!(
            "shared: {} objects, {}; only {first}: {}, {}; only {second}: {}, {}\n",
            both.number,
            size(both.bytes),
            only_first.number,
            size(only_first.bytes),
            only_second.number,
            size(only_second.bytes),
        );
        text + &format!("files: {added} added, {removed} removed, {changed} changed\n")
    })
}

impl Difference {
    pub(crate) fn line(&self) -> String {
        let path = shown(&self.path);
        match &self.change {
            Change::Added => format!("+ {path}\n"),
            Change::Removed => format!("- {path}\n"),
            Change::Changed(what) => format!("~ {path} ({})\n", what.join(", ")),
        }
    }

    fn json(&self) -> Value {
        let (change, differs_in) = match &self.change {
            Change::Added => ("added", &[][..]),
            Change::Removed => ("removed", &[][..]),
            Change::Changed(what) => ("changed", &what[..]),
        };
        parts::with(parts::path(&self.path), json!({ "change": change, "differs_in": differs_in }))
    }
}
