mod chain;
mod changes;
mod decisions;
mod host;
mod images;
mod packages;

use std::path::{Path, PathBuf};

use sealpack_kernel::Kernel;
use sealpack_node::new_files::{NewFile, write_all};
use sealpack_page::Page;
use sealpack_store::{ImageRecord, Store};

use crate::args::{Assume, given_date};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Anybody may read it who may look into the directory.
const MODE: u32 = 0o644;

/// Write a page about images: what they share, who has signed what and until when, what a policy would do, what changed.
///
/// The page is one HTML file that asks for nothing from anywhere, for a browser, a mail or paper. Nothing is hashed for it:
/// `sealpack verify` does that. The same store, trust store and kernel give the same page; it says when it was made where
/// $SOURCE_DATE_EPOCH does. Whether certificates have run out is judged by the clock.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack report debian:12 -o report.html
  sealpack report --all --policy sealed.policy -o report.html
  sealpack report debian:12 app:1 --assume sealed -o report.html
  sealpack report --host -o host.html --force")]
pub(crate) struct Report {
    /// The images: names or digests.
    #[arg(value_name = "IMAGE", required_unless_present_any = ["all", "host"])]
    images: Vec<String>,
    /// All images that have a name in the store.
    #[arg(long, conflicts_with = "images")]
    all: bool,
    /// What decides: a file with a policy, signed or not, or the name of a policy that the kernel has [default: what
    /// `sealpack policy new final` writes].
    #[arg(long, value_name = "POLICY")]
    policy: Option<PathBuf>,
    /// Judge images as if they were kept and mounted so, not as this store has them.
    #[arg(long, value_enum, value_name = "HOW")]
    assume: Option<Assume>,
    /// Add this machine: what its kernel enforces, whom it trusts, what is mounted, and what was denied since it started.
    #[arg(long)]
    host: bool,
    /// Where the kernel's records of denials are, `-` for standard input [default: the kernel's own log]. Where the audit
    /// daemon runs, it has them: /var/log/audit/audit.log.
    #[arg(long, value_name = "FILE", requires = "host")]
    log: Option<PathBuf>,
    /// Where the page goes.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

impl Report {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let page = self.page(context)?;
        let html = sealpack_page::page(&page);
        let write = |path: &Path| {
            let file = NewFile { path, bytes: html.as_bytes(), mode: MODE };
            write_all(&[file], self.force).map_err(CommandError::from)
        };
        write(&self.output)?;
        show::page::written(context.output, &self.output, html.len(), &page)
    }

    fn page(&self, context: &Context) -> Result<Page, CommandError> {
        let kernel = Kernel::default();
        let mut page = Page {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            made: given_date()?.map(|time| images::time(time.unix_seconds())),
            store: context.store_path()?.display().to_string(),
            ..Page::default()
        };
        let opened = match context.open_for_reading() {
            // A machine can be looked at without one.
            Err(error) if error.is_no_store() && self.images.is_empty() && !self.all => None,
            opened => Some(opened?),
        };
        if let Some((_lock, store)) = &opened {
            let records = self.records(context, store)?;
            images::add(&mut page, context, store, &records, &self.judge(context, &kernel)?)?;
        }
        if self.host {
            let images = opened.as_ref().map(|(_lock, store)| store.images()).transpose()?;
            let records = images.map(|images| images.records).unwrap_or_default();
            page.host = Some(host::found(context, &kernel, &records, self.log.as_deref())?);
        }
        Ok(page)
    }

    /// The images that are asked for. None is not all.
    fn records(&self, context: &Context, store: &Store) -> Result<Vec<ImageRecord>, CommandError> {
        if self.all {
            let images = store.images()?;
            if let Some(damage) = images.damaged.first() {
                return Err(CommandError::refused(damage).hint(crate::hint::OF_RECORD));
            }
            return Ok(images.records);
        }
        self.images.iter().map(|image| context.find(store, image)).collect()
    }

    fn judge(&self, context: &Context, kernel: &Kernel) -> Result<decisions::Judge, CommandError> {
        decisions::Judge::new(context, kernel, self.policy.as_deref(), self.assume.map(Into::into))
    }
}
