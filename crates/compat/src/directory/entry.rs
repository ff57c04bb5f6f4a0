//! One entry of a directory.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sealpack_format::ObjectId;
use sealpack_format::digest::Algorithm;
use sealpack_format::limits::INLINE_MAX_BYTES;
use sealpack_format::tree::{Content, Kind, Metadata, Time, device_number};
use sealpack_kernel::fsverity::hasher;
use sealpack_kernel::mount::fd_path;

use super::xattrs::{Of, Reader, XattrError};
use super::{DirectoryError, OpenDirectory, Options};
use crate::objects::{Batch, Source};

/// Files up to this size are read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Tells files apart: device and inode number.
pub(super) type Identity = (u64, u64);

/// What an entry turned out to be.
pub(super) enum Outcome {
    /// An inode; with its identity if it has several names.
    Inode { metadata: Metadata, kind: Kind, identity: Option<Identity> },
    /// A further name of an inode that was taken already.
    Link(Identity),
}

/// Looks at entries; one for each thread.
pub(super) struct Looker<'o> {
    options: &'o Options<'o>,
    /// Files with several names that some thread has taken.
    taken: &'o Mutex<HashSet<Identity>>,
    objects: Option<Batch<'o>>,
    xattrs: Reader,
    buffer: Vec<u8>,
}

impl<'o> Looker<'o> {
    pub(super) fn new(options: &'o Options<'o>, taken: &'o Mutex<HashSet<Identity>>) -> Self {
        Self {
            options,
            taken,
            objects: options.objects.map(|objects| objects.batch()),
            xattrs: Reader::new(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Looks at `name`, which is not a directory, in `directory`.
    pub(super) fn look(
        &mut self,
        directory: &OpenDirectory,
        name: &CString,
        is_file: bool,
    ) -> Result<Outcome, DirectoryError> {
        if !is_file {
            return self.look_by_name(directory, name);
        }
        // Should it be something else by now, opening it has no effect.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match rustix::fs::openat(&directory.fd, name, flags, Mode::empty()) {
            Ok(fd) => {
                let stat = rustix::fs::fstat(&fd).map_err(directory.error("examine", name))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return self.look_by_name(directory, name);
                }
                self.file(directory, name, &stat, fd)
            }
            // Nothing has to be read of an empty file, and of a symbolic link.
            Err(Errno::ACCESS | Errno::LOOP) => self.look_by_name(directory, name),
            Err(errno) => Err(directory.error("open", name)(errno)),
        }
    }

    /// Names the objects that were stored.
    pub(super) fn finish(self) -> Result<(), crate::objects::ObjectError> {
        self.objects.map_or(Ok(()), Batch::finish)
    }

    fn file(
        &mut self,
        directory: &OpenDirectory,
        name: &CString,
        stat: &Stat,
        fd: OwnedFd,
    ) -> Result<Outcome, DirectoryError> {
        let identity = match self.take(stat) {
            Ok(identity) => identity,
            Err(taken) => return Ok(Outcome::Link(taken)),
        };
        let metadata = self.metadata(directory, name, stat, Of::File(fd.as_fd()))?;
        let content = if stat.st_size == 0 {
            Content::Inline(Box::default())
        } else {
            self.content(directory, name, &File::from(fd), stat.st_size.unsigned_abs())?
        };
        Ok(Outcome::Inode { metadata, kind: Kind::Regular(content), identity })
    }

    /// What does not have to be opened.
    fn look_by_name(&mut self, directory: &OpenDirectory, name: &CString) -> Result<Outcome, DirectoryError> {
        let stat = rustix::fs::statat(&directory.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(directory.error("examine", name))?;
        let identity = match self.take(&stat) {
            Ok(identity) => identity,
            Err(taken) => return Ok(Outcome::Link(taken)),
        };
        let path = fd_path(&directory.fd).join(Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())));
        let metadata = self.metadata(directory, name, &stat, Of::Path(&path))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&directory.fd, name, Vec::new())
                    .map_err(directory.error("read the link", name))?;
                Kind::Symlink(target.into_bytes().into())
            }
            FileType::CharacterDevice => Kind::CharDevice(number(directory, name, &stat)?),
            FileType::BlockDevice => Kind::BlockDevice(number(directory, name, &stat)?),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::RegularFile if stat.st_size == 0 => Kind::Regular(Content::Inline(Box::default())),
            FileType::RegularFile => return Err(directory.error("open", name)(Errno::ACCESS)),
            // It was no directory when its name was read.
            FileType::Directory | FileType::Unknown => {
                return Err(directory.error("read", name)(Errno::STALE));
            }
        };
        Ok(Outcome::Inode { metadata, kind, identity })
    }

    /// Takes a file with several names, unless another thread has.
    fn take(&self, stat: &Stat) -> Result<Option<Identity>, Identity> {
        if stat.st_nlink < 2 || self.options.split_hard_links {
            return Ok(None);
        }
        let identity = (stat.st_dev, stat.st_ino);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.insert(identity) { Ok(Some(identity)) } else { Err(identity) }
    }

    fn metadata(
        &mut self,
        directory: &OpenDirectory,
        name: &CString,
        stat: &Stat,
        of: Of<'_>,
    ) -> Result<Metadata, DirectoryError> {
        metadata(self.options, &mut self.xattrs, directory, name, stat, of)
    }

    /// Reads the content of a file of about `size_bytes`.
    fn content(
        &mut self,
        directory: &OpenDirectory,
        name: &CString,
        mut file: &File,
        size_bytes: u64,
    ) -> Result<Content, DirectoryError> {
        let failed = |error| DirectoryError::Io { doing: "read", path: directory.path_of(name), error };
        let length = fill(&mut file, &mut self.buffer, size_bytes).map_err(failed)?;
        let start = &self.buffer[..length];
        if length <= INLINE_MAX_BYTES {
            return Ok(Content::Inline(start.into()));
        }
        let mut hasher = hasher(Algorithm::Sha256);
        hasher.update(start);
        let is_whole = length < self.buffer.len();
        if is_whole {
            let size = hasher.size_bytes();
            let id = hasher.finish();
            store(self.objects.as_mut(), &id, Source::Bytes(start), directory, name)?;
            return Ok(Content::Object { size, id });
        }
        loop {
            let length = fill(&mut file, &mut self.buffer, u64::MAX).map_err(failed)?;
            if length == 0 {
                break;
            }
            hasher.update(&self.buffer[..length]);
        }
        let size = hasher.size_bytes();
        let id = hasher.finish();
        store(self.objects.as_mut(), &id, Source::File(file), directory, name)?;
        Ok(Content::Object { size, id })
    }
}

/// What `name` in `directory`, or without a name the directory itself, has beside its type.
pub(super) fn metadata(
    options: &Options<'_>,
    xattrs: &mut Reader,
    directory: &OpenDirectory,
    name: &CString,
    stat: &Stat,
    of: Of<'_>,
) -> Result<Metadata, DirectoryError> {
    let xattrs = xattrs.read(of, options.xattrs).map_err(|error| match error {
        XattrError::Call(doing, errno) => directory.error(doing, name)(errno),
        XattrError::TooMany => DirectoryError::Xattrs { path: directory.path_of(name) },
    })?;
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    let mtime = if options.epoch { Time::default() } else { Time { seconds: stat.st_mtime, nanoseconds } };
    let permissions = (stat.st_mode & 0o7777) as u16;
    Ok(Metadata { permissions, uid: stat.st_uid, gid: stat.st_gid, mtime, xattrs })
}

fn store(
    batch: Option<&mut Batch<'_>>,
    id: &ObjectId,
    source: Source<'_>,
    directory: &OpenDirectory,
    name: &CString,
) -> Result<(), DirectoryError> {
    let Some(batch) = batch else { return Ok(()) };
    batch.add(id, source).map_err(|error| DirectoryError::Object { path: directory.path_of(name), error })
}

/// Reads until `buffer` is full, `enough_bytes` are there or the file ends.
fn fill(file: &mut &File, buffer: &mut [u8], enough_bytes: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() && (length as u64) < enough_bytes {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// The number of a device in the kernel's 32-bit encoding.
fn number(directory: &OpenDirectory, name: &CString, stat: &Stat) -> Result<u32, DirectoryError> {
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    device_number(major, minor).ok_or_else(|| DirectoryError::Device {
        path: directory.path_of(name),
        major,
        minor,
    })
}
