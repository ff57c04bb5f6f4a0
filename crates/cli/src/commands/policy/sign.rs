use std::path::PathBuf;

use sealpack_trust::policy::SIGNED_MAX_BYTES;
use serde_json::json;

use super::source::{self, Origin};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::signing::SigningArgs;
use sealpack_node::new_files::{self, NewFile};

/// Sign a policy, so that the kernel loads it.
///
/// The kernel looks for the certificate among those of .secondary_trusted_keys, then of .platform (the firmware's
/// db). Use another key than for images: who can sign policies can switch everything off.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy sign sealed.policy --key policy.key --cert policy.crt -o sealed.p7b")]
pub(crate) struct Sign {
    /// The file with the policy's text.
    file: PathBuf,
    #[command(flatten)]
    signing: SigningArgs,
    /// Where the signed policy goes: PKCS#7 in DER, the text inside.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Sign the policy without its comments, in the form that `policy show` prints.
    #[arg(long)]
    without_comments: bool,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

impl Sign {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let source = source::read(&self.file)?;
        if !matches!(source.origin, Origin::Text) {
            let error = format_args!("{} is signed already", self.file.display()).to_string();
            return Err(CommandError::usage(error).hint("give the text; `sealpack policy show` prints it"));
        }
        source::remark(context.output, &source::remarks(&source));
        let key = self.signing.signer(context.output)?;
        let short = source.policy.to_bytes();
        let text = if self.without_comments { &short } else { &source.text };
        let signed = key.sign_embedded(text)?;
        if signed.len() > SIGNED_MAX_BYTES {
            let excess = signed.len() - SIGNED_MAX_BYTES;
            let error = CommandError::failed(format_args!(
                "the signed policy has {} bytes, {excess} more than the kernel takes",
                signed.len()
            ));
            let saved = text.len().saturating_sub(short.len());
            return Err(if saved >= excess {
                error.hint("--without-comments makes it fit")
            } else {
                error.hint("have fewer rules, or seal the images into packs: one rule allows them all")
            });
        }
        new_files::write_all(&[NewFile { path: &self.output, bytes: &signed, mode: 0o644 }], self.force)?;
        let (name, version) = (source.policy.name().to_string(), source.policy.version().to_string());
        let value = json!({
            "name": name,
            "version": version,
            "file": self.output,
            "signed_size_bytes": signed.len(),
            "signer": key.certificate.subject(),
        });
        context.output.result(&value, || {
            format!(
                "{}: policy {name} version {version}, signed by {}",
                self.output.display(),
                key.certificate.subject()
            )
        })
    }
}
