mod collected;
mod place;
mod run;

use sealpack_host::upgrade::{Allowed, back_to};
use sealpack_oci::source::Source;

pub(in crate::commands) use collected::keep_for_boot;

use crate::args::RegistryArgs;
use crate::context::Context;
use crate::error::CommandResult;
use crate::hint::TakesOlder;
use crate::show;
use place::HostArgs;
use run::{Desk, Order};

/// What an upgrade and a switch have in common.
#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// Bring the image and its UKI, and write nothing to the EFI system partition: `--apply` does that later.
    #[arg(long)]
    download_only: bool,
    /// Take a UKI whose command line has words that this host's has not.
    #[arg(long)]
    allow_words: bool,
    /// Take a UKI of whose signers the firmware has no certificate, by what it tells; where it does not tell, one that nobody
    /// signed who signed what runs.
    #[arg(long)]
    allow_signer: bool,
    /// Also one that did not come up in its tries, or that somebody went back from.
    #[arg(long)]
    retry: bool,
    /// The UKI to take, by the digest that it is published under, where nothing else says which.
    #[arg(long, value_name = "DIGEST")]
    uki: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    host: HostArgs,
}

/// Have this host start the next version of its image.
///
/// The image is pulled by the rules of the trust store, and has to be sealed. Its UKI comes from beside it, and is compared
/// with the seal before anything is written: it starts just this image with the sealed root hash, is no older than what
/// runs, and its command line says nothing more than this host's. It is written to the EFI system partition with three
/// tries; what runs stays there to be fallen back to. Nothing restarts: the next start is of the new version. Whose signature
/// it takes, the firmware decides; a UKI of somebody whom its variables do not name is refused, and where these do not tell, one
/// of somebody who did not sign what runs.
///
/// A file /etc/sealpack/no-upgrade keeps the host as it is, for the reason that it says. Exit status 3: the image or its UKI
/// is not what was signed, or more than this host may take; nothing was written then.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host upgrade
  sealpack host upgrade registry.example.org/host:2
  sealpack host upgrade --download-only && sealpack host upgrade --apply")]
pub(crate) struct Upgrade {
    /// Where the next version is [default: where the image that runs was pulled from].
    source: Option<Source>,
    /// Have start next what --download-only brought. Nobody is asked.
    #[arg(long, conflicts_with_all = ["source", "download_only", "uki"])]
    apply: bool,
    /// Take an older version than the one that runs.
    #[arg(long)]
    allow_older: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// Have this host start another image.
///
/// As `host upgrade`, but the image may be any, and its versions are not compared with those of the one that runs. They are
/// with those that came in under its own name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host switch registry.example.org/other-host:1")]
pub(crate) struct Switch {
    /// Where the image is.
    source: Source,
    /// Take an image that was sealed before the one that its name had.
    #[arg(long)]
    allow_rollback: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// Have this host start what it would fall back to.
///
/// What would have come next stays on the EFI system partition; going back once more returns to it. Nothing restarts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host rollback && systemctl reboot")]
pub(crate) struct Rollback {
    #[command(flatten)]
    host: HostArgs,
}

impl Upgrade {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let common = self.common;
        let desk = Desk::open_to_bring(context, common.host.place())?;
        let allowed = common.allowed(self.allow_older);
        match self.apply {
            true => desk.apply(&allowed, common.retry),
            false => desk
                .bring(order(self.source, &common, allowed, self.allow_older))
                .map_err(|error| error.of_what_takes_older(TakesOlder::Older)),
        }
    }
}

impl Switch {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let common = self.common;
        let desk = Desk::open_to_bring(context, common.host.place())?;
        let allowed = common.allowed(true);
        desk.bring(order(Some(self.source), &common, allowed, self.allow_rollback))
    }
}

impl CommonArgs {
    fn allowed(&self, older: bool) -> Allowed {
        Allowed { words: self.allow_words, older, signer: self.allow_signer, label: self.uki.clone() }
    }
}

fn order(source: Option<Source>, common: &CommonArgs, allowed: Allowed, allow_rollback: bool) -> Order<'_> {
    Order {
        source,
        registry: &common.registry,
        allowed,
        allow_rollback,
        again: common.retry,
        download_only: common.download_only,
    }
}

impl Rollback {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let desk = Desk::open(context, self.host.place())?;
        let (boots, facts) = desk.parts();
        let (plan, fallback) = back_to(boots, facts)?;
        desk.check_is_there(&fallback)?;
        let before = boots.next().map(|entry| entry.file_name.clone());
        desk.change(&plan)?;
        show::upgrade::back(context.output, before.as_deref(), &fallback)
    }
}
