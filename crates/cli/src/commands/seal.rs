use sealpack_format::digest::RootHash;
use sealpack_store::{ImageRecord, ObjectForm, Silent, Store};
use sealpack_trust::seal::{Devices, Seal as ImageSeal, SealSigningError, SealingKeys};
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::sealing::{self, StatementArgs};
use crate::signing::{SigningArgs, StatementSigningArgs};

/// Seal an image: sign what it is made of, and the names that it may run under.
///
/// Signed are the root hashes of its metadata image and packs, which the kernel judges, and the statement that ties
/// these to the image and to its names, which those judge who pull it. The seal is kept in the store, beside the
/// image. Mounting the image, sealpack gives the signatures of the root hashes to the kernel, which accepts them if it
/// has the certificate in one of its keyrings: `sealpack doctor` shows them. An image whose objects are files is
/// converted into packs first. Every byte is verified before anything is signed.
///
/// Sealing again with another key adds its signatures, over the same statement.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack key new --key seal.key --cert seal.pem
  sealpack seal debian:12 --key seal.key --cert seal.pem
  sealpack seal debian:12 --name registry.example.org/base/debian:12 --key seal.key --cert seal.pem
  sealpack mount debian:12 /mnt --require signed")]
pub(crate) struct Seal {
    /// The image: a name or a digest.
    image: String,
    #[command(flatten)]
    statement: StatementArgs,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    statement_signing: StatementSigningArgs,
    /// Make a new seal in the place of the one that there is.
    #[arg(long)]
    replace: bool,
}

impl Seal {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let packs = self.signing.signer(context.output)?;
        let statement = self.statement_signing.signer(context.output)?;
        let keys =
            SealingKeys { packs: packs.pair(), statement: statement.as_ref().unwrap_or(&packs).pair() };
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let record = in_packs(context, &store, record)?;
        // A signature is for ever: what the store remembers of its packs is no reason to sign them.
        store.verify_image_packs(&record)?;
        let root_hash = store.ensure_image_tree(&record.image)?;
        let devices = sealing::devices(&record, root_hash, &sealing::packs_of(&store, &record)?);
        let seal = match self.replace {
            true => None,
            false => sealing::read(&store, &record)?,
        };
        let seal = match seal {
            None => ImageSeal::sign(self.statement.statement(&record, devices)?, &keys)?,
            Some(mut seal) => {
                check_is_of(&seal, &devices, &record)?;
                self.statement.check(seal.statement(), &record)?;
                seal.add_signatures(&keys)?;
                seal
            }
        };
        store.write_seal(&record.manifest, &seal.to_json())?;
        show(context, &store, &record, &seal)
    }
}

fn show(context: &Context, store: &Store, record: &ImageRecord, seal: &ImageSeal) -> CommandResult {
    let statement = seal.statement();
    let [metadata_root_hash, pack_root_hashes @ ..] =
        &statement.root_hashes().copied().collect::<Vec<RootHash>>()[..]
    else {
        return Err(CommandError::failed("a seal without a metadata image"));
    };
    let value = json!({
        "name": record.name,
        "manifest": record.manifest,
        "platform": statement.platform(),
        "names": statement.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "epoch": statement.epoch(),
        "created": statement.created().to_string(),
        "metadata_root_hash": metadata_root_hash,
        "pack_root_hashes": pack_root_hashes,
        "signers": seal.signers(),
        "seal": store.seal_path(&record.manifest),
    });
    context.output.result(&value, || {
        let root_hashes = pack_root_hashes.len() + 1;
        let names: Vec<_> = statement.names().iter().map(ToString::to_string).collect();
        format!(
            "{}: sealed as {}, epoch {}; the statement and {root_hashes} root hashes signed by {}",
            record.name,
            names.join(", "),
            statement.epoch(),
            seal.signers().join(" and by ")
        )
    })
}

/// The image with its objects in packs, now if they were not before.
fn in_packs(context: &Context, store: &Store, record: ImageRecord) -> Result<ImageRecord, CommandError> {
    if record.objects == ObjectForm::Packs {
        return Ok(record);
    }
    context.output.remark(&format!("{}: converting files into packs", record.name));
    Ok(store.convert(&record, ObjectForm::Packs, &Silent)?.record)
}

/// That a seal is about just these devices, before anybody signs it too.
fn check_is_of(seal: &ImageSeal, devices: &Devices, record: &ImageRecord) -> CommandResult {
    let statement = seal.statement();
    let problem = match statement.check(devices) {
        Err(error) => error.to_string(),
        Ok(()) if statement.platform() != record.platform => {
            format!("it is for {}, not for {}", statement.platform(), record.platform)
        }
        Ok(()) if statement.packs() != devices.packs || statement.metadata() != [devices.metadata] => {
            "it has devices that the image has not".to_owned()
        }
        Ok(()) => return Ok(()),
    };
    Err(CommandError::refused(format_args!("the seal of {} is not for it: {problem}", record.name))
        .hint("--replace makes a new one"))
}

impl From<SealSigningError> for CommandError {
    fn from(error: SealSigningError) -> Self {
        match error {
            SealSigningError::Seal(_) => Self::failed(error).hint("--replace makes a new one"),
            _ => Self::failed(error),
        }
    }
}
