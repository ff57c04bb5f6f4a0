//! An OCI layout as a target (image-spec, image-layout.md).
//!
//! Every file is written under a temporary name, flushed and renamed; `index.json` comes last. Whoever
//! reads the layout meanwhile sees what it was before, or what it is afterwards.
//!
//! All of it is written below a descriptor of the directory, with no more rights than its owner has ([`Directory`]).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use sealpack_kernel::directory::Directory;
use serde_json::{Value, json};

use super::source::{MARKER_MAX_BYTES, REF_NAME, check_version, read_open};
use crate::error::{Error, Result};
use crate::hash::BlobHasher;
use crate::json;
use crate::manifest::{Descriptor, Document, MANIFEST_MAX_BYTES};
use crate::media_type::OCI_INDEX;
use crate::room;
use crate::transport::{ImageTarget, Naming, Open, Pushed, check_manifest};

const MARKER_NAME: &str = "oci-layout";
pub(crate) const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_NAME: &str = "index.json";
const BLOBS: &str = "blobs";
/// How temporary files begin; those of a process that was killed are removed by the next one.
const TEMPORARY: &str = ".sealpack-";
/// What is locked while `index.json` changes: a file that only who may write to the layout can open, and that is there
/// no longer than the lock. A lock on a file that stays, and that all may read, could be taken by anybody, and kept.
const LOCK: &str = ".sealpack-lock";
/// How long others may take to change `index.json`, which is written in no time.
const LOCK_WAIT: Duration = Duration::from_secs(30);
const LOCK_RETRY: Duration = Duration::from_millis(20);
const COPY_BUFFER_BYTES: usize = 128 * 1024;
const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// A layout that is written to.
#[derive(Debug)]
pub struct LayoutTarget {
    path: PathBuf,
    /// `org.opencontainers.image.ref.name` of what is written.
    name: Option<String>,
    /// The directory; none before the first write to a layout that is yet to be made.
    directory: OnceLock<Directory>,
    temporaries: AtomicU64,
}

/// A file that is being written, locked so that nobody takes it for a leftover.
struct Temporary {
    name: String,
    file: File,
}

/// The layout's lock.
struct IndexLock<'d> {
    directory: &'d Directory,
    _file: File,
}

impl LayoutTarget {
    /// Opens the layout in `directory`. One that is not there is made when something is written to it, so that nothing
    /// is left of a copy that fails before.
    ///
    /// # Errors
    /// When something else is there, a layout of another version, or a directory with other files.
    pub fn open(directory: &Path, name: Option<String>) -> Result<Self> {
        let target = Self {
            path: directory.to_owned(),
            name,
            directory: OnceLock::new(),
            temporaries: AtomicU64::new(0),
        };
        match Directory::open(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => {
                let action = match &opened {
                    Err(error) if error.kind() == io::ErrorKind::NotADirectory => "make the directory",
                    _ => "open",
                };
                let directory = opened.map_err(|error| target.failed(action, "", error))?;
                if target.check_place(&directory)? {
                    target.occupy()?;
                }
            }
        }
        Ok(target)
    }

    fn failed(&self, action: &'static str, name: &str, error: io::Error) -> Error {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        Error::file(action, path, error)
    }

    /// The directory, with an empty layout in it if there was none.
    fn occupy(&self) -> Result<&Directory> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory);
        }
        let directory = Directory::open_or_make(&self.path, DIRECTORY_MODE)
            .map_err(|error| self.failed("make the directory", "", error))?;
        let is_layout = self.check_place(&directory)?;
        // Writers tell each other by a lock on the directory that they are there. Anybody may take that one, so it is
        // never waited for: at worst, leftovers stay.
        if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove_temporaries(&directory).map_err(|error| self.failed("clear", "", error))?;
        }
        let _ = flock(&directory, FlockOperation::NonBlockingLockShared);
        if !is_layout {
            if self.stat(&directory, INDEX_NAME)?.is_none() {
                let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
                self.write_file(&directory, &[INDEX_NAME], empty.to_string().as_bytes())?;
            }
            self.write_file(&directory, &[MARKER_NAME], MARKER.as_bytes())?;
        }
        // Two threads at once have done the same.
        Ok(self.directory.get_or_init(|| directory))
    }

    fn stat(&self, directory: &Directory, name: &str) -> Result<Option<rustix::fs::Stat>> {
        directory.stat(name).map_err(|error| self.failed("look at", name, error))
    }

    /// That nothing in the directory is in the way: only the parts of a layout, whole or in the making, and what a layout
    /// has is there itself. Whoever made the directory decides where a link in it leads. Answers whether it is a layout.
    fn check_place(&self, directory: &Directory) -> Result<bool> {
        let is_link =
            |stat: &rustix::fs::Stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink();
        let check = |directory: &Directory, name: &str, path: &str| match self.stat(directory, name)? {
            Some(stat) if is_link(&stat) => {
                let problem = "a symbolic link, which is not followed to write".to_owned();
                Err(Error::malformed(self.path.join(path).display().to_string(), problem))
            }
            stat => Ok(stat.is_some()),
        };
        if check(directory, BLOBS, BLOBS)? {
            let blobs = directory.sub(BLOBS).map_err(|error| self.failed("open", BLOBS, error))?;
            for name in ["sha256", "sha512"] {
                blobs.as_ref().map(|blobs| check(blobs, name, &format!("{BLOBS}/{name}"))).transpose()?;
            }
        }
        check(directory, INDEX_NAME, INDEX_NAME)?;
        if check(directory, MARKER_NAME, MARKER_NAME)? {
            let marker = self.read(directory, MARKER_NAME, MARKER_MAX_BYTES)?;
            check_version(&self.description(), &marker)?;
            return Ok(true);
        }
        let entries = directory.entries().map_err(|error| self.failed("read", "", error))?;
        // What an interrupted attempt to make one leaves, and what another process is just writing.
        let is_foreign = |name: &OsString| {
            let name = name.to_string_lossy();
            name != BLOBS && name != INDEX_NAME && name != MARKER_NAME && !name.starts_with(TEMPORARY)
        };
        if entries.iter().any(|(name, _)| is_foreign(name)) {
            let problem = "the directory has other files in it and is no OCI layout".to_owned();
            return Err(Error::malformed(self.description(), problem));
        }
        Ok(false)
    }

    fn read(&self, directory: &Directory, name: &str, limit_bytes: u64) -> Result<Vec<u8>> {
        let file = directory.read(name).and_then(|file| file.ok_or_else(|| io::ErrorKind::NotFound.into()));
        let file = file.map_err(|error| self.failed("open", name, error))?;
        read_open(&file, &self.path.join(name), limit_bytes)
    }

    fn write_file(&self, directory: &Directory, place: &[&str], bytes: &[u8]) -> Result<()> {
        self.write(directory, place, |file| {
            file.write_all(bytes).map_err(|error| self.failed("write", &place.join("/"), error))
        })
    }

    /// Writes a file, at `place` name by name, that is there whole or not at all.
    fn write(
        &self,
        directory: &Directory,
        place: &[&str],
        fill: impl FnOnce(&mut File) -> Result<()>,
    ) -> Result<()> {
        let mut temporary = self.temporary(directory)?;
        let written = self.write_through(directory, &mut temporary, place, fill);
        if written.is_err() {
            // If that fails too, the next process that writes the layout does it.
            let _ = directory.unlink(&temporary.name);
        }
        written
    }

    /// A new file that is locked.
    fn temporary(&self, directory: &Directory) -> Result<Temporary> {
        loop {
            let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
            let name = format!("{TEMPORARY}{}-{number}", std::process::id());
            let file = match directory.create(&name, FILE_MODE) {
                // A process of the same number in another namespace, or before.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file.map_err(|error| self.failed("create", &name, error))?,
            };
            // Somebody who cleans up may have been faster.
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
                && directory.is(&name, &file).map_err(|error| self.failed("look at", &name, error))?
            {
                return Ok(Temporary { name, file });
            }
        }
    }

    fn write_through(
        &self,
        directory: &Directory,
        temporary: &mut Temporary,
        place: &[&str],
        fill: impl FnOnce(&mut File) -> Result<()>,
    ) -> Result<()> {
        fill(&mut temporary.file)?;
        let shown = place.join("/");
        let failed = |action| move |error| (action, error);
        let placed = (|| {
            temporary.file.sync_all().map_err(failed("flush"))?;
            let Some((name, parents)) = place.split_last() else { return Ok(()) };
            let mut parent: Option<Directory> = None;
            for name in parents {
                let above = parent.as_ref().unwrap_or(directory);
                let below = above.make_sub(name, DIRECTORY_MODE);
                parent = Some(below.map_err(failed("make the directory of"))?);
            }
            let parent = parent.as_ref().unwrap_or(directory);
            directory.rename(&temporary.name, parent, name).map_err(failed("rename to"))?;
            parent.sync().map_err(failed("flush the directory of"))
        })();
        placed.map_err(|(action, error)| self.failed(action, &shown, error))
    }

    /// The file of a blob, and its size, if it is there.
    fn blob(&self, directory: &Directory, blob: &Descriptor) -> io::Result<Option<u64>> {
        let Some(blobs) = directory.sub(BLOBS)? else { return Ok(None) };
        let Some(blobs) = blobs.sub(blob.digest.algorithm().name())? else { return Ok(None) };
        blobs.read(blob.digest.hex())?.map(|file| file.metadata().map(|found| found.len())).transpose()
    }

    /// Keeps others from changing `index.json`.
    fn lock<'d>(&self, directory: &'d Directory) -> Result<IndexLock<'d>> {
        let failed = |error| self.failed("lock", LOCK, error);
        let start = Instant::now();
        loop {
            let file = directory.lock_file(LOCK).map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // The one before has removed it.
                Ok(()) if directory.is(LOCK, &file).map_err(failed)? => {
                    return Ok(IndexLock { directory, _file: file });
                }
                Ok(()) => {}
                Err(error) if error != rustix::io::Errno::WOULDBLOCK => return Err(failed(error.into())),
                Err(_) if start.elapsed() > LOCK_WAIT => {
                    let why = format!("another process has had it for {} s", LOCK_WAIT.as_secs());
                    return Err(failed(io::Error::new(io::ErrorKind::TimedOut, why)));
                }
                Err(_) => std::thread::sleep(LOCK_RETRY),
            }
        }
    }

    /// Adds `entry` to index.json under the target's name, if it is to have that, in the place of what had it.
    fn list(&self, entry: &Descriptor, name: Option<&str>) -> Result<()> {
        let directory = self.occupy()?;
        let _lock = self.lock(directory)?;
        let bytes = self.read(directory, INDEX_NAME, MANIFEST_MAX_BYTES)?;
        let what = self.path.join(INDEX_NAME).display().to_string();
        let Document::Index(_) = Document::parse(&what, Some(OCI_INDEX), &bytes)? else {
            return Err(Error::malformed(what, "it is no index"));
        };
        let mut index: Value =
            serde_json::from_slice(&bytes).map_err(|error| Error::malformed(&what, error))?;
        let entries = json::entries_of(&mut index, "manifests");
        if !add_entry(entries, entry, name) {
            return Ok(());
        }
        let bytes = index.to_string().into_bytes();
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MANIFEST_MAX_BYTES) {
            return Err(Error::TooLarge { what, limit_bytes: MANIFEST_MAX_BYTES });
        }
        self.write_file(directory, &[INDEX_NAME], &bytes)
    }
}

impl Drop for IndexLock<'_> {
    fn drop(&mut self) {
        // One that stays is the next writer's to remove.
        let _ = self.directory.unlink(LOCK);
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

/// Removes what processes left that were killed. What is locked belongs to one that lives.
fn remove_temporaries(directory: &Directory) -> io::Result<()> {
    for (name, kind) in directory.entries()? {
        if !kind.is_file() || !name.to_string_lossy().starts_with(TEMPORARY) {
            continue;
        }
        if let Some(file) = directory.read(&name)?
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            directory.unlink(&name)?;
        }
    }
    Ok(())
}

impl ImageTarget for LayoutTarget {
    fn check_room(&self, blobs: &[Descriptor]) -> Result<()> {
        let mut needed_bytes: u64 = 0;
        for blob in blobs {
            let bytes = if self.has_blob(blob)? { 0 } else { blob.size_bytes };
            needed_bytes = needed_bytes.saturating_add(bytes);
        }
        // The directory is made when something is written to it.
        let mut there = self.path.ancestors().filter(|path| !path.as_os_str().is_empty());
        let place = there.find(|path| path.exists()).unwrap_or(Path::new("."));
        let failed = |error: io::Error| Error::file("look at", place, error);
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let place = rustix::fs::open(place, flags, rustix::fs::Mode::empty())
            .map_err(|error| failed(error.into()))?;
        room::check(place, &self.description(), needed_bytes).map_err(|error| failed(error.into()))?
    }

    fn description(&self) -> String {
        match &self.name {
            Some(name) => format!("oci:{}:{name}", self.path.display()),
            None => format!("oci:{}", self.path.display()),
        }
    }

    fn has_blob(&self, blob: &Descriptor) -> Result<bool> {
        let Some(directory) = self.directory.get() else { return Ok(false) };
        let found =
            self.blob(directory, blob).map_err(|error| self.failed("open", &place(blob).join("/"), error))?;
        Ok(found == Some(blob.size_bytes))
    }

    fn has_manifest(&self, manifest: &Descriptor) -> Result<bool> {
        self.has_blob(manifest)
    }

    fn put_blob(&self, blob: &Descriptor, open: &Open<'_>, sent: &dyn Fn(u64)) -> Result<()> {
        let directory = self.occupy()?;
        let place = place(blob);
        let path = self.path.join(place.join("/"));
        let what = format!("the blob {} for {}", blob.digest, self.description());
        self.write(directory, &place.each_ref().map(String::as_str), |file| {
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
        let directory = self.occupy()?;
        if !self.has_blob(manifest)? {
            self.write_file(directory, &place(manifest).each_ref().map(String::as_str), bytes)?;
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

/// Where a blob is, name by name.
fn place(blob: &Descriptor) -> [String; 3] {
    [BLOBS.to_owned(), blob.digest.algorithm().name().to_owned(), blob.digest.hex().to_string()]
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
