use std::path::PathBuf;

use sealpack_node::find::find_name;
use sealpack_node::seals;

use crate::args::StatementArgs;
use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

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

/// What is written beside the files.
const README: &str = "\
These files are to be signed, each as it is, for `sealpack seal attach`. The signature of FILE goes into FILE.p7s:
PKCS#7, detached, by one signer, without certificates and attributes, in DER or PEM. With OpenSSL, in this directory:

    for file in statement.json *.txt; do
        openssl smime -sign -binary -noattr -nocerts -outform der \\
            -signer CERT -inkey KEY -in \"$file\" -out \"$file.p7s\"
    done

With a key on P-384 add `-md sha384`. The statement may be signed by another key than the root hashes.
What is signed: statement.json says which image this is, and for which names it may be used. Read it first.
";

impl Prepare {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        seals::check_is_free(&self.out)?;
        let (_lock, store) = context.open_for_reading()?;
        let record = find_name(&store, &self.image)?;
        let (trust, mut remarks) = (context.trust_store(), context.output.remarks());
        let wanted = self.statement.wanted()?;
        let (record, draft) = seals::draft(&store, record, &trust, &wanted, self.replace, &mut remarks)?;
        let statement = draft.statement();
        let files = seals::write_prepared(&self.out, statement, README)?;
        show::seal::prepared(context.output, &record, statement, &files, (&self.image, &self.out))
    }
}
