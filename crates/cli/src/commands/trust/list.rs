use std::time::SystemTime;

use sealpack_kernel::Kernel;
use sealpack_node::standing::{Denial, Keyrings, denial};
use sealpack_trust::anchors::{AnchorName, Anchors, Use};
use sealpack_trust::key::Certificate;
use sealpack_trust::timestamp::Timestamp;
use serde_json::{Value, json};

use super::uses;
use crate::context::Context;
use crate::error::CommandResult;
use crate::output::table;
use sealpack_node::trust_store::Entry;

/// List certificates, what they are for, and whether the kernel has them too.
///
/// A certificate for packs that the kernel has not will do for pulling, but the kernel accepts no device for it. One
/// that only the kernel has will do for devices, not for pulling.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack trust list
  sealpack trust list --json | jq '.certificates[] | select(.kernel == [])'")]
pub(crate) struct List {}

/// A certificate with all that it is for under one name.
struct Row {
    name: AnchorName,
    uses: Vec<Use>,
    certificate: Certificate,
}

impl List {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let store = context.trust_store();
        let anchors = store.read(&mut context.output.remarks())?;
        let (rules_file, _) = store.rules()?;
        let rows = rows(store.entries(&mut context.output.remarks())?);
        let kernel = Kernel::default();
        let held = Keyrings::read(&kernel);
        let certificates: Vec<&Certificate> = rows.iter().map(|row| &row.certificate).collect();
        let only_in_kernel = held.others(&certificates);
        let missing = missing(&anchors);
        let value = json!({
            "directories": store.directories(),
            "certificates": rows.iter().map(|row| row.json(&anchors, &held)).collect::<Vec<_>>(),
            "kernel_only": only_in_kernel.iter().map(|(keyring, description)| json!({
                "keyring": keyring, "description": description,
            })).collect::<Vec<_>>(),
            "kernel_unreadable": held.unreadable(),
            "rules": rules_file,
            "missing_signers": missing,
            "revoked_certificates": anchors.revocations().certificates.iter().map(|revoked| json!({
                "sha256": revoked.sha256.to_string(),
                "public_key_sha256": revoked.public_key.map(|key| key.to_string()),
                "name": revoked.name, "reason": revoked.reason,
                "revoked": revoked.revoked.map(|date| date.to_string()),
            })).collect::<Vec<_>>(),
            "revoked_root_hashes": anchors.revocations().root_hashes.iter().map(|revoked| json!({
                "root_hash": revoked.root_hash, "image": revoked.image, "reason": revoked.reason,
                "revoked": revoked.revoked.map(|date| date.to_string()),
                "kernel_denies": denial(&kernel, &revoked.root_hash).ok().map(|denial| denial.denies),
            })).collect::<Vec<_>>(),
        });
        context.output.result(&value, || {
            let mut text = certificates_text(&rows, &anchors, &held);
            for (keyring, description) in &only_in_kernel {
                text += &format!("in the kernel only: {description} ({keyring})\n");
            }
            for problem in held.unreadable() {
                text += &format!("cannot be read: {problem}\n");
            }
            for (prefix, name) in &missing {
                text += &format!(
                    "the rule for {prefix} wants {name}, of whom there is no certificate for statements\n"
                );
            }
            text + &revoked_text(&anchors, &kernel)
        })
    }
}

impl Row {
    fn state(&self, anchors: &Anchors) -> String {
        let state = anchors.check_certificate(&self.certificate, SystemTime::now());
        state.map_or_else(|problem| problem.to_string(), |()| "good".to_owned())
    }

    /// Why the kernel cannot have it, where it is for what the kernel checks.
    fn kernel_problem(&self) -> Option<String> {
        let error = self.certificate.check_kernel().err()?;
        (self.uses != [Use::Statements]).then(|| error.to_string())
    }

    fn expires(&self) -> String {
        let end = self.certificate.validity().not_after().duration_since(SystemTime::UNIX_EPOCH);
        let end = end.ok().and_then(|since| Timestamp::from_unix_seconds(since.as_secs()));
        end.map_or_else(|| "-".to_owned(), |end| end.to_string())
    }

    fn json(&self, anchors: &Anchors, held: &Keyrings) -> Value {
        json!({
            "name": self.name.as_str(),
            "uses": self.uses.iter().map(|of| of.name()).collect::<Vec<_>>(),
            "subject": self.certificate.subject(),
            "sha256": self.certificate.fingerprint().to_string(),
            "expires": self.expires(),
            "state": self.state(anchors),
            "kernel": held.of(&self.certificate),
            "kernel_problem": self.kernel_problem(),
        })
    }
}

/// One row for each name and certificate.
fn rows(entries: Vec<Entry>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for Entry { of, name, certificate, .. } in entries {
        match rows.iter_mut().find(|row| row.name == name && row.certificate == certificate) {
            Some(row) if row.uses.contains(&of) => {}
            Some(row) => row.uses.push(of),
            None => rows.push(Row { name, uses: vec![of], certificate }),
        }
    }
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

/// The signers that rules want and nobody can be.
fn missing(anchors: &Anchors) -> Vec<(String, String)> {
    let wanted = anchors
        .rules()
        .namespaces()
        .iter()
        .flat_map(|rule| rule.signed_by.iter().map(|name| (rule.prefix.clone(), name)));
    let missing = wanted.filter(|(_, name)| anchors.certificate(Use::Statements, name).is_none());
    missing.map(|(prefix, name)| (prefix, name.to_string())).collect()
}

fn certificates_text(rows: &[Row], anchors: &Anchors, held: &Keyrings) -> String {
    if rows.is_empty() {
        return "the trust store has no certificates; `sealpack trust add` adds one\n".to_owned();
    }
    let header = ["NAME", "FOR", "SUBJECT", "SHA-256", "EXPIRES", "STATE", "KERNEL"];
    let cells = |row: &Row| {
        let keyrings = held.of(&row.certificate);
        vec![
            row.name.to_string(),
            uses(&row.uses, ","),
            row.certificate.subject().to_owned(),
            row.certificate.fingerprint().to_string(),
            row.expires(),
            row.state(anchors),
            match row.kernel_problem() {
                Some(_) if keyrings.is_empty() => "cannot be in the kernel".to_owned(),
                _ if keyrings.is_empty() => "not in the kernel".to_owned(),
                _ => keyrings.join(", "),
            },
        ]
    };
    table(&header, &rows.iter().map(cells).collect::<Vec<_>>())
}

fn revoked_text(anchors: &Anchors, kernel: &Kernel) -> String {
    let mut text = String::new();
    let reason = |reason: &Option<String>| reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    for revoked in &anchors.revocations().certificates {
        let name = revoked.name.as_deref().unwrap_or("a certificate");
        let key = revoked.public_key.map(|key| format!(", its key sha256:{key}")).unwrap_or_default();
        text += &format!("revoked: {name}, sha256:{}{key}{}\n", revoked.sha256, reason(&revoked.reason));
    }
    for revoked in &anchors.revocations().root_hashes {
        let of = revoked.image.as_ref().map(|image| format!(" of {image}")).unwrap_or_default();
        let state = match denial(kernel, &revoked.root_hash) {
            Ok(Denial { policy, denies: true }) => format!("the kernel's policy {policy} denies it"),
            Ok(Denial { policy, denies: false }) => format!("the kernel's policy {policy} does NOT deny it"),
            Err(why) => format!("the kernel does not deny it: {why}"),
        };
        text +=
            &format!("revoked: root hash {}{of}{}; {state}\n", revoked.root_hash, reason(&revoked.reason));
    }
    text
}
