//! What a boot is to do, on a disk of its own: a sealed host takes nothing from whoever starts the machine, its command line
//! least of all.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// The disk's serial number, by which udev names it.
pub const SERIAL: &str = "sealpack-task";

/// The disk in the booted system.
pub const DEVICE: &str = "/dev/disk/by-id/virtio-sealpack-task";

/// The disk's size: a text, then zero bytes.
const DISK_BYTES: usize = 64 * 1024;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Task {
    /// The names of the checks, in their order.
    pub checks: Vec<String>,
    /// Whether the machine starts again when all is done, and is not turned off.
    pub reboots: bool,
    /// Whether every hardening is off, and attacks have to succeed.
    pub is_bare: bool,
    /// Whether to tell figures, before them.
    pub figures: bool,
    /// How many starts of containers to time, of each kind.
    pub starts: u32,
    /// Whether to show what root tries, for the demo, after them.
    pub demo: bool,
}

impl Task {
    /// These checks.
    pub fn checks(names: &[&str]) -> Self {
        Self {
            checks: names.iter().map(|&name| name.to_owned()).collect(),
            reboots: false,
            is_bare: false,
            figures: false,
            starts: 0,
            demo: false,
        }
    }

    /// Writes the disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, disk: &Path) -> Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        ensure!(bytes.len() < DISK_BYTES, "the task is too long");
        bytes.resize(DISK_BYTES, 0);
        fs::write(disk, bytes).with_context(|| format!("cannot write {}", disk.display()))
    }

    /// Reads the disk, or the device that it is in the machine.
    ///
    /// # Errors
    /// If it cannot be read, or has no task.
    pub fn read(disk: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        let file = File::open(disk).with_context(|| format!("cannot open {}", disk.display()))?;
        file.take(DISK_BYTES as u64).read_to_end(&mut bytes)?;
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        serde_json::from_slice(text).with_context(|| format!("{} has no task", disk.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_read_as_it_was_written() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let disk = dir.path().join("task");
        let task = Task { demo: true, ..Task::checks(&["one", "two"]) };
        task.write(&disk)?;
        assert_eq!(Task::read(&disk)?, task);
        fs::write(&disk, [0; 512])?;
        assert!(Task::read(&disk).is_err());
        Ok(())
    }
}
