use std::path::PathBuf;
use std::time::SystemTime;

use sealpack_trust::anchors::{AnchorName, RevokedCertificate, Use};
use sealpack_trust::key::Certificate;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;
use sealpack_node::keys::{check_kernel, read_certificate};

/// Add a certificate, so that the signatures of its key count.
///
/// The certificate must be for signing code, which an authority's has to name as a purpose; for packs and policies the
/// kernel must be able to read it; and neither it nor its key be revoked in this trust store. Under a name that there is, the
/// same certificate is added for more uses; another one needs another name, so that both can be told apart while a
/// key is replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack trust add publisher --cert publisher.crt
  sealpack trust add site-policies --cert policy.crt --for policies
  sealpack trust add site --cert site.crt --for packs --trust ./trust.d")]
pub(crate) struct Add {
    /// What it is to be called: letters, digits, '.', '_' and '-'.
    name: AnchorName,
    /// The certificate: PEM or DER.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// What it may have signed: packs, statements, policies.
    #[arg(long = "for", value_name = "USES", value_delimiter = ',', default_value = "packs,statements")]
    of: Vec<Use>,
}

impl Add {
    pub(crate) fn run(mut self, context: &Context) -> CommandResult {
        let certificate = read_certificate(&self.cert)?;
        let named = |error: &dyn std::fmt::Display| {
            CommandError::failed(format_args!("{}: {error}", self.cert.display()))
        };
        certificate.check_purpose().map_err(|error| named(&error))?;
        self.of.sort();
        self.of.dedup();
        if self.of == [Use::Statements] {
            // These are nothing for the kernel.
            if let Err(error) = certificate.check_kernel() {
                context.output.remark(&format!("note: {}: {error}", self.cert.display()));
            }
        } else {
            check_kernel(&certificate, &self.cert)?;
        }
        let store = context.trust_store();
        let mut anchors = store.read_so_far(&mut context.output.remarks())?;
        if let Some(revoked) = anchors.revocation(&certificate) {
            return Err(named(&is_revoked(revoked, &certificate)).hint(
                "take it out of revoked.toml if that was wrong; otherwise its owner needs another key",
            ));
        }
        for of in &self.of {
            anchors.add(*of, self.name.clone(), certificate.clone()).map_err(|error| {
                CommandError::failed(error)
                    .hint("give the other one another name, or remove the old one first")
            })?;
        }
        if !certificate.is_valid_at(SystemTime::now()) {
            context.output.remark(&format!(
                "warning: the certificate {} is not valid at this time: its signatures do not count now",
                self.cert.display()
            ));
        }
        store.add(&self.name, &self.of, &certificate)?;
        show::anchors::added(context.output, &self.name, &certificate, &self.of, store.own())
    }
}

/// Whether it is itself revoked or another certificate of its key is, and why.
fn is_revoked(revoked: &RevokedCertificate, certificate: &Certificate) -> String {
    let what = match revoked.sha256 == certificate.fingerprint() {
        true => "this certificate is revoked in the trust store".to_owned(),
        false => {
            format!("the key of this certificate is revoked in the trust store with {}", revoked.label())
        }
    };
    match &revoked.reason {
        Some(reason) => format!("{what}: {reason}"),
        None => what,
    }
}
