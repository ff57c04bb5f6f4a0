//! Mounts of images.

use std::path::Path;

use sealpack_mount::{Achieved, Backing, Mounted, Plan};
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::Output;

/// Shows what would be done.
pub(crate) fn plan(output: Output, plan: &Plan) -> CommandResult {
    output.result(&json!({ "plan": plan.to_string() }), || plan.to_string())
}

/// Shows what was mounted, and what the mount is good for.
pub(crate) fn mounted(output: Output, achieved: &Achieved) -> CommandResult {
    output.result(&json_of(achieved), || text_of(achieved))
}

/// Shows what was written for a runtime, and what was mounted for it.
pub(crate) fn bundled(output: Output, config: &Path, achieved: Option<&Achieved>) -> CommandResult {
    let value = json!({ "config_json": config, "mount": achieved.map(json_of) });
    output.result(&value, || {
        let mount = achieved.map(|achieved| format!("{}\n", text_of(achieved))).unwrap_or_default();
        format!("{mount}{}: written", config.display())
    })
}

fn text_of(achieved: &Achieved) -> String {
    let access = if achieved.read_write { "read-write" } else { "read-only" };
    format!("{}: {access}, {}", achieved.target.display(), achieved.assurance)
}

fn json_of(achieved: &Achieved) -> Value {
    json!({
        "target": achieved.target,
        "metadata_image": parts::metadata_image(&achieved.image, None),
        "read_write": achieved.read_write,
        "level": achieved.assurance.level.name(),
        "why_not_more": achieved.assurance.why_not_more,
        "suid": achieved.suid,
        "loop_device": match &achieved.backing {
            Backing::Loop(device) => Some(device),
            Backing::File | Backing::Device(_) | Backing::Broker => None,
        },
        "device": device_of(&achieved.backing),
        "pack_devices": achieved.packs.iter().map(device_of).collect::<Vec<_>>(),
        "mount_id": achieved.mount_id,
    })
}

/// Shows what is mounted no more.
pub(crate) fn unmounted(output: Output, unmounted: &Mounted) -> CommandResult {
    let value = json!({
        "target": unmounted.target,
        "metadata_image": parts::metadata_image(&unmounted.image, None),
    });
    output.result(&value, || format!("{}: unmounted", unmounted.target.display()))
}

/// The dm-verity device's name.
fn device_of(backing: &Backing) -> Option<&str> {
    match backing {
        Backing::Device(name) => Some(name.as_str()),
        Backing::File | Backing::Loop(_) | Backing::Broker => None,
    }
}
