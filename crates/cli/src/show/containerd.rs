//! containerd's configuration.

use std::path::Path;

use serde_json::json;

use crate::containerd::Version;
use crate::error::CommandResult;
use crate::output::Output;

/// Shows what belongs into a file.
pub(crate) fn configuration(output: Output, version: Version, text: &str) -> CommandResult {
    let value =
        json!({ "containerd": version.to_string(), "configuration": text, "file": null, "changed": null });
    output.result(&value, || text.to_owned())
}

/// Says that the file has it.
pub(crate) fn written(output: Output, version: Version, file: &Path, changed: bool) -> CommandResult {
    let value = json!({
        "containerd": version.to_string(),
        "configuration": null,
        "file": file.display().to_string(),
        "changed": changed,
    });
    output.result(&value, || match changed {
        true => format!(
            "{} is for containerd {version} and sealpack; containerd uses it when it is started anew",
            file.display()
        ),
        false => format!("{} has all of it already", file.display()),
    })
}
