//! That an older UKI was started.

use anyhow::{Context, Result, ensure};
use sealpack_guest::host::task::Task;
use std::fs;

/// The newer UKI has no try left, this one is blessed, and the reason is there to read.
pub(super) fn falls_back(_: &Task) -> Result<()> {
    let entries = fs::read_dir("/efi/EFI/Linux").context("cannot list the UKIs")?;
    let names: Vec<String> = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    ensure!(names.len() == 2, "there are not two UKIs: {names:?}");
    ensure!(names.iter().any(|name| name.ends_with("+0-1.efi")), "none has failed: {names:?}");
    ensure!(names.iter().any(|name| !name.contains('+')), "none is blessed: {names:?}");
    let refused = fs::read_to_string("/data/boot/refused").context("no reason is kept")?;
    ensure!(refused.contains("root hash"), "the reason is another one: {refused}");
    Ok(())
}
