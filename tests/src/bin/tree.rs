//! Makes the dm-verity hash area of a file, for measuring that alone.
//!
//! `sealpack-tree DATA AREA`: writes AREA, waits until it is on the disk as `veritysetup` does, and prints the
//! root hash.

use anyhow::{Context, Result};
use sealpack_format::verity::dmverity::{Hashing, write_hash_area};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut next = || arguments.next().context("usage: sealpack-tree DATA AREA");
    let (data, area) = (next()?, next()?);
    let data = File::open(&data).with_context(|| format!("cannot open {}", data.display()))?;
    let size_bytes = data.metadata()?.len();
    let out = File::create(&area).with_context(|| format!("cannot create {}", area.display()))?;
    let hash = sealpack_kernel::sha256::leaf_hash();
    let hashing = Hashing { hash, threads: std::thread::available_parallelism()? };
    let (root, out) = write_hash_area(&data, size_bytes, out, 0, hashing)?;
    out.sync_all()?;
    Ok(writeln!(std::io::stdout(), "{root}")?)
}
