use sealpack_trust::anchors::{AnchorName, Use};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;
use sealpack_node::trust_store::Entry;

/// Remove a certificate, so that signatures of its key count no longer.
///
/// Somebody else who adds it again is not hindered: `sealpack trust revoke` does that.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack trust remove publisher
  sealpack trust remove publisher --for packs")]
pub(crate) struct Remove {
    /// What it is called.
    name: AnchorName,
    /// For what it is to be removed [default: everything].
    #[arg(long = "for", value_name = "USES", value_delimiter = ',')]
    of: Vec<Use>,
}

impl Remove {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let store = context.trust_store();
        let entries = store.entries(&mut context.output.remarks())?;
        let is_meant = |of: Use| self.of.is_empty() || self.of.contains(&of);
        let (own, others): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .filter(|entry| entry.name == self.name && is_meant(entry.of))
            .partition(|entry| entry.path.starts_with(store.own()));
        if let Some(missing) =
            self.of.iter().find(|of| !own.iter().chain(&others).any(|entry| entry.of == **of))
        {
            return Err(CommandError::failed(format_args!(
                "the trust store has no certificate called {} for {missing}",
                self.name
            ))
            .hint("`sealpack trust list` shows what it has"));
        }
        let Some(first) = own.first() else {
            return Err(match others.first() {
                Some(entry) => CommandError::failed(format_args!(
                    "{} is in {}, which is not yours to change",
                    self.name,
                    entry.path.display()
                )),
                None => CommandError::failed(format_args!(
                    "the trust store has no certificate called {}",
                    self.name
                ))
                .hint("`sealpack trust list` shows what it has"),
            });
        };
        let subject = first.certificate.subject().to_owned();
        let removed: Vec<Use> = own.iter().map(|entry| entry.of).collect();
        keep_keys_revoked(context, &own)?;
        let paths: Vec<_> = own.into_iter().map(|entry| entry.path).collect();
        store.remove(&paths)?;
        for entry in &others {
            context.output.remark(&format!("note: {} stays: it is the machine's", entry.path.display()));
        }
        show::anchors::removed(context.output, &self.name, &subject, &removed, store.own())
    }
}

/// What earlier versions revoked names a certificate only. Its key is known while that is there, so it is written down
/// before it goes.
fn keep_keys_revoked(context: &Context, entries: &[Entry]) -> CommandResult {
    let store = context.trust_store();
    let revocations = store.revocations()?;
    let mut lines: Vec<String> = Vec::new();
    for certificate in entries.iter().map(|entry| &entry.certificate) {
        let Some(revoked) = revocations.certificate(&certificate.fingerprint()) else { continue };
        if !revocations.has_whole(certificate) {
            lines.push(revoked.with_key(certificate));
        }
    }
    lines.dedup();
    if !lines.is_empty() {
        store.revoke(&lines.concat())?;
    }
    Ok(())
}
