//! What an archive has that was written.

use sealpack_oci::archive::Saved;
use serde_json::{Value, json};

use super::copied::left_out;
use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// Shows what is in the archive.
pub(crate) fn saved(output: Output, target: &str, names: &[&str], saved: &Saved) -> CommandResult {
    output.result(&json_of(target, names, saved), || text_of(target, names, saved))
}

fn json_of(target: &str, names: &[&str], saved: &Saved) -> Value {
    let image = |(name, root): (&&str, &sealpack_oci::manifest::Descriptor)| json!({ "name": name, "manifest": root.digest });
    json!({
        "target": target,
        "archived": names.iter().zip(&saved.roots).map(image).collect::<Vec<_>>(),
        "referrers": saved.referrers,
        "left_out": left_out(&saved.left_out),
        "blobs_copied": saved.blobs.sent,
        "copied_bytes": saved.blobs.sent_bytes,
        "size_bytes": saved.size_bytes,
    })
}

fn text_of(target: &str, names: &[&str], saved: &Saved) -> String {
    let mut text = format!("{target}\n");
    for (name, root) in names.iter().zip(&saved.roots) {
        text += &format!("  {name}  {}\n", root.digest);
    }
    text += &format!("  {} in {}", size(saved.size_bytes), count(saved.blobs.sent as u64, "blob"));
    text += &match saved.referrers {
        0 => "\n".to_owned(),
        referrers => format!(", {}\n", count(referrers as u64, "referrer")),
    };
    if !saved.left_out.is_empty() {
        text += &format!("  {} left out\n", saved.left_out.len());
    }
    text
}
