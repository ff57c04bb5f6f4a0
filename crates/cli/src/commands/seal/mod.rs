mod attach;
mod bring;
mod every;
mod prepare;
mod push;

use std::fmt;
use std::path::PathBuf;

use sealpack_node::seals::{self, Wanted};
use sealpack_oci::target::Target;
use sealpack_store::ImageRecord;
use sealpack_trust::seal::{Seal as ImageSeal, SealingKeys};
use serde_json::{Value, json};

use crate::args::LimitArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::registry_args::RegistryArgs;
use crate::signing::{SealSigningArgs, StatementSigningArgs};
use crate::statement::StatementArgs;

/// Seal an image: sign what it is made of, and the names that it may run under.
///
/// Signed are the root hashes of its metadata image and packs, which the kernel judges, and the statement that ties
/// these to the image and to its names, which those judge who pull it. The seal is kept in the store, beside the
/// image, and published beside the image with --push. When the image is mounted, the kernel gets the signatures of the
/// root hashes, and accepts them if it has the certificate in one of its keyrings: `sealpack doctor` shows them.
///
/// An image that the store does not have is pulled first, whatever the trust store says of it. One that it has is sealed
/// as it is there: `sealpack pull` first where its name means another one by now. One whose objects are files is
/// converted into packs. Every byte is verified before anything is signed.
///
/// Sealing again with another key adds its signatures, over the same statement. Nothing is computed again for that
/// where the trust store knows who signed before. A store has one seal of an image, which can be for several names.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  sealpack key new --key packs.key --cert packs.crt
  sealpack seal debian:12 --key packs.key --cert packs.crt
  sealpack seal debian:12 --name registry.example.org/debian:12 --key packs.key --cert packs.crt
  sealpack seal debian:12 --key p.key --cert p.crt --statement-key s.key --statement-cert s.crt
  sealpack seal registry.lan/app:1 --all-platforms --push --key packs.key --cert packs.crt
  sealpack seal prepare debian:12 --out to-be-signed
  sealpack seal attach debian:12 to-be-signed --cert offline.crt
  sealpack seal push debian:12 --to registry.example.org/base/debian:12
  sealpack mount debian:12 /mnt --require signed")]
pub(crate) struct Seal {
    #[command(subcommand)]
    command: Option<SealCommand>,
    /// The image: a name or a digest in the store, or else a source as of `sealpack pull`.
    #[arg(required = true)]
    image: Option<String>,
    #[command(flatten)]
    statement: StatementArgs,
    #[command(flatten)]
    signing: SealSigningArgs,
    #[command(flatten)]
    statement_signing: StatementSigningArgs,
    /// Make a new seal in the place of the one that there is.
    #[arg(long)]
    replace: bool,
    /// Seal the image for every platform that there is one for: each is pulled, under its digest, into packs.
    #[arg(long)]
    all_platforms: bool,
    /// Publish the seal too, beside the image where that was pulled from.
    #[arg(long)]
    push: bool,
    /// With --push: where the image is that the seal is put beside.
    #[arg(long, value_name = "TARGET", requires = "push")]
    to: Option<Target>,
    /// With --push: publish the image's composefs digests too, as the composefs project has them, signed by --key.
    #[arg(long, requires = "push")]
    composefs_artifact: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, clap::Subcommand)]
enum SealCommand {
    Prepare(prepare::Prepare),
    Attach(attach::Attach),
    Push(push::Push),
}

impl Seal {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.command {
            Some(SealCommand::Prepare(command)) => command.run(context),
            Some(SealCommand::Attach(command)) => command.run(context),
            Some(SealCommand::Push(command)) => command.run(context),
            None => self.sign(context),
        }
    }

    fn sign(mut self, context: &Context) -> CommandResult {
        let image = self.image.take().ok_or_else(|| CommandError::usage("no image is given"))?;
        let packs = self.signing.signer(context.output)?;
        let statement = self.statement_signing.signer(context.output)?;
        let keys =
            SealingKeys { packs: packs.pair(), statement: statement.as_ref().unwrap_or(&packs).pair() };
        if self.all_platforms {
            return self.sign_all(context, &image, &keys);
        }
        let record = bring::find_or_pull(context, &image, &self.statement, &self.registry, self.limits)?;
        let sealed = self.sign_one(context, record, &self.statement.wanted()?, &keys)?;
        context.output.result(&sealed.to_json(), || sealed.to_string())
    }

    /// Seals an image that the store has, and publishes the seal if so wanted.
    fn sign_one(
        &self,
        context: &Context,
        record: ImageRecord,
        wanted: &Wanted,
        keys: &SealingKeys<'_>,
    ) -> Result<Sealed, CommandError> {
        let (_lock, store) = context.open_for_reading()?;
        let (trust, mut remarks) = (context.trust_store(), context.output.remarks());
        let (record, draft) = seals::draft(&store, record, &trust, wanted, self.replace, &mut remarks)?;
        let seal = draft.sign(keys)?;
        store.write_seal(&record.manifest, &seal.to_json())?;
        let published = match self.push {
            true => {
                let place = push::Place::new(&record, self.to.as_ref())?;
                let mut published = place.publish(context, &store, &record, &seal, &self.registry)?;
                if self.composefs_artifact {
                    let signer = Some(&keys.packs);
                    let digest = place.publish_composefs(&store, &record, signer, &self.registry)?;
                    published.composefs = Some(digest);
                }
                Some(published)
            }
            false => None,
        };
        let path = store.seal_path(&record.manifest);
        Ok(Sealed { record, seal, path, published })
    }
}

/// What came of sealing an image.
struct Sealed {
    record: ImageRecord,
    seal: ImageSeal,
    /// Where the store has the seal.
    path: PathBuf,
    published: Option<push::Published>,
}

impl Sealed {
    fn to_json(&self) -> Value {
        let statement = self.seal.statement();
        let packs = statement.packs().iter().map(|pack| pack.root_hash);
        json!({
            "name": self.record.name,
            "manifest": self.record.manifest,
            "platform": statement.platform(),
            "names": statement.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "epoch": statement.epoch(),
            "created": statement.created().to_string(),
            "metadata_root_hash": statement.metadata().first().map(|metadata| metadata.root_hash),
            "pack_root_hashes": packs.collect::<Vec<_>>(),
            "signers": self.seal.signers(),
            "root_hash_signers": self.seal.root_hash_signers(),
            "seal": self.path,
            "published": self.published.as_ref().map(push::Published::to_json),
        })
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statement = self.seal.statement();
        let names: Vec<_> = statement.names().iter().map(ToString::to_string).collect();
        write!(f, "{}: sealed as {}, epoch {}; ", self.record.name, names.join(", "), statement.epoch())?;
        let (number, signers) = (statement.root_hashes().count(), self.seal.signers());
        let (by, packs) = (signers.join(" and by "), self.seal.root_hash_signers());
        match packs == signers {
            true => writeln!(f, "the statement and {number} root hashes signed by {by}")?,
            false => writeln!(
                f,
                "the statement signed by {by}; {number} root hashes signed by {}",
                packs.join(" and by ")
            )?,
        }
        self.published.iter().try_for_each(|published| write!(f, "{published}"))
    }
}
