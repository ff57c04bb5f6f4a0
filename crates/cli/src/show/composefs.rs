//! What images say about their composefs digests.

use sealpack_oci::composefs::{Checked, Outcome, Stated};
use sealpack_trust::pkcs7::{Form, Message};
use serde_json::{Value, json};

/// For machines: a list of all of them.
pub(crate) fn json_of(claims: &[Checked]) -> Value {
    let one = |checked: &Checked| {
        let Checked { claim, outcome } = checked;
        let (digest, problem) = match (&claim.stated, outcome) {
            (Stated::Digest(id), Outcome::Unchecked(why)) => (Some(id), Some(why.to_string())),
            (Stated::Digest(id), Outcome::Wrong(computed)) => (Some(id), Some(format!("it is {computed}"))),
            (Stated::Digest(id), _) => (Some(id), None),
            (Stated::Invalid(problem), _) => (None, Some(problem.clone())),
        };
        json!({
            "in": claim.place.to_string(),
            "name": claim.name,
            "part": claim.key.part.name(),
            "fsverity_digest": digest,
            "outcome": outcome.name(),
            "problem": problem,
            "signature": claim.signature.as_deref().map(signer),
        })
    };
    claims.iter().map(one).collect()
}

/// For people: a line for each of them.
pub(crate) fn text_of(claims: &[Checked], indent: &str) -> String {
    let line = |checked: &Checked| {
        let signed = checked.claim.signature.as_deref().map(|der| format!("; signature: {}", signer(der)));
        format!("{indent}composefs       {checked}{}\n", signed.unwrap_or_default())
    };
    claims.iter().map(line).collect()
}

/// Who says to have made a signature. Whether that is true is not looked at.
fn signer(der: &[u8]) -> String {
    match Message::parse(der, Form::Detached) {
        Ok(message) => message.signer().to_string(),
        Err(error) => format!("unreadable: {error}"),
    }
}
