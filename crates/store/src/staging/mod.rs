//! New contents on their way into the store.

mod commit;
mod files;
mod pack;
mod written;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use sealpack_format::digest::{BlobDigest, DiffId, ObjectId, RootHash};

pub use files::{LayerFile, MetadataImageWriter, ObjectWriter};
pub use pack::{PackFile, PackedObject};

use crate::blobs::BLOB_MAX_BYTES;
use crate::dir::Dir;
use crate::error::{BlobMismatch, Error, Result};
use crate::hash::blob_digest;
use crate::hash_areas::{hash_area, hash_area_failed};
use crate::integrity::{Integrity, ObjectState};
use crate::lock::{Lock, Locked};
use crate::packs::PackDescriptor;
use crate::places::{STAGING_PREFIX, metadata_image_file_name};
use crate::store::Store;

/// What became of a content that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It was not there and has been written.
    New,
    /// It was there, undamaged, and nothing was written.
    Existing,
    /// What was there under its name is damaged; the commit replaces it.
    Replaced,
}

/// What a staging has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Staged {
    /// How many objects were written.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// How many objects were there already, each counted once for every time it was offered.
    pub existing_objects: u64,
    /// What was found damaged in the store and is replaced.
    pub replaced: Vec<ObjectId>,
    /// How many packs were written.
    pub packs: u64,
    /// Their bytes, the hash trees included.
    pub pack_bytes: u64,
    /// How many packs were there already.
    pub existing_packs: u64,
    /// The packs that were found damaged in the store and are replaced.
    pub replaced_packs: Vec<RootHash>,
}

/// Contents that are being written and are not in the store yet.
///
/// Usable from many threads at once: while one streams a large object through
/// [`object_writer`](Self::object_writer), others add small ones. [`commit`](Self::commit) can be called
/// whenever something is complete: after each layer, so that an interrupted pull keeps
/// whole layers. What was not committed is removed when this is dropped, or, when the process
/// was killed, by the next [`Store::stage`] or gc.
///
/// The store's shared lock is held throughout: nothing is collected meanwhile.
pub struct Staging<'s> {
    store: &'s Store,
    dir: Arc<Dir>,
    name: String,
    next: Arc<AtomicU64>,
    /// Makes files in the directory that have no name.
    scratch: Box<dyn Fn() -> io::Result<File> + Send + Sync>,
    pending: Mutex<Pending>,
    staged: Mutex<Staged>,
    /// Those of the metadata images that were made here, as devices.
    root_hashes: Mutex<HashMap<ObjectId, RootHash>>,
    /// Commits come one after the other; whether one failed.
    committing: Mutex<bool>,
    /// Locked for as long as the process lives: how others see that the directory is in use.
    _alive: Locked,
    _lock: Lock,
}

/// What is written and waits for its commit: the names of files in the staging directory.
#[derive(Default)]
struct Pending {
    objects: HashMap<ObjectId, u64>,
    layers: HashMap<DiffId, u64>,
    images: HashMap<ObjectId, u64>,
    packs: HashMap<RootHash, u64>,
    pack_records: HashMap<DiffId, (u64, Option<PackDescriptor>)>,
    blobs: HashMap<BlobDigest, u64>,
}

impl Store {
    /// Begins to add contents. Removes first what dead processes left of theirs.
    ///
    /// # Errors
    /// [`Error::Locked`]; failures of the system.
    pub fn stage(&self) -> Result<Staging<'_>> {
        let lock = self.shared()?;
        self.remove_dead_stagings()?;
        let (name, dir, alive) = self.new_staging_directory()?;
        let (dir, next) = (Arc::new(dir), Arc::new(AtomicU64::new(0)));
        let (scratch_dir, scratch_next) = (Arc::clone(&dir), Arc::clone(&next));
        let scratch = move || {
            let number = scratch_next.fetch_add(1, Ordering::Relaxed);
            scratch_dir.scratch(&number.to_string()).map_err(io::Error::other)
        };
        Ok(Staging {
            store: self,
            dir,
            name,
            next,
            scratch: Box::new(scratch),
            pending: Mutex::default(),
            staged: Mutex::default(),
            root_hashes: Mutex::default(),
            committing: Mutex::new(false),
            _alive: alive,
            _lock: lock,
        })
    }

    /// Removes the directories in `tmp/` that no living process stages into. Answers with their names.
    pub(crate) fn remove_dead_stagings(&self) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for (name, _lock) in self.dead_stagings()? {
            self.tmp.remove_all(&name)?;
            removed.push(name);
        }
        Ok(removed)
    }

    /// The directories in `tmp/` that no living process stages into, each with its lock: as long as that is
    /// held, a process that has just made the directory does not take it for its own.
    pub(crate) fn dead_stagings(&self) -> Result<Vec<(String, Locked)>> {
        let mut dead = Vec::new();
        for entry in self.tmp.entries()? {
            let Some(name) = entry.name.to_str().filter(|name| name.starts_with(STAGING_PREFIX)) else {
                continue;
            };
            if entry.kind.is_dir()
                && let Some(lock) = lock_directory(&self.tmp, name)?
            {
                dead.push((name.to_owned(), lock));
            }
        }
        Ok(dead)
    }

    fn new_staging_directory(&self) -> Result<(String, Dir, Locked)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let name =
                format!("{STAGING_PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            // A directory of that name is of a dead process with our number, or of one in another
            // namespace; the next number then.
            if !self.tmp.make(&name)? {
                continue;
            }
            // Somebody who cleans up may have locked the directory, and removed it, in between.
            let Some(alive) = lock_directory(&self.tmp, &name)? else { continue };
            match self.tmp.try_sub(&name)? {
                Some(dir) if rustix::fs::fstat(&dir).is_ok_and(|stat| stat.st_nlink > 0) => {
                    return Ok((name, dir, alive));
                }
                _ => {}
            }
        }
    }
}

/// Locks directory `name`; `None` when it is locked by somebody, or gone.
fn lock_directory(tmp: &Dir, name: &str) -> Result<Option<Locked>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(tmp, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(e) => return Err(Error::io("open", tmp.at(name), e)),
    };
    Locked::try_new(file, || tmp.at(name))
}

impl<'s> Staging<'s> {
    /// The directory that contents are written to before a commit.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The store that all this goes to.
    #[must_use]
    pub const fn store(&self) -> &'s Store {
        self.store
    }

    /// Adds an object whose whole content is in `content` and hashed already. Nothing is written when the
    /// store or this staging has it, undamaged.
    ///
    /// # Errors
    /// [`Error::Algorithm`]; [`Error::NoSpace`] and other failures of the system.
    pub fn add_bytes(&self, id: &ObjectId, content: &[u8]) -> Result<Added> {
        let added = self.look_up(id)?;
        if added == Added::Existing {
            self.staged().existing_objects += 1;
            return Ok(added);
        }
        let (number, file) = self.create()?;
        self.fill(number, file, content, true)?;
        self.register_object(*id, number, content.len() as u64, added)
    }

    /// The root hash that metadata image `id`, which was [finished](MetadataImageWriter::finish) here or is in the store, has as a
    /// dm-verity device.
    ///
    /// # Errors
    /// As [`Store::metadata_image_root_hash`].
    pub fn metadata_image_root_hash(&self, id: &ObjectId) -> Result<RootHash> {
        if let Some(root_hash) = self.root_hashes().get(id) {
            return Ok(*root_hash);
        }
        let Some(number) = self.pending().images.get(id).copied() else {
            return self.store.metadata_image_root_hash(id);
        };
        let name = number.to_string();
        let file =
            self.dir.read(&name)?.ok_or_else(|| Error::io("open", self.dir.at(&name), Errno::NOENT))?;
        Ok(hash_area(&file).map_err(|error| hash_area_failed(self.dir.at(&name), error))?.0)
    }

    /// Adds a blob, checking its digest.
    ///
    /// # Errors
    /// [`Error::BlobMismatch`]; [`Error::BlobTooLarge`]; [`Error::NoSpace`] and other failures of the system.
    pub fn add_blob(&self, digest: &BlobDigest, content: &[u8]) -> Result<Added> {
        let size_bytes = content.len() as u64;
        if size_bytes > BLOB_MAX_BYTES {
            return Err(Error::BlobTooLarge { digest: *digest, size_bytes, limit_bytes: BLOB_MAX_BYTES });
        }
        let found = blob_digest(digest.algorithm(), content);
        if found != *digest {
            return Err(Error::BlobMismatch(Box::new(BlobMismatch { wanted: *digest, found })));
        }
        let added = match self.store.try_blob(digest) {
            Ok(Some(_)) => return Ok(Added::Existing),
            Ok(None) => Added::New,
            Err(error) if error.is_verification() => Added::Replaced,
            Err(error) => return Err(error),
        };
        let (number, file) = self.create()?;
        self.fill(number, file, content, false)?;
        self.replace(self.pending().blobs.insert(*digest, number))?;
        Ok(added)
    }

    /// What was written so far, committed or not.
    #[must_use]
    pub fn figures(&self) -> Staged {
        self.staged().clone()
    }

    pub(crate) fn look_up(&self, id: &ObjectId) -> Result<Added> {
        if self.pending().objects.contains_key(id) {
            return Ok(Added::Existing);
        }
        Ok(match self.store.check_object(id)? {
            ObjectState::Absent => Added::New,
            ObjectState::Good => Added::Existing,
            ObjectState::Damaged => Added::Replaced,
        })
    }

    /// Counts an object that was there already.
    pub(crate) fn count_existing(&self) {
        self.staged().existing_objects += 1;
    }

    /// Takes file `number`, complete, as the content of object `id`.
    fn register_object(&self, id: ObjectId, number: u64, size_bytes: u64, added: Added) -> Result<Added> {
        // Two threads may have written the same object; the second file goes.
        let existing = match self.pending().objects.entry(id) {
            std::collections::hash_map::Entry::Occupied(_) => true,
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(number);
                false
            }
        };
        if existing {
            self.dir.unlink(number.to_string())?;
            self.staged().existing_objects += 1;
            return Ok(Added::Existing);
        }
        let mut staged = self.staged();
        staged.objects += 1;
        staged.object_bytes += size_bytes;
        if added == Added::Replaced {
            staged.replaced.push(id);
        }
        Ok(added)
    }

    /// Removes the file that a later one takes the place of.
    fn replace(&self, earlier: Option<u64>) -> Result<()> {
        earlier.map_or(Ok(()), |number| self.dir.unlink(number.to_string()).map(drop))
    }

    /// A new file in the staging directory. Writable for its owner only while fs-verity is to come:
    /// enabling it wants the permission.
    fn create(&self) -> Result<(u64, File)> {
        self.create_with(if self.store.integrity() == Integrity::FsVerity { 0o644 } else { 0o444 })
    }

    fn create_with(&self, mode: u32) -> Result<(u64, File)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok((number, self.dir.create(&number.to_string(), mode)?))
    }

    fn fill(&self, number: u64, mut file: File, content: &[u8], guard: bool) -> Result<()> {
        let path = || self.dir.at(number.to_string());
        let written = file.write_all(content).map_err(|e| Error::io("write", path(), e));
        let written = written.and_then(|()| if guard { self.guard(number, file) } else { Ok(()) });
        if written.is_err() {
            // Room for others; the first error is the one to tell.
            let _ = self.dir.unlink(number.to_string());
        }
        written
    }

    /// Closes the file and has the kernel guard its content from now on, where it can.
    fn guard(&self, number: u64, file: File) -> Result<()> {
        drop(file);
        if self.store.integrity() == Integrity::None {
            return Ok(());
        }
        let name = number.to_string();
        let path = self.dir.at(&name);
        let missing = || Error::io("open", &path, rustix::io::Errno::NOENT);
        let file = self.dir.read(&name)?.ok_or_else(missing)?;
        self.store.enable(&file, &path)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o444)).map_err(|e| Error::io("protect", &path, e))
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Every change of the maps is one insertion; a panic elsewhere leaves them whole.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn root_hashes(&self) -> MutexGuard<'_, HashMap<ObjectId, RootHash>> {
        // As above.
        self.root_hashes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn staged(&self) -> MutexGuard<'_, Staged> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the image is in the store or waits for its commit here.
    fn look_up_image(&self, id: &ObjectId) -> Result<Added> {
        Ok(match self.store.check_file(&self.store.images, Path::new(&metadata_image_file_name(id)), id)? {
            ObjectState::Absent => Added::New,
            ObjectState::Good => Added::Existing,
            ObjectState::Damaged => Added::Replaced,
        })
    }
}

/// Removes what was not committed. Cleaning up is all that happens here, and its failure
/// harms nobody: the next staging tries again.
impl Drop for Staging<'_> {
    fn drop(&mut self) {
        let _ = self.store.tmp.remove_all(&self.name);
    }
}
