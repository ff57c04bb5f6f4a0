//! Seals.

use std::collections::BTreeSet;

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

fn names(names: &[AnchorName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
