//! Goes through directories, and hands what is in them to other threads.

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use sealpack_format::tree::{Directory, Inode, InodeId, Kind, Metadata, Tree, TreeError, XattrPool};

use super::entry::{Identity, Looker, Outcome, metadata};
use super::xattrs::{Of, Reader};
use super::{DirectoryError, OpenDirectory, Options};

/// So many entries are handed over together.
const BATCH: usize = 64;

/// An entry to look at, and its place in the tree.
struct Entry {
    name: CString,
    id: InodeId,
    is_file: bool,
}

/// Entries of one directory.
struct Job {
    directory: Arc<OpenDirectory>,
    directory_id: InodeId,
    entries: Vec<Entry>,
}

/// What became of a job.
type Done = Result<(Job, Vec<Outcome>), DirectoryError>;

/// A further name of a file.
struct Link {
    directory: InodeId,
    name: CString,
    identity: Identity,
}

/// See [`super::read`].
pub(super) fn read(source: &Path, options: &Options<'_>) -> Result<Tree, DirectoryError> {
    let taken = Mutex::new(HashSet::new());
    let is_over = AtomicBool::new(false);
    let threads = options.threads.get();
    std::thread::scope(|scope| {
        let (jobs, incoming) = sync_channel::<Job>(2 * threads);
        let (outgoing, done) = channel::<Done>();
        let incoming = Arc::new(Mutex::new(incoming));
        for _ in 0..threads {
            let (incoming, outgoing) = (Arc::clone(&incoming), outgoing.clone());
            let (taken, is_over) = (&taken, &is_over);
            scope.spawn(move || work(&incoming, &outgoing, options, taken, is_over));
        }
        // The last receiver and sender are the threads'.
        drop((incoming, outgoing));
        let result = Walker::new(options, jobs, done).run(source);
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

/// What each thread does, until there are no more jobs.
fn work(
    incoming: &Mutex<Receiver<Job>>,
    outgoing: &Sender<Done>,
    options: &Options<'_>,
    taken: &Mutex<HashSet<Identity>>,
    is_over: &AtomicBool,
) {
    let mut looker = Looker::new(options, taken);
    loop {
        let job = incoming.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { break };
        if is_over.load(Ordering::Relaxed) {
            continue;
        }
        let looked = job.entries.iter().map(|entry| looker.look(&job.directory, &entry.name, entry.is_file));
        let outcomes: Result<Vec<_>, _> = looked.collect();
        // When nobody listens any more, there was an error.
        _ = outgoing.send(outcomes.map(|outcomes| (job, outcomes)));
    }
    if !is_over.load(Ordering::Relaxed)
        && let Err(error) = looker.finish()
    {
        _ = outgoing.send(Err(DirectoryError::Objects(error)));
    }
}

/// A directory that was found and is still ahead.
struct Ahead {
    parent: Arc<OpenDirectory>,
    name: CString,
    id: InodeId,
}

/// The tree, as far as it is known.
struct Gathered {
    tree: Tree,
    pool: XattrPool,
    /// Files with several names.
    known: HashMap<Identity, InodeId>,
    links: Vec<Link>,
}

struct Walker<'o> {
    options: &'o Options<'o>,
    xattrs: Reader,
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    gathered: Gathered,
    ahead: Vec<Ahead>,
}

impl<'o> Walker<'o> {
    fn new(options: &'o Options<'o>, jobs: SyncSender<Job>, done: Receiver<Done>) -> Self {
        let gathered = Gathered {
            tree: Tree::new(Metadata::default()),
            pool: XattrPool::default(),
            known: HashMap::new(),
            links: Vec::new(),
        };
        Self { options, xattrs: Reader::new(), jobs, done, gathered, ahead: Vec::new() }
    }

    fn run(mut self, source: &Path) -> Result<Tree, DirectoryError> {
        let failed = |errno: Errno| DirectoryError::Io {
            doing: "open the directory",
            path: source.to_owned(),
            error: errno.into(),
        };
        let fd = open(CWD, source.as_os_str()).map_err(failed)?;
        self.directory(&Arc::new(OpenDirectory { fd, path: source.to_owned() }), InodeId::ROOT)?;
        while let Some(Ahead { parent, name, id }) = self.ahead.pop() {
            let fd = open(parent.fd.as_fd(), OsStr::from_bytes(name.as_bytes()))
                .map_err(parent.error("open the directory", &name))?;
            let directory = Arc::new(OpenDirectory { fd, path: parent.path_of(&name) });
            // It may have been the last one that needs it open.
            drop(parent);
            self.directory(&directory, id)?;
            while let Ok(done) = self.done.try_recv() {
                self.gathered.settle(done?);
            }
        }
        drop(self.jobs);
        for done in self.done {
            self.gathered.settle(done?);
        }
        self.gathered.link()
    }

    /// Reads one directory: its own metadata, and what is in it.
    fn directory(&mut self, directory: &Arc<OpenDirectory>, id: InodeId) -> Result<(), DirectoryError> {
        let this = CString::default();
        let stat = rustix::fs::fstat(&directory.fd).map_err(directory.error("examine", &this))?;
        let of = Of::File(directory.fd.as_fd());
        let metadata = metadata(self.options, &mut self.xattrs, directory, &this, &stat, of)?;
        self.gathered.set_metadata(id, metadata);
        let entries = Dir::read_from(&directory.fd).map_err(directory.error("read", &this))?;
        let mut batch = Vec::with_capacity(BATCH);
        for entry in entries {
            let entry = entry.map_err(directory.error("read", &this))?;
            let name = entry.file_name().to_owned();
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            let Some(file_type) = self.file_type(directory, &name, entry.file_type())? else { continue };
            self.add(directory, id, name, file_type, &mut batch)?;
            if batch.len() == BATCH {
                self.hand_over(directory, id, &mut batch);
            }
        }
        self.hand_over(directory, id, &mut batch);
        Ok(())
    }

    /// The type of an entry; none if it is left out.
    fn file_type(
        &self,
        directory: &OpenDirectory,
        name: &CString,
        stated: FileType,
    ) -> Result<Option<FileType>, DirectoryError> {
        let file_type = match stated {
            FileType::Unknown => {
                let stat = rustix::fs::statat(&directory.fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(directory.error("examine", name))?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        let is_device = matches!(file_type, FileType::CharacterDevice | FileType::BlockDevice);
        Ok((!is_device || !self.options.skip_devices).then_some(file_type))
    }

    /// Puts an entry into the tree: a directory that is still ahead, or something that `batch`
    /// has to be looked at for.
    fn add(
        &mut self,
        directory: &Arc<OpenDirectory>,
        directory_id: InodeId,
        name: CString,
        file_type: FileType,
        batch: &mut Vec<Entry>,
    ) -> Result<(), DirectoryError> {
        let is_directory = file_type == FileType::Directory;
        let kind = if is_directory { Kind::Directory(Directory::default()) } else { Kind::Fifo };
        let inode = Inode::new(Metadata::default(), kind);
        let refused = |error: TreeError| DirectoryError::Tree { path: directory.path.clone(), error };
        let id = self.gathered.tree.insert(directory_id, name.as_bytes(), inode).map_err(refused)?;
        if is_directory {
            self.ahead.push(Ahead { parent: Arc::clone(directory), name, id });
        } else {
            batch.push(Entry { name, id, is_file: file_type == FileType::RegularFile });
        }
        Ok(())
    }

    fn hand_over(&self, directory: &Arc<OpenDirectory>, directory_id: InodeId, batch: &mut Vec<Entry>) {
        if batch.is_empty() {
            return;
        }
        let job = Job { directory: Arc::clone(directory), directory_id, entries: std::mem::take(batch) };
        // The threads end only when there is nobody to send jobs.
        _ = self.jobs.send(job);
    }
}

impl Gathered {
    fn set_metadata(&mut self, id: InodeId, mut metadata: Metadata) {
        metadata.xattrs = self.pool.share(metadata.xattrs);
        self.tree.inode_mut(id).metadata = metadata;
    }

    /// Puts what was found out into the tree.
    fn settle(&mut self, (job, outcomes): (Job, Vec<Outcome>)) {
        for (entry, outcome) in job.entries.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Inode { metadata, kind, identity } => {
                    self.set_metadata(entry.id, metadata);
                    self.tree.inode_mut(entry.id).kind = kind;
                    if let Some(identity) = identity {
                        self.known.insert(identity, entry.id);
                    }
                }
                Outcome::Link(identity) => {
                    self.links.push(Link { directory: job.directory_id, name: entry.name, identity });
                }
            }
        }
    }

    /// Makes hard links of the further names of files.
    fn link(mut self) -> Result<Tree, DirectoryError> {
        for Link { directory, name, identity } in self.links {
            // Whoever took a file has settled it, or there was an error.
            let Some(target) = self.known.get(&identity) else { continue };
            self.tree.remove(directory, name.as_bytes());
            let path = || Path::new(OsStr::from_bytes(name.as_bytes())).to_owned();
            self.tree
                .link(directory, name.as_bytes(), *target)
                .map_err(|error| DirectoryError::Tree { path: path(), error })?;
        }
        Ok(self.tree)
    }
}

/// Opens the directory `name` in `parent`; not through a symbolic link.
fn open(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
