//! That IPE goes on enforcing.

use super::read;
use anyhow::{Result, bail, ensure};
use sealpack_guest::host::task::Task;
use std::fs;

const ENFORCE: &str = "/sys/kernel/security/ipe/enforce";

/// Writing 0 to `enforce` is refused; without the hardening it is not.
pub(super) fn stays(task: &Task) -> Result<()> {
    let written = fs::write(ENFORCE, "0");
    let found = read(ENFORCE)?;
    if task.is_bare {
        written?;
        fs::write(ENFORCE, "1")?;
        ensure!(found == "0", "it was written, and is {found}");
        return Ok(());
    }
    match written {
        Ok(()) => bail!("it was written, and is {found}"),
        Err(error) => ensure!(
            error.kind() == std::io::ErrorKind::PermissionDenied && found == "1",
            "enforce is {found}, and writing ended with {error}"
        ),
    }
    Ok(())
}
