//! One file for each verb.

mod bundle;
mod cat;
mod compat;
mod containerd;
mod convert;
mod copy;
mod df;
mod diff;
mod doctor;
mod fsck;
mod gc;
mod generate;
mod history;
mod host;
mod images;
mod inspect;
mod key;
mod load;
mod ls;
mod metrics;
mod mount;
mod mounts;
mod policy;
mod pull;
mod report;
mod rm;
mod rollback;
mod run;
mod save;
mod seal;
mod tag;
mod tags;
mod trust;
mod umount;
mod verify;

use crate::context::Context;
use crate::error::CommandResult;

/// Each is put together only when it is the one that was asked for, or all of them are listed.
#[derive(Debug, clap::Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    Pull(Box<pull::Pull>),
    Images(images::Images),
    Inspect(inspect::Inspect),
    Convert(convert::Convert),
    Copy(Box<copy::Copy>),
    Save(Box<save::Save>),
    Load(Box<load::Load>),
    Tag(tag::Tag),
    Tags(Box<tags::Tags>),
    History(history::History),
    Rollback(rollback::Rollback),
    Rm(rm::Rm),
    Seal(Box<seal::Seal>),
    Verify(Box<verify::Verify>),
    Mount(mount::Mount),
    Umount(umount::Umount),
    Mounts(mounts::MountList),
    Run(Box<run::Run>),
    Bundle(Box<bundle::Bundle>),
    Containerd(containerd::Containerd),
    Ls(ls::Ls),
    Cat(cat::Cat),
    Diff(diff::Diff),
    Df(df::Df),
    Gc(gc::Gc),
    Fsck(fsck::Fsck),
    Doctor(doctor::Doctor),
    Metrics(metrics::Metrics),
    Report(report::Report),
    Compat(compat::Compat),
    Key(key::Key),
    Policy(policy::Policy),
    Trust(trust::Trust),
    Host(host::Host),
    Generate(generate::Generate),
}

impl Command {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self {
            Self::Pull(command) => command.run(context),
            Self::Images(command) => command.run(context),
            Self::Inspect(command) => command.run(context),
            Self::Convert(command) => command.run(context),
            Self::Copy(command) => command.run(context),
            Self::Save(command) => command.run(context),
            Self::Load(command) => command.run(context),
            Self::Tag(command) => command.run(context),
            Self::Tags(command) => command.run(context),
            Self::History(command) => command.run(context),
            Self::Rollback(command) => command.run(context),
            Self::Rm(command) => command.run(context),
            Self::Seal(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Mount(command) => command.run(context),
            Self::Umount(command) => command.run(context),
            Self::Mounts(command) => command.run(context),
            Self::Run(command) => command.run(context),
            Self::Bundle(command) => command.run(context),
            Self::Containerd(command) => command.run(context),
            Self::Ls(command) => command.run(context),
            Self::Cat(command) => command.run(context),
            Self::Diff(command) => command.run(context),
            Self::Df(command) => command.run(context),
            Self::Gc(command) => command.run(context),
            Self::Fsck(command) => command.run(context),
            Self::Doctor(command) => command.run(context),
            Self::Metrics(command) => command.run(context),
            Self::Report(command) => command.run(context),
            Self::Compat(command) => command.run(context),
            Self::Key(command) => command.run(context),
            Self::Policy(command) => command.run(context),
            Self::Trust(command) => command.run(context),
            Self::Host(command) => command.run(context),
            Self::Generate(command) => command.run(context),
        }
    }
}
