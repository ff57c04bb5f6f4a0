//! fs-verity on ext4.

use super::Verdict;
use anyhow::{Context, Result, ensure};
use sealpack_format::digest::Algorithm;
use sealpack_format::verity::fsverity_digest;
use sealpack_kernel::Kernel;
use sealpack_kernel::fsverity::{Enabled, Measurement};
use std::fs::{self, File};

/// Around the edges of blocks and of levels of the tree: 128 hashes of SHA-256 fit a block, 64 of SHA-512.
const SIZES: [usize; 9] = [0, 1, 4095, 4096, 4097, 64 * 4096, 64 * 4096 + 1, 128 * 4096 + 1, 3_000_000];

pub(crate) fn digests_agree(algorithm: Algorithm) -> Result<Verdict> {
    let (kernel, path) = (Kernel::new(), format!("/disk/fsverity-{algorithm}"));
    for size in SIZES {
        let content: Vec<u8> = (0..size).map(|at| (at / 4096 + at % 251) as u8).collect();
        fs::write(&path, &content)?;
        let file = File::open(&path)?;
        let enabled = kernel.enable_verity(&file, algorithm)?;
        ensure!(enabled == Enabled::Now, "{size} bytes: {enabled:?}");
        let measured = kernel.measure_verity(&file)?;
        let expected = fsverity_digest(algorithm, &content);
        ensure!(measured == Measurement::Digest(expected), "{size} bytes: {measured:?}, not {expected}");
        let write = File::options().write(true).open(&path);
        let error = write.err().with_context(|| format!("{size} bytes: the file can be written to"))?;
        ensure!(error.raw_os_error() == Some(1), "{size} bytes: writing failed with {error}, not EPERM");
        ensure!(kernel.enable_verity(&file, algorithm)? == Enabled::Before);
        fs::remove_file(&path)?;
    }
    Ok(Verdict::Shown)
}
