//! Where the parts of a host are that goes to another version.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use sealpack_format::ObjectId;
use sealpack_format::boot::{CommandLine, data};
use sealpack_host::esp::firmware::VARIABLES;
use sealpack_host::esp::{Boots, Entry, Esp, Facts, Filesystem, LoaderVariables, MOUNTED_AT};
use sealpack_host::status::RunningImage;
use sealpack_host::upgrade::{FirmwareKeys, Host, Staged, UpgradeError, check_clock};
use sealpack_kernel::Kernel;
use sealpack_node::place::StorePlace;
use sealpack_node::seals;
use sealpack_store::Store;

use super::super::find_out;
use crate::context::{Context, LOCK_WAIT};
use crate::error::CommandError;

/// The file by which an administrator keeps a host as it is; what it says is the reason.
const NO_UPGRADE: &str = "etc/sealpack/no-upgrade";
/// The most of it that is shown.
const REASON_MAX_BYTES: u64 = 1024;

/// Options that say which host it is.
#[derive(Debug, clap::Args)]
pub(crate) struct HostArgs {
    /// Work on a host that does not run, whose EFI system partition is mounted at DIR/efi and whose data partition at
    /// DIR/data, as in a rescue system.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// A host.
pub(super) struct HostPlace {
    root: PathBuf,
    /// Whether it is the one that runs.
    is_own: bool,
}

impl HostArgs {
    pub(super) fn place(&self) -> HostPlace {
        HostPlace {
            root: self.root.clone().unwrap_or_else(|| PathBuf::from("/")),
            is_own: self.root.is_none(),
        }
    }
}

impl HostPlace {
    fn below(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The place of what waits, which keeps others from changing what is started.
    pub(super) fn hold(&self) -> Result<Staged, CommandError> {
        let refused = self.below(data::MOUNTED_AT).join(data::REFUSED);
        Ok(Staged::hold(refused.parent().unwrap_or(&refused))?)
    }

    /// That no administrator keeps the host as it is.
    pub(super) fn check_allowed(&self) -> Result<(), CommandError> {
        let path = self.below(NO_UPGRADE);
        let file = match std::fs::File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            // What is there and cannot be read says no all the same.
            file => file.ok(),
        };
        let mut text = Vec::new();
        let read = file.map(|file| file.take(REASON_MAX_BYTES).read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        let reason = read.is_some().then_some(text).filter(|text| !text.is_empty());
        Err(UpgradeError::Forbidden { path, reason }.into())
    }

    /// That the one that runs is a sealed host. Of another one nobody knows before its partitions are looked at.
    pub(super) fn check_sealed(&self) -> Result<(), CommandError> {
        if !self.is_own {
            return Ok(());
        }
        let failed = |why| {
            CommandError::failed(format_args!("this host is not sealed: {why}"))
                .hint("docs/sealed-hosts.md makes one; --root works on one that does not run")
        };
        find_out(&Kernel::new())?.map(drop).map_err(failed)
    }

    /// Its EFI system partition.
    pub(super) fn esp(&self) -> Result<Esp, CommandError> {
        let path = self.below(MOUNTED_AT);
        let looked = Filesystem::look(&path).map_err(UpgradeError::from)?;
        // Of another host, whoever mounted it says what it is.
        let looked = match self.is_own {
            true => looked,
            false => Filesystem { is_mounted: true, is_fat: true, ..looked },
        };
        Ok(Esp::open(&path, looked).map_err(UpgradeError::from)?)
    }

    pub(super) fn variables(&self) -> PathBuf {
        self.below(VARIABLES)
    }

    /// What its next start depends on.
    pub(super) fn facts(&self, esp: &Esp) -> Result<Facts, CommandError> {
        let booted = self.command_line()?.map(|line| line.boot().clone());
        let variables = LoaderVariables::read(&self.variables()).map_err(UpgradeError::from)?;
        Ok(Facts { variables, configured: esp.configured_default().map_err(UpgradeError::from)?, booted })
    }

    /// Its command line, if it runs.
    fn command_line(&self) -> Result<Option<CommandLine>, CommandError> {
        self.check_sealed()?;
        let path = self.below("/proc/cmdline");
        match std::fs::read(&path) {
            Ok(line) => CommandLine::parse(&line)
                .map(Some)
                .map_err(|error| CommandError::failed(error).about(&path.display().to_string())),
            Err(error) if !self.is_own && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CommandError::failed(error).about(&path.display().to_string())),
        }
    }

    /// Its store, unless another one was named.
    pub(super) fn store(&self, context: &Context) -> StorePlace {
        let usual = || self.below(data::MOUNTED_AT).join(data::STORE);
        StorePlace::new(context.store.clone().unwrap_or_else(usual), LOCK_WAIT)
    }

    /// What it is now: as it runs; where it does not, as it would start.
    pub(super) fn host(&self, boots: &Boots, store: &Store) -> Result<Host, CommandError> {
        let entry = boots.running().or_else(|| boots.next());
        let uki = entry.and_then(|entry| entry.uki.as_ref().ok());
        let own = self.command_line()?;
        let command_line = own.or_else(|| uki.map(|uki| uki.command_line.clone()));
        let image = command_line.as_ref().map(|line| line.boot().image);
        let running = image.map(|image| RunningImage::find(store, &image)).transpose()?.flatten();
        let epoch = uki.and_then(sealpack_host::uki::UkiFile::epoch).or(running.and_then(|it| it.epoch));
        let signers = uki.map(|uki| uki.signers.clone()).unwrap_or_default();
        Ok(Host { command_line, epoch, signers, firmware: FirmwareKeys::read(&self.variables()) })
    }

    /// That the clock is not behind what runs.
    pub(super) fn check_clock(&self, host: &Host, store: &Store) -> Result<(), CommandError> {
        let image = host.command_line.as_ref().map(|line| line.boot().image);
        let record = image.map(|image| RunningImage::record(store, &image)).transpose()?.flatten();
        let Some(seal) = record.map(|record| seals::read(store, &record)).transpose()?.flatten() else {
            return Ok(());
        };
        Ok(check_clock(SystemTime::now(), seal.statement().created())?)
    }
}

/// The images that UKIs start.
pub(super) fn images<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> BTreeSet<ObjectId> {
    let image = |entry: &Entry| entry.uki.as_ref().ok().map(|uki| uki.command_line.boot().image);
    entries.into_iter().filter_map(image).collect()
}
