use std::path::PathBuf;

use sealpack_format::digest::RootHash;
use sealpack_kernel::Kernel;
use sealpack_node::standing::Keyrings;
use sealpack_node::trust_store::Entry;
use sealpack_trust::anchors::{AnchorName, RevokedCertificate, RevokedRootHash};
use sealpack_trust::key::Certificate;
use sealpack_trust::policy::{Operation, Rule};

use crate::args::source_date;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;
use crate::show::anchors::{Revoked, RevokedHash};
use sealpack_node::keys::read_certificate;
use sealpack_node::new_files::{self, NewFile};
use sealpack_node::policy::denying;

/// Revoke a certificate, or the root hash of a metadata image or pack.
///
/// With a certificate its key is revoked: signatures of that key count no longer, whichever certificate they name. An
/// image with a revoked root hash is not pulled, whoever signed it and in whichever form it is kept, nor converted, mounted or
/// sealed where it is in the store. The kernel knows neither before it is told: for a root hash,
/// by the rule that is printed, in the next version of the policy, which --policy writes; for a certificate, by taking it
/// out of the keyrings that have it.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["name", "cert", "root_hash"])))]
#[command(after_help = "Examples:
  sealpack trust revoke publisher --reason stolen
  sealpack trust revoke --cert old.crt
  sealpack trust revoke --root-hash … --image debian:12 --policy sealed.policy")]
pub(crate) struct Revoke {
    /// The certificate that the trust store calls so; all of them, if they differ by use.
    name: Option<AnchorName>,
    /// A certificate, whether the trust store has it or not: PEM or DER.
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// A root hash: 64 hexadecimal digits.
    #[arg(long, value_name = "ROOT-HASH")]
    root_hash: Option<RootHash>,
    /// The image that the root hash was of, for people.
    #[arg(long, value_name = "NAME", requires = "root_hash")]
    image: Option<String>,
    /// Why, for people: it is part of the message when something is refused for it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The text of an IPE policy: the rules that deny the root hash are put in front of its rules, and its version is
    /// raised. Sign and load it then.
    #[arg(long, value_name = "FILE", requires = "root_hash")]
    policy: Option<PathBuf>,
}

impl Revoke {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match (&self.root_hash, &self.cert, &self.name) {
            (Some(root_hash), ..) => self.root_hash(context, root_hash),
            (_, Some(path), _) => self.certificates(context, &[read_certificate(path)?], None),
            (.., Some(name)) => {
                let entries = context.trust_store().entries(&mut context.output.remarks())?;
                let mut named: Vec<Certificate> = Vec::new();
                for entry in entries.into_iter().filter(|entry| entry.name == *name) {
                    if !named.contains(&entry.certificate) {
                        named.push(entry.certificate);
                    }
                }
                if named.is_empty() {
                    return Err(CommandError::failed(format_args!(
                        "the trust store has no certificate called {name}"
                    ))
                    .hint("`sealpack trust list` shows what it has; --cert revokes a certificate that it has not"));
                }
                self.certificates(context, &named, Some(name))
            }
            _ => Err(CommandError::usage("nothing to revoke is given")),
        }
    }

    fn certificates(
        &self,
        context: &Context,
        certificates: &[Certificate],
        name: Option<&AnchorName>,
    ) -> CommandResult {
        let (store, when) = (context.trust_store(), source_date()?);
        let known = store.revocations_so_far()?;
        let line = |certificate: &Certificate| match known.certificate(&certificate.fingerprint()) {
            // It was revoked before keys were.
            Some(revoked) if self.reason.is_none() => revoked.with_key(certificate),
            _ => {
                let name = name.map_or(certificate.subject(), AnchorName::as_str);
                RevokedCertificate::to_toml(certificate, Some(name), self.reason.as_deref(), when)
            }
        };
        let new = certificates.iter().filter(|certificate| !known.has_whole(certificate));
        let lines: String = new.map(line).collect();
        if !lines.is_empty() {
            store.revoke(&lines)?;
        }
        // What cannot be read keeps nothing from being revoked.
        let others = store.entries(&mut context.output.remarks()).unwrap_or_default();
        let revoked: Vec<Revoked<'_>> = certificates
            .iter()
            .map(|certificate| Revoked { certificate, same_key: same_key(certificate, &others) })
            .collect();
        let held = Keyrings::read(&Kernel::default());
        show::anchors::revoked(context.output, &revoked, lines.is_empty(), &held, store.own())
    }

    fn root_hash(&self, context: &Context, root_hash: &RootHash) -> CommandResult {
        // Before anything is written, so that a policy that cannot be changed changes nothing.
        let changed = self.policy.as_deref().map(|path| denying(path, root_hash)).transpose()?;
        let (store, when) = (context.trust_store(), source_date()?);
        let known = store.revocations_so_far()?;
        let was_revoked = known.root_hash(root_hash).is_some();
        if !was_revoked {
            let (image, reason) = (self.image.as_deref(), self.reason.as_deref());
            store.revoke(&RevokedRootHash::to_toml(root_hash, image, reason, when))?;
        }
        if let (Some(path), Some(Some(text))) = (&self.policy, &changed) {
            new_files::write_all(&[NewFile { path, bytes: text, mode: 0o644 }], true)?;
        }
        let revoked = RevokedHash {
            root_hash,
            rule: Rule::denying(Operation::Execute, root_hash).to_string(),
            was_revoked_before: was_revoked,
            policy: self.policy.as_deref().map(|path| (path, matches!(changed, Some(Some(_))))),
        };
        show::anchors::revoked_hash(context.output, &revoked, &Kernel::default(), store.own())
    }
}

/// What the trust store calls other certificates of the same key.
fn same_key<'a>(certificate: &Certificate, others: &'a [Entry]) -> Vec<&'a str> {
    let same = others.iter().filter(|other| {
        other.certificate.public_key() == certificate.public_key() && other.certificate != *certificate
    });
    let mut names: Vec<_> = same.map(|other| other.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
