use sealpack_store::{ImageRecord, ObjectForm, Silent, Store};
use sealpack_trust::seal::{Seal as ImageSeal, SealSigningError, Statement};
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::sealing;
use crate::signing::{SigningArgs, SigningKey};

/// Seal an image: sign the root hashes of its metadata image and packs.
///
/// The seal is kept in the store, beside the image. Mounting the image, sealpack gives the signatures
/// to the kernel, which accepts them if it has the certificate in one of its keyrings: `sealpack doctor`
/// shows them. An image whose objects are files is converted into packs first. Every byte is verified before
/// anything is signed.
///
/// Sealing again with another key adds its signatures.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack key new --key seal.key --cert seal.pem
  sealpack seal debian:12 --key seal.key --cert seal.pem
  sealpack mount debian:12 /mnt --require signed")]
pub(crate) struct Seal {
    /// The image: a name or a digest.
    image: String,
    #[command(flatten)]
    signing: SigningArgs,
    /// Make a new seal in the place of the one that there is.
    #[arg(long)]
    replace: bool,
}

impl Seal {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let signing = self.signing.signer(context.output)?;
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let record = in_packs(context, &store, record)?;
        // A signature is for ever: what the store remembers of its packs is no reason to sign them.
        store.verify_image_packs(&record)?;
        let root_hash = store.ensure_image_tree(&record.image)?;
        let packs = sealing::packs_of(&store, &record)?;
        let statement = sealing::statement(&record, root_hash, &packs)?;
        let seal = match self.replace {
            true => sign(statement, &signing)?,
            false => add(sealing::read(&store, &record)?, statement, &signing, &record)?,
        };
        store.write_seal(&record.manifest, &seal.to_json())?;

        let root_hashes = seal.statement().root_hashes().count();
        let value = json!({
            "name": record.name,
            "manifest": record.manifest,
            "metadata_root_hash": root_hash,
            "pack_root_hashes": packs.iter().map(|pack| pack.sealed.root_hash).collect::<Vec<_>>(),
            "signers": seal.signers(),
            "seal": store.seal_path(&record.manifest),
        });
        context.output.result(&value, || {
            let signers = seal.signers().join(" and by ");
            format!("{}: sealed, {root_hashes} root hashes signed by {signers}", record.name)
        })
    }
}

/// The image with its objects in packs, now if they were not before.
fn in_packs(context: &Context, store: &Store, record: ImageRecord) -> Result<ImageRecord, CommandError> {
    if record.objects == ObjectForm::Packs {
        return Ok(record);
    }
    context.output.remark(&format!("{}: converting files into packs", record.name));
    Ok(store.convert(&record, ObjectForm::Packs, &Silent)?.record)
}

fn sign(statement: Statement, signing: &SigningKey) -> Result<ImageSeal, CommandError> {
    Ok(ImageSeal::sign(statement, &*signing.signer, &signing.certificate)?)
}

/// A new seal, or the one there is with another signature of each root hash.
fn add(
    seal: Option<ImageSeal>,
    statement: Statement,
    signing: &SigningKey,
    record: &ImageRecord,
) -> Result<ImageSeal, CommandError> {
    let Some(mut seal) = seal else { return sign(statement, signing) };
    if *seal.statement() != statement {
        let error = match seal.check(&statement) {
            Err(error) => error.to_string(),
            Ok(()) => "it has packs that the image has not".to_owned(),
        };
        return Err(CommandError::refused(format_args!(
            "the seal of {} is not for it: {error}",
            record.name
        ))
        .hint("--replace makes a new one"));
    }
    seal.add_signatures(&*signing.signer, &signing.certificate)?;
    Ok(seal)
}

impl From<SealSigningError> for CommandError {
    fn from(error: SealSigningError) -> Self {
        Self::failed(error)
    }
}
