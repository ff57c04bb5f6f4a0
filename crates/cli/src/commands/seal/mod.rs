mod attach;
mod prepare;
mod push;

use sealpack_gate::bring::{self, Images};
use sealpack_gate::publish::Place;
use sealpack_gate::seal::{Publish, Sealed, Sealing, seal};
use sealpack_node::find::{FindError, find_name};
use sealpack_node::seals::Wanted;
use sealpack_oci::environment::Environment;
use sealpack_oci::source::Source;
use sealpack_oci::target::Target;
use sealpack_store::ImageRecord;
use sealpack_trust::seal::SealingKeys;

use crate::args::{LimitArgs, RegistryArgs, SealSigningArgs, StatementArgs, StatementSigningArgs};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::{progress, show};

/// Seal an image: sign what it is made of, and the names that it may run under.
///
/// Signed are the root hashes of its metadata image and packs, which the kernel judges, and the statement that ties
/// these to the image and to its names, which those judge who pull it. The seal is kept in the store, beside the
/// image, and published beside the image with --push. When the image is mounted, the kernel gets the signatures of the
/// root hashes, and accepts them if it has the certificate in one of its keyrings: `sealpack doctor` shows them.
///
/// What the store has is sealed, as it is there, and nothing else is asked for: --pull brings first what the name means
/// now, whatever the trust store says of it. An image whose objects are files is converted into packs. Every byte is
/// verified before anything is signed. A seal is published only where its image is what the name means: elsewhere
/// nothing is signed, unless --stale says that it may be so.
///
/// Sealing again with another key adds its signatures, over the same statement. Nothing is computed again for that
/// where the trust store knows who signed before. Each name of an image has a seal of its own in the store, which can be for
/// several names.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  sealpack key new --key packs.key --cert packs.crt
  sealpack seal debian:12 --key packs.key --cert packs.crt
  sealpack seal debian:12 --name registry.example.org/debian:12 --key packs.key --cert packs.crt
  sealpack seal debian:12 --key p.key --cert p.crt --statement-key s.key --statement-cert s.crt
  sealpack seal registry.lan/app:1 --pull --push --key packs.key --cert packs.crt
  sealpack seal registry.lan/app:1 --all-platforms --push --key packs.key --cert packs.crt
  sealpack seal prepare debian:12 --out to-be-signed
  sealpack seal attach debian:12 to-be-signed --cert offline.crt
  sealpack seal push debian:12 --to registry.example.org/base/debian:12
  sealpack mount debian:12 /mnt --require signed")]
pub(crate) struct Seal {
    #[command(subcommand)]
    command: Option<SealCommand>,
    /// The image: a name or a digest in the store; with --pull or --all-platforms a source as of `sealpack pull`.
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
    /// Bring the image into the store first, in packs: what the name means now, or, where that has a digest, that one.
    #[arg(long)]
    pull: bool,
    /// Seal the image for every platform that there is one for: each is brought first, under its digest, into packs.
    #[arg(long)]
    all_platforms: bool,
    /// Publish the seal too, beside the image where that was pulled from.
    #[arg(long)]
    push: bool,
    /// With --push: where the image is that the seal is put beside.
    #[arg(long, value_name = "TARGET", requires = "push")]
    to: Option<Target>,
    /// With --push: publish the seal even where the name means another image by now.
    #[arg(long, requires = "push")]
    stale: bool,
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
        context.output.when_interrupted("no seal was published that is not whole; seal it again to go on");
        let image = self.image.take().ok_or_else(|| CommandError::usage("no image is given"))?;
        let statement = self.statement_signing.signer(context.output)?;
        let packs = self.signing.signer(context.output)?;
        let keys =
            SealingKeys { packs: packs.pair(), statement: statement.as_ref().unwrap_or(&packs).pair() };
        if self.all_platforms {
            return self.sign_all(context, &image, &keys);
        }
        let record = if self.pull { self.bring(context, &image)? } else { find(context, &image)? };
        let sealed = self.sign_one(context, record, &self.statement.wanted()?, &keys)?;
        show::seal::sealed(context.output, &sealed)
    }

    /// What the source has now, in the store.
    fn bring(&self, context: &Context, image: &str) -> Result<ImageRecord, CommandError> {
        let source: Source = image.parse().map_err(CommandError::usage)?;
        let (client, environment) = (self.registry.client_options(&source, context.output), environment());
        let (place, observer) = (context.place()?, progress::observer(context.output));
        let has_names = self.statement.has_names();
        Ok(bring::bring(
            &source,
            has_names,
            &place,
            (&client, &environment),
            self.limits.limits(),
            observer.as_ref(),
        )?)
    }

    /// Brings each image of an index and seals it. Where one fails, those before it are sealed.
    fn sign_all(&self, context: &Context, image: &str, keys: &SealingKeys<'_>) -> CommandResult {
        let source: Source = image.parse().map_err(CommandError::usage)?;
        let (client, environment) = (self.registry.client_options(&source, context.output), environment());
        let images = Images::of(&source, self.statement.has_names(), (&client, &environment))?;
        let place = context.place()?;
        // One time, and so one epoch, for all: who pulls one platform after another goes back to nothing older.
        let wanted = self.statement.wanted()?;
        let mut all = Vec::new();
        for number in 0..images.count() {
            let observer = progress::observer(context.output);
            let record = images.bring(number, &place, self.limits.limits(), observer.as_ref())?;
            drop(observer);
            let sealed = self.sign_one(context, record, &wanted, keys)?;
            context.output.detail(|| show::seal::sealed_text(&sealed));
            all.push(sealed);
        }
        show::seal::all_sealed(context.output, &all)
    }

    /// Seals an image that the store has, and publishes the seal if so wanted.
    fn sign_one(
        &self,
        context: &Context,
        record: ImageRecord,
        wanted: &Wanted,
        keys: &SealingKeys<'_>,
    ) -> Result<Sealed, CommandError> {
        let (client, environment) = (self.registry.without_mirrors(context.output), environment());
        let beside = Place { to: self.to.clone(), stale: self.stale };
        let publish =
            Publish { place: &beside, composefs: self.composefs_artifact, way: (&client, &environment) };
        let sealing = Sealing { wanted, replace: self.replace, publish: self.push.then_some(publish) };
        let (place, trust, mut remarks) =
            (context.place()?, context.trust_store(), context.output.gate_remarks());
        Ok(seal(&place, &trust, record, &sealing, keys, &mut remarks)?)
    }
}

fn environment() -> Environment {
    Environment::of_process(std::env::var_os)
}

/// The image in the store. Elsewhere nothing is asked for: a name that is mistyped could be somebody else's there.
fn find(context: &Context, image: &str) -> Result<ImageRecord, CommandError> {
    const ADVICE: &str =
        "--pull brings it first, if that is what is meant; `sealpack images` lists what the store has";
    let missing = |what: &str| {
        CommandError::from(FindError::Missing { name: what.to_owned(), similar: Vec::new() }).hint(ADVICE)
    };
    let source: Option<Source> = image.parse().ok();
    if source.is_some_and(|source| !matches!(source, Source::Registry(_))) {
        return Err(missing(image));
    }
    let Some(store) = context.open_if_there(None)? else { return Err(missing(image)) };
    match find_name(&store, image) {
        Err(sealpack_node::Error::Find(FindError::Missing { name, similar })) if similar.is_empty() => {
            Err(missing(&name))
        }
        other => Ok(other?),
    }
}
