//! Seals.

use std::collections::BTreeSet;

use sealpack_gate::publish::Published;
use sealpack_gate::seal::Sealed;
use sealpack_trust::anchors::AnchorName;
use sealpack_trust::judge::{Chosen, Verdict};
use serde_json::{Value, json};

/// A seal that is used, for machines.
pub(crate) fn json_of(chosen: &Chosen) -> Value {
    let Chosen { seal, label, verdict, .. } = chosen;
    json!({
        "digest": label,
        "name": verdict.name.as_ref().map(ToString::to_string),
        "epoch": verdict.epoch,
        "created": seal.statement().created().to_string(),
        "signers": names(&verdict.statement_signers),
        "root_hashes": verdict.root_hash_signers.iter().map(|(root_hash, signers)| json!({
            "root_hash": root_hash,
            "signers": names(signers),
        })).collect::<Vec<_>>(),
        "remembered": chosen.remember.is_some(),
    })
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

/// What came of sealing an image, for machines.
pub(crate) fn sealed_json(sealed: &Sealed) -> Value {
    let statement = sealed.seal.statement();
    let packs = statement.packs().iter().map(|pack| pack.root_hash);
    json!({
        "name": sealed.record.name,
        "manifest": sealed.record.manifest,
        "platform": statement.platform(),
        "names": statement.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "epoch": statement.epoch(),
        "created": statement.created().to_string(),
        "metadata_root_hash": statement.metadata().first().map(|metadata| metadata.root_hash),
        "pack_root_hashes": packs.collect::<Vec<_>>(),
        "signers": sealed.seal.signers(),
        "root_hash_signers": sealed.seal.root_hash_signers(),
        "seal": sealed.path,
        "published": sealed.published.as_ref().map(published_json),
    })
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

/// A seal that was published, for machines.
pub(crate) fn published_json(published: &Published) -> Value {
    json!({
        "target": published.target,
        "referrer": published.referrer.digest,
        "size_bytes": published.referrer.size_bytes,
        "fallback_tag": published.fallback_tag,
        "composefs_artifact": published.composefs,
    })
}

/// The same for people.
pub(crate) fn published_text(published: &Published) -> String {
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
