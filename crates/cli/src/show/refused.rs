//! A start of a sealed host that is refused.

use sealpack_format::boot::RefusedBoot;
use sealpack_host::assess;
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::Output;

/// Shows a start that is not good and goes on all the same.
pub(crate) fn stays(output: Output, refused: &RefusedBoot) -> CommandResult {
    output.result(&json!({ "refused": json_of(refused) }), || {
        format!(
            "{refused}\nthe host stays as it is all the same, without {}: there is nothing else to start",
            assess::TARGET
        )
    })
}

/// What is known of a refused start.
pub(crate) fn json_of(refused: &RefusedBoot) -> Value {
    let started = refused.started.as_ref();
    json!({
        "step": refused.step,
        "reason": refused.why,
        "mend": refused.advice,
        "metadata_image": started.map(|started| parts::metadata_image(&started.image, None)),
        "root_hash": started.map(|started| started.root_hash),
        "kernel": started.map(|started| &started.release),
    })
}
