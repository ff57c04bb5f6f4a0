//! A host that is mended by a sealed image on another disk.

use super::stdout;
use anyhow::{Context, Result, ensure};
use sealpack_guest::host::page;
use sealpack_guest::host::rescue::DAMAGED;
use sealpack_guest::host::task::Task;
use std::process::Command;

/// Does what docs/sealed-hosts.md says, and looks at what came of it.
pub(super) fn mends(_: &Task) -> Result<()> {
    let part = |number: u8| format!("/dev/disk/by-id/virtio-{DAMAGED}-part{number}");
    let (esp, data) = (part(1), part(2));
    for (program, partition) in [("fsck.fat", &esp), ("e2fsck", &data)] {
        let looked = Command::new(program).args(["-n", partition]).output()?;
        ensure!(!looked.status.success(), "nothing is wrong with {partition}: {looked:?}");
    }
    let commands = page::rescue().replace("/dev/ESP", &esp).replace("/dev/DATA", &data);
    let mended = Command::new("sh").args(["-xuc", &commands]).output().context("cannot start sh")?;
    ensure!(mended.status.success(), "{mended:?}");
    stdout("e2fsck", &["-f", "-n", &data])?;
    stdout("fsck.fat", &["-n", &esp])?;
    let said = String::from_utf8_lossy(&mended.stdout).to_lowercase();
    ensure!(said.contains(": all good\n"), "the store is not good: {said}");
    ensure!(said.contains("sealed_") && said.contains(".efi"), "no UKI is there: {said}");
    Ok(())
}
