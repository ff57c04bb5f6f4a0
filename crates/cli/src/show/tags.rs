//! The tags of a repository.

use sealpack_format::reference::Reference;
use serde_json::json;

use crate::error::CommandResult;
use crate::output::Output;

/// Shows them.
pub(crate) fn list(output: Output, repository: &Reference, tags: &[String]) -> CommandResult {
    let value = json!({ "repository": repository.name(), "tags": tags });
    output.result(&value, || tags.iter().map(|tag| format!("{tag}\n")).collect())
}
