//! Whose signatures count, and whose no longer.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealpack_format::digest::RootHash;
use sealpack_kernel::Kernel;
use sealpack_node::standing::{Denial, Keyrings, denial};
use sealpack_trust::anchors::{AnchorName, Anchors, ArtifactKey, Use};
use sealpack_trust::key::Certificate;
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::output::{Output, table};

/// A certificate with all that it is for under one name.
pub(crate) struct Row {
    pub(crate) name: AnchorName,
    pub(crate) uses: Vec<Use>,
    pub(crate) certificate: Certificate,
}

/// All that a trust store says, and what the kernel has of it.
pub(crate) struct Listed<'a> {
    pub(crate) directories: &'a [PathBuf],
    pub(crate) rules_file: Option<&'a Path>,
    pub(crate) anchors: &'a Anchors,
    pub(crate) rows: &'a [Row],
    /// Prefixes of rules, and signers that they want and that nobody can be.
    pub(crate) missing: Vec<(String, String)>,
    /// Prefixes of rules, and keys for artifacts that they name and that are not there.
    pub(crate) missing_keys: Vec<(String, String)>,
    pub(crate) held: &'a Keyrings,
    pub(crate) kernel: &'a Kernel,
}

/// Shows a trust store.
pub(crate) fn listed(output: Output, listed: &Listed<'_>) -> CommandResult {
    let Listed { directories, rules_file, anchors, rows, missing, missing_keys, held, kernel } = listed;
    let certificates: Vec<&Certificate> = rows.iter().map(|row| &row.certificate).collect();
    let only_in_kernel = held.others(&certificates);
    let revocations = anchors.revocations();
    let value = json!({
        "directories": directories,
        "certificates": rows.iter().map(|row| row.json(anchors, held)).collect::<Vec<_>>(),
        "kernel_only": only_in_kernel.iter().map(|(keyring, description)| json!({
            "keyring": keyring, "description": description,
        })).collect::<Vec<_>>(),
        "kernel_unreadable": held.unreadable(),
        "rules_file": rules_file,
        "missing_signers": missing.iter().map(|(prefix, signer)| json!({
            "prefix": prefix, "signer": signer,
        })).collect::<Vec<_>>(),
        "artifact_keys": anchors.artifact_keys().iter().map(|known| json!({
            "name": known.name.as_str(),
            "kind": known.key.kind().to_string(),
            "sha256": known.key.fingerprint().to_string(),
            "revoked": is_revoked(anchors, known),
        })).collect::<Vec<_>>(),
        "missing_artifact_keys": missing_keys.iter().map(|(prefix, key)| json!({
            "prefix": prefix, "key": key,
        })).collect::<Vec<_>>(),
        "revoked_public_keys": revocations.keys.iter().map(|revoked| json!({
            "sha256": revoked.sha256.to_string(),
            "name": revoked.name,
            "reason": revoked.reason,
            "revoked_at": revoked.revoked.map(|date| date.to_string()),
        })).collect::<Vec<_>>(),
        "revoked_certificates": revocations.certificates.iter().map(|revoked| json!({
            "sha256": revoked.sha256.to_string(),
            "public_key_sha256": revoked.public_key.map(|key| key.to_string()),
            "name": revoked.name,
            "reason": revoked.reason,
            "revoked_at": revoked.revoked.map(|date| date.to_string()),
        })).collect::<Vec<_>>(),
        "revoked_root_hashes": revocations.root_hashes.iter().map(|revoked| json!({
            "root_hash": revoked.root_hash,
            "image": revoked.image,
            "reason": revoked.reason,
            "revoked_at": revoked.revoked.map(|date| date.to_string()),
            "kernel_denies": denial(kernel, &revoked.root_hash).ok().map(|denial| denial.denies),
        })).collect::<Vec<_>>(),
    });
    output.result(&value, || {
        let mut text = certificates_text(rows, anchors, held);
        for known in anchors.artifact_keys() {
            let state = if is_revoked(anchors, known) { "revoked" } else { "good" };
            let (kind, sha256) = (known.key.kind(), known.key.fingerprint());
            text += &format!("for artifacts: {}, {kind}, sha256:{sha256}, {state}\n", known.name);
        }
        for (keyring, description) in &only_in_kernel {
            text += &format!("in the kernel only: {description} ({keyring})\n");
        }
        for problem in held.unreadable() {
            text += &format!("cannot be read: {problem}\n");
        }
        for (prefix, name) in missing {
            text += &format!(
                "the rule for {prefix} wants {name}, of whom there is no certificate for statements\n"
            );
        }
        for (prefix, name) in missing_keys {
            text += &format!(
                "the rule for {prefix} wants artifacts by {name}, of which there is no key: artifacts/{name}.pub\n"
            );
        }
        text + &revoked_text(anchors, kernel)
    })
}

/// Whether nothing that the key signs counts any more.
fn is_revoked(anchors: &Anchors, known: &ArtifactKey) -> bool {
    !anchors.good_artifact_keys().any(|good| good.name == known.name)
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
        let end = parts::time_of_system(self.certificate.validity().not_after());
        end.as_str().unwrap_or("-").to_owned()
    }

    fn json(&self, anchors: &Anchors, held: &Keyrings) -> Value {
        let more = json!({
            "name": self.name.as_str(),
            "uses": words(&self.uses),
            "state": self.state(anchors),
            "kernel_keyrings": held.of(&self.certificate),
        });
        parts::with(parts::certificate(&self.certificate), more)
    }
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
    for revoked in &anchors.revocations().keys {
        let name = revoked.name.as_deref().unwrap_or("a key");
        text += &format!("revoked: {name}, the key sha256:{}{}\n", revoked.sha256, reason(&revoked.reason));
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

/// Shows a certificate that counts now.
pub(crate) fn added(
    output: Output,
    name: &AnchorName,
    certificate: &Certificate,
    of: &[Use],
    trust_store: &Path,
) -> CommandResult {
    let value = json!({
        "name": name.as_str(),
        "uses": words(of),
        "certificate": parts::certificate(certificate),
        "trust_store": trust_store,
    });
    output.result(&value, || {
        let (subject, uses) = (certificate.subject(), uses(of, ", "));
        format!("{name}: \"{subject}\" is trusted for {uses} in {}", trust_store.display())
    })
}

/// Shows for what a certificate no longer counts.
pub(crate) fn removed(
    output: Output,
    name: &AnchorName,
    subject: &str,
    of: &[Use],
    trust_store: &Path,
) -> CommandResult {
    let value = json!({ "name": name.as_str(), "uses": words(of), "trust_store": trust_store });
    output.result(&value, || format!("{name}: \"{subject}\" is no longer trusted for {}", uses(of, ", ")))
}

/// A certificate that was revoked.
pub(crate) struct Revoked<'a> {
    pub(crate) certificate: &'a Certificate,
    /// What the trust store calls other certificates of its key.
    pub(crate) same_key: Vec<&'a str>,
}

/// Shows certificates whose keys count no longer.
pub(crate) fn revoked(
    output: Output,
    certificates: &[Revoked<'_>],
    was_revoked_before: bool,
    held: &Keyrings,
    trust_store: &Path,
) -> CommandResult {
    let json_of = |Revoked { certificate, same_key }: &Revoked<'_>| {
        let more = json!({ "same_key": same_key, "kernel_keyrings": held.of(certificate) });
        parts::with(parts::certificate(certificate), more)
    };
    let value = json!({
        "certificates": certificates.iter().map(json_of).collect::<Vec<_>>(),
        "was_revoked_before": was_revoked_before,
        "trust_store": trust_store,
    });
    output.result(&value, || {
        let line = |Revoked { certificate, same_key }: &Revoked<'_>| {
            let keyrings = held.of(certificate);
            let kernel = match keyrings.is_empty() {
                true => "the kernel has not got it".to_owned(),
                false => format!(
                    "the kernel still trusts it: take it out of what fills {} (docs/keys.md)",
                    keyrings.join(" and ")
                ),
            };
            let done = if was_revoked_before { "was revoked already" } else { "is revoked" };
            let others = match &same_key[..] {
                [] => String::new(),
                names => format!("; {} of the same key with it", names.join(", ")),
            };
            format!("\"{}\" {done}{others}; {kernel}\n", certificate.subject())
        };
        certificates.iter().map(line).collect()
    })
}

/// A root hash that was revoked.
pub(crate) struct RevokedHash<'a> {
    pub(crate) root_hash: &'a RootHash,
    /// The rule that denies it.
    pub(crate) rule: String,
    pub(crate) was_revoked_before: bool,
    /// The policy that it was written into, and whether that was changed for it.
    pub(crate) policy: Option<(&'a Path, bool)>,
}

/// Shows a root hash that no image may have any more.
pub(crate) fn revoked_hash(
    output: Output,
    revoked: &RevokedHash<'_>,
    kernel: &Kernel,
    trust_store: &Path,
) -> CommandResult {
    let RevokedHash { root_hash, rule, was_revoked_before, policy } = revoked;
    let kernel = denial(kernel, root_hash);
    let value = json!({
        "root_hash": root_hash,
        "rule": rule,
        "was_revoked_before": was_revoked_before,
        "trust_store": trust_store,
        "policy_file": policy.map(|(path, _)| path),
        "policy_changed": policy.is_some_and(|(_, is_changed)| is_changed),
        "kernel_denies": kernel.as_ref().ok().map(|denial| denial.denies),
        "kernel_policy": kernel.as_ref().ok().map(|denial| &denial.policy),
        "kernel_problem": kernel.as_ref().err(),
    });
    output.result(&value, || {
        let done = if *was_revoked_before { "was revoked already" } else { "is revoked" };
        let policy = match policy {
            None => String::new(),
            Some((path, true)) => format!(
                "{}: the policy denies it now; sign it with `sealpack policy sign`, then `sealpack policy load --update`\n",
                path.display()
            ),
            Some((path, false)) => format!("{}: the policy denies it already\n", path.display()),
        };
        let kernel = match &kernel {
            Ok(Denial { policy, denies: true }) => format!("the kernel's policy {policy} denies it\n"),
            Ok(Denial { policy, denies: false }) => {
                format!("the kernel's policy {policy} does not deny it yet: it needs the rule above\n")
            }
            Err(why) => format!("the kernel does not deny it: {why}\n"),
        };
        format!("root hash {root_hash} {done}\n{rule}\n{policy}{kernel}")
    })
}

fn words(of: &[Use]) -> Vec<&'static str> {
    of.iter().map(|of| of.name()).collect()
}

/// Uses as one text.
fn uses(of: &[Use], separator: &str) -> String {
    words(of).join(separator)
}
