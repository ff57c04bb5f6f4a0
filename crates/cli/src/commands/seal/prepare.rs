use std::path::PathBuf;

use sealpack_node::find::find_name;
use sealpack_node::seals;
use serde_json::json;

use crate::context::Context;
use crate::error::CommandResult;
use crate::statement::StatementArgs;

/// Write what is to be signed, for a key that is somewhere else.
///
/// The directory gets the bytes to be signed, exactly: the statement as statement.json, and each root hash as
/// ROOT-HASH.txt, with a README that has the lines for openssl. Each signature goes beside it, with .p7s added to its
/// name; then `sealpack seal attach` takes them. An image that is sealed already gets its statement written again,
/// for another signer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack seal prepare debian:12 --out to-be-signed
  sealpack seal prepare debian:12 --name registry.lan/debian:12 --epoch 17 --out to-be-signed")]
pub(crate) struct Prepare {
    /// The image: a name or a digest.
    image: String,
    /// The directory, which must not be there or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    statement: StatementArgs,
    /// Prepare a new seal, though the image has one.
    #[arg(long)]
    replace: bool,
}

impl Prepare {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        seals::check_is_free(&self.out)?;
        let (_lock, store) = context.open_for_reading()?;
        let record = find_name(&store, &self.image)?;
        let (trust, mut remarks) = (context.trust_store(), context.output.remarks());
        let wanted = self.statement.wanted()?;
        let (record, draft) = seals::draft(&store, record, &trust, &wanted, self.replace, &mut remarks)?;
        let statement = draft.statement();
        let files = seals::write_prepared(&self.out, statement)?;
        let value = json!({
            "name": record.name,
            "manifest": record.manifest,
            "directory": self.out,
            "to_be_signed": files,
            "names": statement.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "epoch": statement.epoch(),
        });
        context.output.result(&value, || {
            format!(
                "{}: {} files to be signed in {}, with a README; then: sealpack seal attach {} {} --cert CERT",
                record.name,
                files.len(),
                self.out.display(),
                self.image,
                self.out.display()
            )
        })
    }
}
