use std::time::Duration;

use sealpack_kernel::Kernel;
use sealpack_node::collect::{Collection, collect};
use sealpack_store::{ImageRecord, Store, Tally};

use super::host;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;
use crate::show::space::{Owner, Space};

/// Show what the store takes, what images share, and what `sealpack gc` would free.
///
/// An image is listed once, with all its names. OWN is what would be free if all of these were removed, SHARED what other
/// images in the same form have too; SIZE is both together. Sizes are those of files, which a filesystem may round up.
/// What gc would free it finds out as `sealpack gc --dry-run` does, which waits for commands that use the store.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack df
  sealpack df --json | jq .unneeded.size_bytes")]
pub(crate) struct Df {
    /// How long to wait for others that use the store before what gc would free is left out, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u64,
}

impl Df {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (lock, store) = context.open_for_reading()?;
        let images = store.images()?;
        let (owners, records) = owners(images.records);
        let (usage, together) = store.usage_together(&records)?;
        let holdings = store.holdings()?;
        // gc wants the store for itself.
        drop(lock);
        let unneeded = self.unneeded(context, &store).map_err(|error| error.message());
        let owners = owners.into_iter().zip(usage);
        let owners = owners.map(|(names, usage)| Owner { names, usage }).zip(records).collect();
        let space = Space { owners, damaged: images.damaged, together, holdings, unneeded };
        show::space::shown(context.output, &store, &space)
    }

    fn unneeded(&self, context: &Context, store: &Store) -> Result<Tally, CommandError> {
        let keep = host::keep_for_boot(context, store, None, true)?;
        let wait = Duration::from_secs(self.wait);
        let collection = Collection { dry_run: true, keep_previous: 1, keep_younger_than: None, wait, keep };
        let report = collect(store, &Kernel::default(), collection, &mut context.output.remarks())?;
        Ok(report.total())
    }
}

/// The images behind names, each once, with its names: one that has several shares nothing with itself.
fn owners(named: Vec<ImageRecord>) -> (Vec<Vec<String>>, Vec<ImageRecord>) {
    let (mut names, mut records) = (Vec::<Vec<String>>::new(), Vec::<ImageRecord>::new());
    let mut places = std::collections::BTreeMap::new();
    for record in named {
        let key = (record.manifest.to_string(), record.objects.name());
        let place = *places.entry(key).or_insert(records.len());
        if place == records.len() {
            names.push(Vec::new());
            records.push(record.clone());
        }
        names[place].push(record.name);
    }
    (names, records)
}
