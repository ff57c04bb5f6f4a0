//! What was copied from one place to another.

use std::fmt::Display;

use sealpack_oci::artifact::LeftOut;
use sealpack_oci::copy::Copied;
use serde_json::{Value, json};

use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// Shows what is in the target now.
pub(crate) fn copied(output: Output, target: &impl Display, copied: &Copied) -> CommandResult {
    output.result(&json_of(target, copied), || text_of(target, copied))
}

fn json_of(target: &impl Display, copied: &Copied) -> Value {
    json!({
        "target": target.to_string(),
        "digest": copied.root.digest,
        "media_type": copied.root.media_type,
        "manifests": copied.manifests,
        "referrers": copied.referrers,
        "left_out": left_out(&copied.left_out),
        "fallback_tags": copied.fallback_tags,
        "blobs_known": copied.blobs.known,
        "blobs_mounted": copied.blobs.mounted,
        "blobs_copied": copied.blobs.sent,
        "copied_bytes": copied.blobs.sent_bytes,
    })
}

/// What does not come along, and why.
pub(super) fn left_out(all: &[LeftOut]) -> Vec<Value> {
    all.iter().map(|one| json!({ "digest": one.digest, "reason": one.problem })).collect()
}

fn text_of(target: &impl Display, copied: &Copied) -> String {
    let blobs = copied.blobs;
    let mut text = format!("{target}\n  digest          {}\n", copied.root.digest);
    text += &format!(
        "  {}, {} copied ({}), {} were there, {} taken over\n",
        count(copied.manifests as u64, "manifest"),
        count(blobs.sent as u64, "blob"),
        size(blobs.sent_bytes),
        blobs.known,
        blobs.mounted
    );
    if copied.referrers > 0 {
        text += &format!("  {}", count(copied.referrers as u64, "referrer"));
        text += &match copied.fallback_tags.len() {
            0 => "\n".to_owned(),
            tags => format!(", listed under {} sha256-…\n", count(tags as u64, "tag")),
        };
    }
    if !copied.left_out.is_empty() {
        text += &format!("  {} left out\n", copied.left_out.len());
    }
    text
}
