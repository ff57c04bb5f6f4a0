use sealpack_trust::pkcs7;

use crate::args::SigningArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;
use sealpack_node::keys::SigningKey;

/// Check that a key and a certificate belong together, by signing something.
///
/// Nothing is written.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack key check --key site.key --cert site.crt")]
pub(crate) struct Check {
    #[command(flatten)]
    signing: SigningArgs,
}

/// Nobody takes this for a root hash or a policy.
const PROBE: &[u8] = b"sealpack key check";

impl Check {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let key = self.signing.signer(context.output)?;
        let signature = key.sign_detached(PROBE)?;
        let SigningKey { signer, certificate } = key;
        pkcs7::verify_detached(&signature, PROBE, std::slice::from_ref(&certificate))
            .map_err(CommandError::refused)?;
        show::key::signs(context.output, &certificate, &signer.algorithm().to_string(), signature.len())
    }
}
