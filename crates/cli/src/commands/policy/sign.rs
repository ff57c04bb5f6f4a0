use std::path::PathBuf;

use sealpack_node::new_files::{self, NewFile};
use sealpack_node::policy::{GivenPolicy, sign};

use crate::args::SigningArgs;
use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

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
        let given = GivenPolicy::read(&self.file)?;
        let text = given.unsigned()?;
        show::policy::remarks(context.output, &given.remarks());
        let key = self.signing.signer(context.output)?;
        let signed = sign(&given.policy, text, &key, self.without_comments)?;
        new_files::write_all(&[NewFile { path: &self.output, bytes: &signed, mode: 0o644 }], self.force)?;
        let signer = key.certificate.subject();
        show::policy::signed(context.output, &given.policy, &self.output, signed.len(), signer)
    }
}
