//! Whether what is to be written fits.

use std::os::fd::AsFd;

use crate::error::{Error, Result};

/// That the filesystem of `place` has room for so many bytes. The outer error is the system's.
pub(crate) fn check(
    place: impl AsFd,
    what: &str,
    needed_bytes: u64,
) -> std::result::Result<Result<()>, rustix::io::Errno> {
    let stat = rustix::fs::fstatvfs(place)?;
    // What is set aside for the superuser is there for the superuser.
    let blocks = if rustix::process::geteuid().is_root() { stat.f_bfree } else { stat.f_bavail };
    let free_bytes = blocks.saturating_mul(stat.f_frsize);
    if stat.f_blocks == 0 || needed_bytes <= free_bytes {
        return Ok(Ok(()));
    }
    Ok(Err(Error::NoRoom { what: what.to_owned(), needed_bytes, free_bytes }))
}
