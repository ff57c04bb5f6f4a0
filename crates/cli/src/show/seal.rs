//! Seals.

use std::collections::BTreeSet;
use std::path::Path;

use sealpack_gate::publish::Published;
use sealpack_gate::seal::Sealed;
use sealpack_store::ImageRecord;
use sealpack_trust::anchors::AnchorName;
use sealpack_trust::judge::{Chosen, Verdict};
use sealpack_trust::seal::Statement;
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::Output;

/// How the trust store judges the seal that is used, for machines.
pub(crate) fn judgement(chosen: &Chosen) -> Value {
    let Chosen { label, verdict, .. } = chosen;
    let judged_for = verdict.name.as_ref().map(ToString::to_string);
    let more = json!({
        "root_hashes": verdict.root_hash_signers.iter().map(|(root_hash, signers)| json!({
            "root_hash": root_hash,
            "trusted_signers": names(signers),
        })).collect::<Vec<_>>(),
        "remembered": chosen.remember.is_some(),
    });
    parts::with(judged(label, judged_for.as_deref(), Ok(verdict)), more)
}

/// How a seal is judged for a name; or why it cannot be.
pub(crate) fn judged(label: &str, judged_for: Option<&str>, verdict: Result<&Verdict, &str>) -> Value {
    let value = json!({ "label": label, "judged_for": judged_for });
    let more = match verdict {
        Ok(verdict) => json!({
            "accepted": verdict.is_acceptable(),
            "epoch": verdict.epoch,
            "trusted_signers": names(&verdict.statement_signers),
            "failures": verdict.failures.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Err(problem) => {
            json!({ "accepted": false, "epoch": null, "trusted_signers": [], "failures": [problem] })
        }
    };
    parts::with(value, more)
}

/// The same for people.
pub(crate) fn text_of(chosen: &Chosen) -> String {
    let Verdict { name, epoch, statement_signers, root_hash_signers, .. } = &chosen.verdict;
    let name = name.as_ref().map(ToString::to_string).unwrap_or_default();
    let packs: BTreeSet<String> = root_hash_signers.iter().flat_map(|(_, signers)| names(signers)).collect();
    format!(
        "  sealed by       {}, as {name}, epoch {epoch}\n  root hashes     {}, signed by {}\n",
        names(statement_signers).join(", "),
        root_hash_signers.len(),
        packs.into_iter().collect::<Vec<_>>().join(", ")
    )
}

/// Shows an image that was sealed.
pub(crate) fn sealed(output: Output, sealed: &Sealed) -> CommandResult {
    output.result(&sealed_json(sealed), || sealed_text(sealed))
}

/// Shows several.
pub(crate) fn all_sealed(output: Output, all: &[Sealed]) -> CommandResult {
    let images: Vec<Value> = all.iter().map(sealed_json).collect();
    output.result(&json!({ "images": images }), || all.iter().map(sealed_text).collect())
}

/// Shows a seal that was published.
pub(crate) fn published(output: Output, published: &Published) -> CommandResult {
    output.result(&published_json(published), || published_text(published))
}

/// Shows what is to be signed elsewhere.
pub(crate) fn prepared(
    output: Output,
    record: &ImageRecord,
    statement: &Statement,
    files: &[String],
    (image, directory): (&str, &Path),
) -> CommandResult {
    let value = parts::with(
        parts::image(record),
        json!({
            "directory": directory,
            "to_be_signed": files,
            "names": statement.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "epoch": statement.epoch(),
        }),
    );
    output.result(&value, || {
        format!(
            "{}: {} files to be signed in {out}, with a README; then: sealpack seal attach {image} {out} --cert CERT",
            record.name,
            files.len(),
            out = directory.display()
        )
    })
}

fn sealed_json(sealed: &Sealed) -> Value {
    let statement = sealed.seal.statement();
    let packs = statement.packs().iter().map(|pack| pack.root_hash);
    let more = json!({
        "seal": parts::seal(&sealed.seal),
        "seal_path": sealed.path,
        "metadata_root_hash": statement.metadata().first().map(|metadata| metadata.root_hash),
        "pack_root_hashes": packs.collect::<Vec<_>>(),
        "published": sealed.published.as_ref().map(published_json),
    });
    parts::with(parts::image(&sealed.record), more)
}

/// The same for people.
pub(crate) fn sealed_text(sealed: &Sealed) -> String {
    let statement = sealed.seal.statement();
    let names: Vec<_> = statement.names().iter().map(ToString::to_string).collect();
    let number = match statement.root_hashes().count() {
        1 => "1 root hash".to_owned(),
        number => format!("{number} root hashes"),
    };
    let signers = sealed.seal.signers();
    let (by, packs) = (signers.join(" and by "), sealed.seal.root_hash_signers());
    let signed = match packs == signers {
        true => format!("the statement and {number} signed by {by}"),
        false => {
            format!("the statement signed by {by}; {number} signed by {}", packs.join(" and by "))
        }
    };
    let (name, names, epoch) = (&sealed.record.name, names.join(", "), statement.epoch());
    let published = sealed.published.as_ref().map(published_text).unwrap_or_default();
    format!("{name}: sealed as {names}, epoch {epoch}; {signed}\n{published}")
}

/// What was published beside an image, for machines.
pub(super) fn published_json(published: &Published) -> Value {
    json!({
        "target": published.target,
        "referrer": published.referrer.digest,
        "size_bytes": published.referrer.size_bytes,
        "fallback_tag": published.fallback_tag,
        "composefs_artifact": published.composefs,
    })
}

/// The same for people.
fn published_text(published: &Published) -> String {
    let Published { target, referrer, fallback_tag, composefs } = published;
    let listed = fallback_tag.iter().map(|tag| format!(", listed under the tag {tag}")).collect::<String>();
    let mut text = format!("{target}: the seal is {}{listed}\n", referrer.digest);
    if let Some(digest) = composefs {
        text += &format!("{target}: the composefs artifact is {digest}\n");
    }
    text
}

fn names(names: &[AnchorName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
