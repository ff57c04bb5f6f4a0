//! An OCI layout as a target (image-spec, image-layout.md).
//!
//! Every file is written under a temporary name, flushed and renamed; `index.json` comes last. Whoever
//! reads the layout meanwhile sees what it was before, or what it is afterwards.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::source::{REF_NAME, check_marker, open_regular, read_file};
use crate::error::{Error, Result};
use crate::hash::BlobHasher;
use crate::manifest::{Descriptor, Document, MANIFEST_MAX_BYTES};
use crate::media_type::OCI_INDEX;
use crate::transport::{ImageTarget, Naming, Open, Pushed, check_manifest};

const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// How temporary files begin; those of a process that was killed are removed by the next one.
const TEMPORARY: &str = ".sealpack-";
const COPY_BUFFER_BYTES: usize = 128 * 1024;

/// A layout that is written to.
#[derive(Debug)]
pub struct LayoutTarget {
    directory: PathBuf,
    /// `org.opencontainers.image.ref.name` of what is written.
    name: Option<String>,
    /// The directory, held shared as long as there may be temporary files of this process; none before the first write
    /// to a layout that is yet to be made.
    presence: Mutex<Option<File>>,
    temporaries: AtomicU64,
}

impl LayoutTarget {
    /// Opens the layout in `directory`. One that is not there is made when something is written to it, so that nothing
    /// is left of a copy that fails before.
    ///
    /// # Errors
    /// When something else is there, a layout of another version, or a directory with other files.
    pub fn open(directory: &Path, name: Option<String>) -> Result<Self> {
        let target = Self {
            directory: directory.to_owned(),
            name,
            presence: Mutex::new(None),
            temporaries: AtomicU64::new(0),
        };
        let is_free = match fs::symlink_metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            _ if directory.join("oci-layout").exists() || !directory.is_dir() => false,
            _ => {
                check_place(&target.description(), directory)?;
                true
            }
        };
        if !is_free {
            target.occupy()?;
        }
        Ok(target)
    }

    /// Has others know that this process writes here, and makes an empty layout if there is none.
    fn occupy(&self) -> Result<()> {
        // Nothing is half done in it when a thread panics.
        let mut presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        if presence.is_some() {
            return Ok(());
        }
        let failed = |action, source| Error::file(action, &self.directory, source);
        fs::create_dir_all(&self.directory).map_err(|error| failed("make the directory", error))?;
        check_place(&self.description(), &self.directory)?;
        let directory = File::open(&self.directory).map_err(|error| failed("open", error))?;
        let alone = flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok();
        if alone {
            remove_temporaries(&self.directory).map_err(|error| failed("clear", error))?;
        }
        flock(&directory, FlockOperation::LockShared).map_err(|error| failed("lock", error.into()))?;
        self.make()?;
        *presence = Some(directory);
        Ok(())
    }

    /// Makes an empty layout if there is none.
    fn make(&self) -> Result<()> {
        let marker = self.directory.join("oci-layout");
        if marker.exists() {
            return check_marker(&self.description(), &self.directory);
        }
        let index = self.directory.join("index.json");
        if !index.exists() {
            let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
            self.write_file(&index, empty.to_string().as_bytes())?;
        }
        self.write_file(&marker, MARKER.as_bytes())
    }

    fn blob_path(&self, blob: &Descriptor) -> PathBuf {
        self.directory.join("blobs").join(blob.digest.algorithm().name()).join(blob.digest.hex())
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.write(path, |file| file.write_all(bytes).map_err(|error| Error::file("write", path, error)))
    }

    /// Writes a file that is there whole or not at all.
    fn write(&self, path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let temporary = self.directory.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
        let written = self.write_through(&temporary, path, fill);
        if written.is_err() {
            // If that fails too, the next process that writes the layout does it.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn write_through(
        &self,
        temporary: &Path,
        path: &Path,
        fill: impl FnOnce(&mut File) -> Result<()>,
    ) -> Result<()> {
        let failed = |action, error| Error::file(action, path, error);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(temporary)
            .map_err(|error| Error::file("create", temporary, error))?;
        fill(&mut file)?;
        file.sync_all().map_err(|error| failed("flush", error))?;
        let parent = path.parent().unwrap_or(&self.directory);
        fs::create_dir_all(parent).map_err(|error| failed("make the directory of", error))?;
        fs::rename(temporary, path).map_err(|error| failed("rename to", error))?;
        let flushed = File::open(parent).and_then(|directory| directory.sync_all());
        flushed.map_err(|error| failed("flush the directory of", error))
    }

    /// Adds `entry` to index.json under the target's name, if it is to have that, in the place of what had it.
    fn list(&self, entry: &Descriptor, name: Option<&str>) -> Result<()> {
        let lock = self.directory.join("oci-layout");
        let lock = File::open(&lock).map_err(|error| Error::file("open", lock, error))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| Error::file("lock", &self.directory, error.into()))?;
        let path = self.directory.join("index.json");
        let bytes = read_file(&path, MANIFEST_MAX_BYTES)?;
        let what = path.display().to_string();
        let Document::Index(_) = Document::parse(&what, Some(OCI_INDEX), &bytes)? else {
            return Err(Error::malformed(what, "it is no index"));
        };
        let mut index: Value =
            serde_json::from_slice(&bytes).map_err(|error| Error::malformed(&what, error))?;
        let Some(entries) = index["manifests"].as_array_mut() else { return Ok(()) };
        if !add_entry(entries, entry, name) {
            return Ok(());
        }
        let bytes = index.to_string().into_bytes();
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MANIFEST_MAX_BYTES) {
            return Err(Error::TooLarge { what, limit_bytes: MANIFEST_MAX_BYTES });
        }
        self.write_file(&path, &bytes)
    }
}

/// Adds an entry, and says whether that changed anything.
fn add_entry(entries: &mut Vec<Value>, entry: &Descriptor, name: Option<&str>) -> bool {
    let digest = entry.digest.to_string();
    let has = |listed: &Value, name: Option<&str>| {
        listed["digest"] == digest.as_str() && listed["annotations"][REF_NAME].as_str() == name
    };
    let name_of = |listed: &Value| listed["annotations"][REF_NAME].as_str().map(str::to_owned);
    match name {
        None if entries.iter().any(|listed| listed["digest"] == digest.as_str()) => return false,
        None => {}
        Some(name) => {
            if entries.iter().any(|listed| has(listed, Some(name))) {
                return false;
            }
            entries.retain(|listed| name_of(listed).as_deref() != Some(name) && !has(listed, None));
        }
    }
    let mut entry = entry.clone();
    entry.annotations.extend(name.map(|name| (REF_NAME.to_owned(), name.to_owned())));
    entries.push(entry.to_json());
    true
}

/// That nothing in `directory` is in the way: only the parts of a layout, whole or in the making, and what a layout has
/// is there itself. Whoever made the directory decides where a link in it leads.
fn check_place(what: &str, directory: &Path) -> Result<()> {
    for name in ["blobs", "blobs/sha256", "blobs/sha512", "oci-layout", "index.json"] {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            let problem = "a symbolic link, which is not followed to write".to_owned();
            return Err(Error::malformed(path.display().to_string(), problem));
        }
    }
    if directory.join("oci-layout").exists() {
        return Ok(());
    }
    let entries = fs::read_dir(directory).map_err(|error| Error::file("read", directory, error))?;
    // What an interrupted attempt to make one leaves, and what another process is just writing.
    let is_foreign = |entry: io::Result<fs::DirEntry>| {
        let name = entry.map(|entry| entry.file_name()).unwrap_or_default();
        let name = name.to_string_lossy();
        name != "blobs" && name != "index.json" && name != "oci-layout" && !name.starts_with(TEMPORARY)
    };
    if entries.into_iter().any(is_foreign) {
        let problem = "the directory has other files in it and is no OCI layout".to_owned();
        return Err(Error::malformed(what, problem));
    }
    Ok(())
}

/// Removes what processes left that were killed.
fn remove_temporaries(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl ImageTarget for LayoutTarget {
    fn check_room(&self, blobs: &[Descriptor]) -> Result<()> {
        let missing = blobs.iter().filter(|blob| !self.blob_path(blob).exists());
        let needed_bytes = missing.fold(0, |sum: u64, blob| sum.saturating_add(blob.size_bytes));
        // The directory is made when something is written to it.
        let mut there = self.directory.ancestors().filter(|path| !path.as_os_str().is_empty());
        let place = there.find(|path| path.exists()).unwrap_or(Path::new("."));
        let failed = |error: rustix::io::Errno| Error::file("look at", place, error.into());
        let stat = rustix::fs::statvfs(place).map_err(failed)?;
        // What is set aside for the superuser is there for the superuser.
        let blocks = if rustix::process::geteuid().is_root() { stat.f_bfree } else { stat.f_bavail };
        let free_bytes = blocks.saturating_mul(stat.f_frsize);
        if stat.f_blocks == 0 || needed_bytes <= free_bytes {
            return Ok(());
        }
        Err(Error::NoRoom { what: self.description(), needed_bytes, free_bytes })
    }

    fn description(&self) -> String {
        match &self.name {
            Some(name) => format!("oci:{}:{name}", self.directory.display()),
            None => format!("oci:{}", self.directory.display()),
        }
    }

    fn has_blob(&self, blob: &Descriptor) -> Result<bool> {
        match open_regular(&self.blob_path(blob)) {
            Ok((_, size_bytes)) => Ok(size_bytes == blob.size_bytes),
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn has_manifest(&self, manifest: &Descriptor) -> Result<bool> {
        self.has_blob(manifest)
    }

    fn put_blob(&self, blob: &Descriptor, open: &Open<'_>, sent: &dyn Fn(u64)) -> Result<()> {
        self.occupy()?;
        let path = self.blob_path(blob);
        let what = format!("the blob {} for {}", blob.digest, self.description());
        self.write(&path, |file| {
            let mut reader = open(0)?.take(blob.size_bytes.saturating_add(1));
            let mut buffer = vec![0; COPY_BUFFER_BYTES];
            let (mut hasher, mut size_bytes) = (BlobHasher::new(blob.digest.algorithm()), 0_u64);
            loop {
                let count = reader.read(&mut buffer).map_err(|error| {
                    Error::from_read(error).unwrap_or_else(|error| Error::file("fill", &path, error))
                })?;
                if count == 0 {
                    break;
                }
                hasher.update(&buffer[..count]);
                file.write_all(&buffer[..count]).map_err(|error| Error::file("write", &path, error))?;
                size_bytes += count as u64;
                sent(size_bytes);
            }
            check_blob(what, blob, size_bytes, hasher)
        })
    }

    fn put_manifest(&self, manifest: &Descriptor, bytes: &[u8], naming: Naming) -> Result<Pushed> {
        let what = format!("the manifest {} for {}", manifest.digest, self.description());
        let document = check_manifest(&what, manifest, bytes)?;
        self.occupy()?;
        if !self.has_blob(manifest)? {
            self.write_file(&self.blob_path(manifest), bytes)?;
        }
        let refers = document.subject().is_some();
        let entry = if refers { document.as_referrer(manifest) } else { manifest.clone() };
        match naming {
            Naming::Target => self.list(&entry, self.name.as_deref())?,
            // An entry of index.json is what makes it findable.
            Naming::Digest if refers => self.list(&entry, None)?,
            Naming::Digest => {}
        }
        Ok(Pushed::default())
    }
}

fn check_blob(what: String, blob: &Descriptor, actual_bytes: u64, hasher: BlobHasher) -> Result<()> {
    let expected_bytes = blob.size_bytes;
    if actual_bytes > expected_bytes {
        return Err(Error::TooLong { what, expected_bytes });
    }
    if actual_bytes < expected_bytes {
        return Err(Error::SizeMismatch { what, expected_bytes, actual_bytes });
    }
    match hasher.finish_blob() {
        actual if actual == blob.digest => Ok(()),
        actual => Err(Error::DigestMismatch { what, expected: blob.digest, actual }),
    }
}
