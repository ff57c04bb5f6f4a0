//! What is noted of a mount when it is made, since the kernel does not tell it later: of which image it is, since when,
//! and which devices it is on.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealpack_format::digest::{BlobDigest, ObjectId, RootHash};
use sealpack_mount::{Achieved, Backing, Mounted, Plan};
use sealpack_store::{ImageRecord, Store};
use serde::{Deserialize, Serialize};

use crate::new_files::{self, NewFile};

/// Where notes are, until the machine starts again. One is named by its overlay's device, which no other filesystem has
/// while it is mounted anywhere.
pub const NOTES: &str = "/run/sealpack/mounts";

/// The version of notes that this program writes and knows.
const VERSION: u64 = 1;

/// More than any note has.
const NOTE_MAX_BYTES: u64 = 1024 * 1024;

/// Which start of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What was noted when an image was mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    version: u64,
    /// Which start of the machine it is from.
    boot_id: String,
    /// The overlay's device.
    device: (u32, u32),
    /// The metadata image.
    pub(super) image: ObjectId,
    /// The name that the image was mounted by.
    pub name: String,
    /// Its manifest.
    pub manifest: BlobDigest,
    /// The SHA-256 of the statement of the seal that it had.
    pub statement: Option<BlobDigest>,
    /// The store that it is from.
    pub store: PathBuf,
    /// When it was mounted, in seconds since 1970 (UTC).
    pub mounted_unix_seconds: u64,
    /// The name of the level that was reached then.
    pub level: String,
    /// Why not more.
    pub why_not_more: String,
    /// What the metadata image, and then each pack, is on.
    pub(super) parts: Vec<Part>,
}

/// What the kernel reads a metadata image or pack from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The root hash of the device that was planned for it.
    pub(super) root_hash: Option<RootHash>,
    /// The name of the dm-verity device that it is on; none where it is on none, or the broker made it.
    pub(super) device: Option<String>,
    /// Whether the broker made the device.
    pub(super) by_broker: bool,
}

impl Note {
    /// Of what was mounted just now.
    ///
    /// # Errors
    /// Where `/proc` cannot be read.
    pub(crate) fn of(
        store: &Store,
        record: &ImageRecord,
        plan: &Plan,
        achieved: &Achieved,
    ) -> io::Result<Self> {
        let backings = [&achieved.backing].into_iter().chain(&achieved.packs);
        let part = |(lower, backing): (&sealpack_mount::Lower, &Backing)| Part {
            root_hash: lower.device.as_ref().map(|device| device.root_hash),
            device: match backing {
                Backing::Device(name) => Some(name.as_str().to_owned()),
                Backing::File | Backing::Loop(_) | Backing::Broker => None,
            },
            by_broker: *backing == Backing::Broker,
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            version: VERSION,
            boot_id: boot_id()?,
            device: achieved.device,
            image: achieved.image,
            name: record.name.clone(),
            manifest: record.manifest,
            statement: record.statement,
            store: store.path().to_owned(),
            mounted_unix_seconds: now.as_secs(),
            level: achieved.assurance.level.name().to_owned(),
            why_not_more: achieved.assurance.why_not_more.clone(),
            parts: plan.lowers().iter().zip(backings).map(part).collect(),
        })
    }

    /// Writes it below `directory`, in the place of one of a mount that was on the same device before.
    ///
    /// # Errors
    /// Failures of the system.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
        let path = directory.join(file_name(self.device));
        let json = serde_json::to_vec_pretty(self)?;
        let file = NewFile { path: &path, bytes: &json, mode: 0o644 };
        new_files::write_all(&[file], true).map_err(io::Error::other)
    }

    /// The note of that mount, if there is one; in words why the one that there is does not count.
    pub(super) fn read(directory: &Path, mounted: &Mounted) -> Result<Option<Self>, String> {
        let path = directory.join(file_name(mounted.device));
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let json = match std::fs::metadata(&path) {
            Ok(file) if file.len() > NOTE_MAX_BYTES => return Err(failed(&"it is too large for a note")),
            Ok(_) => std::fs::read(&path).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let note: Self = serde_json::from_slice(&json).map_err(|error| failed(&error))?;
        if note.version != VERSION {
            return Err(failed(&format_args!("a note of version {}", note.version)));
        }
        // One of a filesystem that had the number before: nobody removes those of what is unmounted.
        let is_of_it = note.image == mounted.image
            && note.device == mounted.device
            && note.boot_id == boot_id().map_err(|error| failed(&error))?;
        Ok(Some(note).filter(|_| is_of_it))
    }
}

fn file_name((major, minor): (u32, u32)) -> String {
    format!("{major}:{minor}.json")
}

fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string(BOOT_ID)?.trim_end().to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn mounted(minor: u32) -> Mounted {
        Mounted {
            image: "ab".repeat(32).parse().expect("a digest"),
            target: "/mnt".into(),
            mount_id: 7,
            device: (0, minor),
            read_write: false,
            upper: None,
            objects: None,
            objects_checked: true,
        }
    }

    pub(in super::super) fn note(minor: u32, level: &str, parts: Vec<Part>) -> Note {
        let mounted = mounted(minor);
        Note {
            version: VERSION,
            boot_id: boot_id().expect("/proc is mounted"),
            device: mounted.device,
            image: mounted.image,
            name: "docker.io/library/one:latest".to_owned(),
            manifest: format!("sha256:{}", "cd".repeat(32)).parse().expect("a digest"),
            statement: None,
            store: "/store".into(),
            mounted_unix_seconds: 5,
            level: level.to_owned(),
            why_not_more: "why".to_owned(),
            parts,
        }
    }

    #[test]
    fn a_note_is_of_one_overlay_of_one_image_until_the_machine_starts_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let notes = directory.path().join("a/b");
        let read = |mounted: &Mounted| Note::read(&notes, mounted);
        assert_eq!(read(&mounted(9)), Ok(None), "nothing was noted");
        let one = note(9, "plain", Vec::new());
        one.write(&notes).expect("it is written");
        assert_eq!(read(&mounted(9)), Ok(Some(one.clone())));
        assert_eq!(read(&mounted(10)), Ok(None), "another overlay");
        let other = Mounted { image: "cd".repeat(32).parse().expect("a digest"), ..mounted(9) };
        assert_eq!(read(&other), Ok(None), "another image that got the number since");
        Note { boot_id: "x".into(), ..one.clone() }.write(&notes).expect("it is written");
        assert_eq!(read(&mounted(9)), Ok(None), "from before the machine started again");
        one.write(&notes).expect("the last one counts");
        assert_eq!(read(&mounted(9)), Ok(Some(one.clone())));
        assert_eq!(std::fs::read_dir(&notes).expect("it is there").count(), 1, "nothing else stays there");
        Note { version: 2, ..one }.write(&notes).expect("it is written");
        assert!(read(&mounted(9)).expect_err("another program's").ends_with("a note of version 2"));
        std::fs::write(notes.join("0:9.json"), "{").expect("it is written");
        assert!(read(&mounted(9)).expect_err("no note").contains("0:9.json: "));
    }
}
