//! Small files that are written whole.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::backend::{Dir, sync_file};
use crate::error::{Error, Result};
use crate::store::Store;

impl Store {
    /// Puts a file with that content at `name` in `directory`, in the place of an earlier one. Durable on
    /// return; interrupted, it leaves what was there before.
    pub(crate) fn put_file(&self, directory: &Dir, name: &Path, content: &[u8], mode: u32) -> Result<()> {
        let temporary = temporary_name();
        let path = self.tmp.at(&temporary);
        let written = self.tmp.create(&temporary, mode).and_then(|mut file| {
            file.write_all(content).map_err(|e| Error::io("write", &path, e))?;
            sync_file(&file, &path)?;
            self.tmp.rename(&temporary, directory, name)
        });
        if written.is_err() {
            // The first error is the one to tell; gc removes what this leaves.
            let _ = self.tmp.unlink(&temporary);
        }
        written?;
        directory.sync()
    }

    /// A file in `tmp/` that goes with its descriptor.
    pub(crate) fn scratch(&self) -> std::io::Result<std::fs::File> {
        self.tmp.scratch(&temporary_name()).map_err(std::io::Error::other)
    }
}

/// A name that no other file in `tmp/` has: gc removes leftovers under the exclusive lock,
/// so those of dead processes with the same number are the only others; create refuses to reuse them.
fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("file-{}-{}-{next}", std::process::id(), now.as_nanos())
}
