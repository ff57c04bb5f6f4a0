//! Opening and making a store.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sealpack_format::digest::{Algorithm, ObjectId};
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;

use crate::dir::{Dir, sync_file};
use crate::documents;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::holders::LockWatcher;
use crate::integrity::Integrity;
use crate::lock::{Lock, LockKind, Patience};
use crate::meta::{Feature, Meta};
use crate::modes;
use crate::places::{self, CONTAINERS, TMP};
use crate::verified::Verified;

/// How long calls that take a lock by themselves wait for it.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// A store on the disk. Can be used from many threads at once.
pub struct Store {
    pub(crate) root: Dir,
    pub(crate) tmp: Dir,
    pub(crate) objects: Dir,
    pub(crate) images: Dir,
    pub(crate) refs: Dir,
    pub(crate) verified: Verified,
    pub(crate) facts: Facts,
    pub(crate) kernel: Kernel,
    algorithm: Algorithm,
    integrity: Integrity,
    lock_wait: Duration,
    lock_watcher: LockWatcher,
    /// The features that this has [enabled](Self::enable_feature) or found enabled.
    enabled: Mutex<Vec<Feature>>,
    /// Whether no seal is where earlier versions put them.
    pub(crate) seals_settled: AtomicBool,
    /// The mode of its directory when this opened it, if others could get in.
    pub(crate) found_loose: Option<u32>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).field("algorithm", &self.algorithm).finish()
    }
}

impl Store {
    /// Makes a store at `path` and opens it. The directory is made with mode 0700, with its parents, unless
    /// it exists and is empty; then its owner stays, and others than that lose what its mode gives them.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is a store, [`Error::Foreign`] when there is something else.
    pub fn create(path: impl AsRef<Path>, algorithm: Algorithm) -> Result<Self> {
        let path = absolute(path.as_ref())?;
        if !make(&path, algorithm)? {
            return Err(Error::Exists { path });
        }
        Self::open(path)
    }

    /// Opens the store at `path`. Writes nothing; but what modes let others than the owner do with it is taken from them.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Empty`], [`Error::Foreign`] when there is no store; [`Error::Newer`] and
    /// [`Error::Features`] when this program does not know its format; [`Error::Meta`] when it is damaged;
    /// [`Error::Owner`] when it belongs to another user.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = absolute(path.as_ref())?;
        let root = open_root(&path)?;
        check_owner(&root)?;
        let algorithm = algorithm_of(&root)?;
        let found_loose = modes::tighten(&root)?;
        let kernel = Kernel::new();
        let integrity = Integrity::of_filesystem(&kernel, &root)?;
        Ok(Self {
            tmp: root.sub(TMP)?,
            objects: root.sub(places::OBJECTS)?,
            images: root.sub(places::IMAGES)?,
            refs: root.sub(places::REFS)?,
            verified: Verified::default(),
            facts: Facts::default(),
            root,
            kernel,
            algorithm,
            integrity,
            lock_wait: LOCK_WAIT,
            lock_watcher: LockWatcher::default(),
            enabled: Mutex::default(),
            seals_settled: AtomicBool::new(false),
            found_loose,
        })
    }

    /// Opens the store at `path`, and makes it before when there is nothing or an empty directory.
    ///
    /// `algorithm` is the one of a new store (SHA-256 when `None`).
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create); [`Error::Algorithm`] when there is a store
    /// and `algorithm` asks for another than it has.
    pub fn open_or_create(path: impl AsRef<Path>, algorithm: Option<Algorithm>) -> Result<Self> {
        let path = path.as_ref();
        let store = match Self::open(path) {
            Err(Error::Missing { .. } | Error::Empty { .. }) => {
                // Another process may be faster; then its store is the one.
                make(&absolute(path)?, algorithm.unwrap_or(Algorithm::Sha256))?;
                Self::open(path)?
            }
            other => other?,
        };
        if let Some(wanted) = algorithm {
            store.check_algorithm(wanted)?;
        }
        Ok(store)
    }

    /// Sets how long calls that take a lock by themselves wait for it: [`stage`](Self::stage),
    /// [`set_image`](Self::set_image), [`remove_image`](Self::remove_image). Ten seconds unless set.
    #[must_use]
    pub const fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Sets who hears that a lock is waited for.
    #[must_use]
    pub fn with_lock_watcher(mut self, watcher: LockWatcher) -> Self {
        self.lock_watcher = watcher;
        self
    }

    /// The absolute path of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Where what containers change of their images is, in a directory for each container. Those who run them make it,
    /// and remove what is in it; the store never does.
    #[must_use]
    pub fn containers_path(&self) -> PathBuf {
        self.root.at(CONTAINERS)
    }

    /// Where a snapshotter keeps its snapshots, beside what the store has; it makes the directory when it needs it.
    #[must_use]
    pub fn snapshotter_path(&self) -> PathBuf {
        self.root.at(places::SNAPSHOTTER)
    }

    /// The algorithm that names the objects and metadata images.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether new objects and images get fs-verity: whether the filesystem has it.
    /// [`object_integrity`](Self::object_integrity) tells about an object that is there.
    #[must_use]
    pub const fn integrity(&self) -> Integrity {
        self.integrity
    }

    /// Takes a lock on the store, waiting for at most `wait`.
    ///
    /// What is in the store stays there while a shared one is held.
    ///
    /// # Errors
    /// [`Error::Locked`] names who has it.
    pub fn lock(&self, kind: LockKind, wait: Duration) -> Result<Lock> {
        Lock::take(&self.root, kind, Patience { wait, watcher: &self.lock_watcher })
    }

    const fn patience(&self) -> Patience<'_> {
        Patience { wait: self.lock_wait, watcher: &self.lock_watcher }
    }

    /// The shared lock that a call takes by itself.
    pub(crate) fn shared(&self) -> Result<Lock> {
        self.lock(LockKind::Shared, self.lock_wait)
    }

    /// Keeps others from changing names, histories and epochs.
    pub(crate) fn lock_names(&self) -> Result<Lock> {
        Lock::take_for_names(&self.root, self.patience())
    }
    /// Makes the store one that has `feature`: programs that do not know it refuse the store from then on, and the
    /// directories are there.
    ///
    /// Others that have the store open do not mind.
    pub(crate) fn enable_feature(&self, feature: Feature) -> Result<()> {
        let mut enabled = self.enabled.lock().unwrap_or_else(PoisonError::into_inner);
        if enabled.contains(&feature) {
            return Ok(());
        }
        // Two who change the file at once would be as two who make the store at once.
        let _lock = Lock::take_for_making(&self.root, self.patience())?;
        let missing = || Error::Missing { path: self.path().to_owned() };
        let (mut meta, _) = Meta::read(&self.root)?.ok_or_else(missing)?;
        if !meta.has(feature.name()) {
            meta.add(feature.name());
            self.put_file(&self.root, Path::new(places::META), &meta.to_json()?, 0o444)?;
        }
        let mut made = false;
        for directory in feature.directories() {
            made |= self.root.make(directory)?;
        }
        if made {
            if feature == Feature::Packs {
                self.root.sub(places::PACKS_PARENT)?.sync()?;
            }
            self.root.sync()?;
        }
        enabled.push(feature);
        Ok(())
    }

    /// Puts a file with that content at `name` in `directory`, as [`documents::put`] does.
    pub(crate) fn put_file(&self, directory: &Dir, name: &Path, content: &[u8], mode: u32) -> Result<()> {
        documents::put(&self.tmp, directory, name, content, mode)
    }

    /// A file in `tmp/` that goes with its descriptor.
    pub(crate) fn scratch(&self) -> std::io::Result<std::fs::File> {
        documents::scratch(&self.tmp)
    }

    pub(crate) fn check_algorithm(&self, wanted: Algorithm) -> Result<()> {
        if wanted == self.algorithm {
            return Ok(());
        }
        Err(Error::Algorithm { path: self.path().to_owned(), has: self.algorithm, wanted })
    }

    pub(crate) fn check_id(&self, id: &ObjectId) -> Result<()> {
        self.check_algorithm(id.algorithm())
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io("find", path, e))
}

fn open_root(path: &Path) -> Result<Dir> {
    // A link that another user made leads nowhere that this user keeps a store.
    let opened = Directory::open(path).map_err(|e| Error::io("open", path, e)).and_then(|directory| {
        let user = rustix::process::geteuid().as_raw();
        match directory.acting_as() {
            Some(owner) => Err(Error::Owner { path: path.to_owned(), owner, user }),
            None => Ok(Dir::from_directory(directory, path)),
        }
    });
    match opened {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::Missing { path: path.to_owned() })
        }
        // Most often a store that belongs to somebody else; then that is the better answer.
        Err(Error::Permission { call, path }) => {
            let owner = std::fs::metadata(&path).map(|metadata| metadata.uid());
            let user = rustix::process::geteuid().as_raw();
            Err(match owner {
                Ok(owner) if owner != user => Error::Owner { path, owner, user },
                _ => Error::Permission { call, path },
            })
        }
        other => other,
    }
}

fn check_owner(root: &Dir) -> Result<()> {
    let stat = rustix::fs::fstat(root).map_err(|e| Error::io("look at", root.path(), e))?;
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid == user {
        return Ok(());
    }
    Err(Error::Owner { path: root.path().to_owned(), owner: stat.st_uid, user })
}

/// What the store in `root` says of itself, or why it is none.
fn algorithm_of(root: &Dir) -> Result<Algorithm> {
    if let Some((_, algorithm)) = Meta::read(root)? {
        return Ok(algorithm);
    }
    let found = foreign_entry(root)?;
    // Made by somebody else meanwhile, it is a store, and what was found is in it rightly.
    if let Some((_, algorithm)) = Meta::read(root)? {
        return Ok(algorithm);
    }
    let path = root.path().to_owned();
    Err(match found {
        Some(found) => Error::Foreign { path, found },
        None => Error::Empty { path },
    })
}

/// Makes a store at `path`. Answers whether there was none before.
///
/// `meta.json` comes last and makes it a store. What is left when this is interrupted before is
/// recognised and completed the next time.
fn make(path: &Path, algorithm: Algorithm) -> Result<bool> {
    if let Some(parent) = path.parent() {
        let made = Directory::open_or_make(parent, 0o755).map_err(|e| Error::io("create", parent, e))?;
        if let (Some(owner), Err(Error::Missing { .. })) = (made.acting_as(), open_root(path)) {
            let user = rustix::process::geteuid().as_raw();
            return Err(Error::Place { path: parent.to_owned(), owner, user });
        }
        if let Some(name) = path.file_name() {
            match made.make(name, 0o700) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create", path, e));
                }
                _ => {}
            }
        }
    }
    let root = open_root(path)?;
    check_owner(&root)?;
    if root.stat(places::META)?.is_none()
        && let Some(found) = foreign_entry(&root)?
        // As in `algorithm_of`.
        && root.stat(places::META)?.is_none()
    {
        return Err(Error::Foreign { path: path.to_owned(), found });
    }
    let _lock = Lock::take_for_making(&root, Patience { wait: LOCK_WAIT, watcher: &LockWatcher::default() })?;
    if root.stat(places::META)?.is_some() {
        return Ok(false);
    }
    for lock in [places::LOCK, places::NAMES_LOCK] {
        drop(root.append(lock, 0o600)?);
    }
    fill(&root, &Meta::new(algorithm).to_json()?)?;
    Ok(true)
}

fn fill(root: &Dir, meta: &[u8]) -> Result<()> {
    for directory in places::OF_EVERY_STORE.into_iter().chain([TMP]) {
        root.make(directory)?;
    }
    let tmp = root.sub(TMP)?;
    spread(&tmp);
    tmp.unlink(places::META)?;
    let mut file = tmp.create(places::META, 0o444)?;
    file.write_all(meta).map_err(|e| Error::io("write", tmp.at(places::META), e))?;
    sync_file(&file, &tmp.at(places::META))?;
    for directory in [places::BLOBS, places::LAYERS] {
        root.sub(directory)?.sync()?;
    }
    root.sync()?;
    tmp.rename(places::META, root, places::META)?;
    root.sync()?;
    // The directory's own name; its parent may not be readable, which leaves that to the system.
    if let Some(parent) = root.path().parent()
        && let Ok(parent) = Dir::open(parent)
    {
        parent.sync()?;
    }
    Ok(())
}

/// Asks ext4 to put each directory in `tmp`, and the files in it, somewhere else on the disk (`chattr +T`).
/// Otherwise all new files go where others were just removed, and ext4, which does not use a place again
/// for some time, looks at each of those for every file (fs/ext4/ialloc.c, `recently_deleted`).
fn spread(tmp: &Dir) {
    // Only a hint, and only ext4 and its like know it.
    if let Ok(flags) = rustix::fs::ioctl_getflags(tmp) {
        _ = rustix::fs::ioctl_setflags(tmp, flags | rustix::fs::IFlags::TOPDIR);
    }
}

/// The name of something in `root` that the making of a store does not leave behind.
fn foreign_entry(root: &Dir) -> Result<Option<String>> {
    let ours = |name: &std::ffi::OsStr| {
        name == places::LOCK
            || name == places::MAKING_LOCK
            || name == places::NAMES_LOCK
            || name == TMP
            || name == places::LOST_AND_FOUND
            || places::OF_EVERY_STORE.iter().any(|directory| name == *directory)
    };
    Ok(root
        .entries()?
        .into_iter()
        .find(|entry| !ours(&entry.name))
        .map(|entry| entry.name.to_string_lossy().into_owned()))
}
