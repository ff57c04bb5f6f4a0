//! The filesystem that benchmarks work on, where the one at hand would measure itself.
//!
//! ext4 without a journal gives no inode away again for one to five minutes after its file was removed, and looks at each of
//! these anew for every file that is made (fs/ext4/ialloc.c, `recently_deleted`): where one round's files were removed, the
//! next round's cost a hundred times as much. Such a disk is not measured: benchmarks get a filesystem with a journal, in an
//! image on it.

use anyhow::{Context, Result};
use sealpack_tests::command::{run, stdout};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// More than all benchmarks need at once; only what is there takes room.
const SIZE_BYTES: u64 = 48 << 30;

/// Some rounds of a million files.
const INODES: &str = "6000000";

/// A mounted image, which goes when this is dropped.
pub(crate) struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
}

impl Disk {
    /// A filesystem in `place`, if that needs one.
    ///
    /// # Errors
    /// If it cannot be made or mounted, which wants root.
    pub(crate) fn instead_of(place: &Path) -> Result<Option<Self>> {
        let mut findmnt = Command::new("findmnt");
        let source = stdout(findmnt.args(["--noheadings", "--output", "SOURCE", "--target"]).arg(place))?;
        // Of btrfs, overlayfs and others it is no file, or more than that.
        let Ok(device) = fs::canonicalize(source.trim()) else { return Ok(None) };
        let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_without_journal(Path::new("/proc/fs"), &name) { Self::new(place).map(Some) } else { Ok(None) }
    }

    fn new(place: &Path) -> Result<Self> {
        let disk = Self { image: place.join("disk.img"), mounted_at: place.join("disk") };
        // What a killed run has left.
        disk.remove();
        fs::create_dir_all(&disk.mounted_at)?;
        let made = disk.make();
        made.with_context(|| {
            format!("{} is on ext4 without a journal, and no other filesystem can be made", place.display())
        })?;
        Ok(disk)
    }

    fn make(&self) -> Result<()> {
        fs::File::create(&self.image)?.set_len(SIZE_BYTES)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-N", INODES]).arg(&self.image))?;
        // Else the kernel goes on making it beside what is measured.
        run(Command::new("mount").args(["-o", "loop,noinit_itable"]).args([&self.image, &self.mounted_at]))?;
        Ok(())
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted_at
    }

    /// Makes holes in the image where nothing is any more. Where that cannot be, it goes on growing.
    pub(crate) fn give_room_back(&self) {
        let trimmed = run(&mut Command::new("sync"))
            .and_then(|_| run(Command::new("fstrim").arg(&self.mounted_at)).map(drop));
        if let Err(error) = trimmed {
            eprintln!("# {error:#}");
        }
    }

    /// Whatever of it is there.
    fn remove(&self) {
        if fs::exists(&self.image).unwrap_or(false) {
            // What is still open there keeps it until it is closed.
            _ = run(Command::new("umount").arg("--lazy").arg(&self.mounted_at));
            _ = fs::remove_file(&self.image);
        }
        _ = fs::remove_dir(&self.mounted_at);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Whether `device` has an ext4 without a journal: it is in `ext4/` of `/proc/fs`, and not, with its journal's inode, in `jbd2/`.
fn is_without_journal(proc_fs: &Path, device: &str) -> bool {
    let journals = fs::read_dir(proc_fs.join("jbd2"));
    let names = journals.into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut devices = names.filter_map(|name| Some(name.to_str()?.rsplit_once('-')?.0.to_owned()));
    proc_fs.join("ext4").join(device).is_dir() && !devices.any(|journalled| journalled == device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ext4_without_a_journal_is_told_from_others() {
        let proc_fs = tempfile::tempdir().unwrap();
        for directory in ["ext4/vda", "ext4/vda1", "ext4/dm-0", "jbd2/vda1-8", "jbd2/dm-0-8"] {
            fs::create_dir_all(proc_fs.path().join(directory)).unwrap();
        }
        let without: Vec<_> = ["vda", "vda1", "dm-0", "nvme0n1p2"]
            .into_iter()
            .filter(|device| is_without_journal(proc_fs.path(), device))
            .collect();
        assert_eq!(without, ["vda"]);
    }
}
