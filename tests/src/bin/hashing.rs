//! How fast files can be hashed: opens each below a directory, reads it and computes its fs-verity digest, and does nothing
//! else, on all processors.
//!
//! `sealpack-hashing DIRECTORY`

use anyhow::{Context, Result};
use sealpack_format::digest::Algorithm;
use sealpack_kernel::fsverity::FileHasher;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).context("usage: sealpack-hashing DIRECTORY")?;
    let mut files = Vec::new();
    list(Path::new(&directory), &mut files)?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        let mut hasher = FileHasher::new(Algorithm::Sha256);
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            std::hint::black_box(hasher.hash(&File::open(path)?)?);
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("it panicked"))?)
    })
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?
    {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
