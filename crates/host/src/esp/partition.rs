//! The partition as a directory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, RenameFlags, StatVfsMountFlags};
use rustix::io::Errno;
use sealpack_kernel::directory::Directory;
use sha2::{Digest, Sha256};

use super::entry::Entry;
use super::error::EspError;
use super::firmware::configured_default;
use super::name::{Counter, FileName};
use crate::uki::{UkiFile, release_of};

/// Where systemd-boot looks for UKIs (UAPI.1, "Type #2").
const UKIS: [&str; 2] = ["EFI", "Linux"];
/// systemd-boot's configuration.
const LOADER_CONF: &str = "loader/loader.conf";
/// More than anybody says there: a FAT can have a file of 4 GiB, which is all the memory that some hosts have.
const LOADER_CONF_MAX_BYTES: u64 = 1024 * 1024;
/// FAT's number (`MSDOS_SUPER_MAGIC`, include/uapi/linux/magic.h).
const FAT: i64 = 0x4d44;
/// What of a UKI is written last. No sector of a disk is smaller, and all of it is written or nothing.
const FIRST_BYTES: usize = 512;
/// The largest file that is taken for a UKI: more than any has.
pub(crate) const UKI_MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// The most of them.
const ENTRIES_MAX: usize = 256;

/// What is mounted at a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filesystem {
    /// Whether it is the root of a mount.
    pub is_mounted: bool,
    /// Whether it is FAT.
    pub is_fat: bool,
    /// Whether it is mounted read-only.
    pub is_read_only: bool,
    /// How many bytes are left.
    pub free_bytes: u64,
    /// What files take is a multiple of this.
    pub cluster_bytes: u64,
}

impl Filesystem {
    /// Looks at the directory `path`.
    ///
    /// # Errors
    /// What the system says; [`EspError::NotMounted`] where there is no such directory.
    pub fn look(path: &Path) -> Result<Self, EspError> {
        let failed = |errno: Errno| match errno {
            Errno::NOENT | Errno::NOTDIR => EspError::NotMounted { path: path.to_owned() },
            _ => EspError::io("look at", path)(errno.into()),
        };
        // Looked at first: it may be mounted only when somebody comes near.
        let stat = rustix::fs::stat(path.join(".")).map_err(failed)?;
        let above = rustix::fs::stat(path.join("..")).map_err(failed)?;
        let kind = rustix::fs::statfs(path).map_err(failed)?.f_type;
        let room = rustix::fs::statvfs(path).map_err(failed)?;
        #[allow(clippy::useless_conversion, reason = "its type is another one on other architectures")]
        Ok(Self {
            is_mounted: stat.st_dev != above.st_dev,
            is_fat: i64::from(kind) == FAT,
            is_read_only: room.f_flag.contains(StatVfsMountFlags::RDONLY),
            free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
            cluster_bytes: room.f_frsize.max(1),
        })
    }

    /// What a file of so many bytes takes, with what its name may add to a directory.
    #[must_use]
    pub const fn taken_bytes(&self, size_bytes: u64) -> u64 {
        let clusters = size_bytes.div_ceil(self.cluster_bytes).saturating_add(1);
        clusters.saturating_mul(self.cluster_bytes)
    }
}

/// The mounted partition.
#[derive(Debug)]
pub struct Esp {
    path: PathBuf,
    filesystem: Filesystem,
    ukis: Directory,
}

impl Esp {
    /// The one that is mounted at `path`, whose filesystem was looked at: [`Filesystem::look`], or for tests what they say.
    ///
    /// # Errors
    /// [`EspError::NotMounted`], [`EspError::NotFat`]; what the system says.
    pub fn open(path: &Path, filesystem: Filesystem) -> Result<Self, EspError> {
        if !filesystem.is_mounted {
            return Err(EspError::NotMounted { path: path.to_owned() });
        }
        if !filesystem.is_fat {
            return Err(EspError::NotFat { path: path.to_owned() });
        }
        let [efi, linux] = UKIS;
        let directory = path.join(efi).join(linux);
        let ukis = match filesystem.is_read_only {
            true => Directory::open(&directory),
            false => Directory::open_or_make(&directory, 0o700),
        };
        Ok(Self { path: path.to_owned(), filesystem, ukis: ukis.map_err(EspError::io("open", directory))? })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    #[must_use]
    pub const fn filesystem(&self) -> &Filesystem {
        &self.filesystem
    }

    /// The path of a UKI of that name.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.ukis.path().join(name)
    }

    /// The pattern in systemd-boot's own configuration of what is always started, if it has one.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn configured_default(&self) -> Result<Option<String>, EspError> {
        let path = self.path.join(LOADER_CONF);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(EspError::io("read", &path))?,
        };
        let mut text = Vec::new();
        let read = file.take(LOADER_CONF_MAX_BYTES + 1).read_to_end(&mut text);
        read.map_err(EspError::io("read", &path))?;
        if text.len() as u64 > LOADER_CONF_MAX_BYTES {
            let why = format!("it has more than {LOADER_CONF_MAX_BYTES} bytes");
            return Err(EspError::io("read", path)(io::Error::other(why)));
        }
        Ok(configured_default(&String::from_utf8_lossy(&text)))
    }

    /// The files that systemd-boot takes for UKIs, in no order.
    ///
    /// # Errors
    /// [`EspError::NoText`], [`EspError::TooMany`]: who does not see all of them cannot say what is needed; what the system
    /// says.
    pub fn entries(&self) -> Result<Vec<Entry>, EspError> {
        let listed = self.ukis.entries().map_err(EspError::io("list", self.ukis.path()))?;
        let files = listed.into_iter().filter(|(_, kind)| *kind == FileType::RegularFile);
        let names = files.map(|(name, _)| {
            name.into_string().map_err(|name| EspError::NoText { path: self.ukis.path().join(name) })
        });
        let mut names: Vec<String> = names.collect::<Result<_, _>>()?;
        names.sort();
        let named = names.into_iter().filter_map(|name| Some((FileName::parse(&name)?, name)));
        let named: Vec<_> = named.collect();
        if named.len() > ENTRIES_MAX {
            return Err(EspError::TooMany { path: self.ukis.path().to_owned(), limit: ENTRIES_MAX });
        }
        named.into_iter().filter_map(|(name, file_name)| self.entry(name, file_name).transpose()).collect()
    }

    fn entry(&self, name: FileName, file_name: String) -> Result<Option<Entry>, EspError> {
        // Removed meanwhile.
        let Some(bytes) = self.read(&file_name)? else { return Ok(None) };
        let (size_bytes, release, uki) = (bytes.len() as u64, release_of(&bytes), UkiFile::parse(&bytes));
        let sha256 = Sha256::digest(&bytes).into();
        Ok(Some(Entry { file_name, name, size_bytes, sha256, release, uki }))
    }

    /// When the file of a UKI was written, in seconds since 1970 by the host's clock; `None` if it is not there, or nobody
    /// knows. A new name, as one that counts tries gets, changes nothing about it.
    #[must_use]
    pub fn written_unix_seconds(&self, file_name: &str) -> Option<u64> {
        let stat = self.ukis.stat(file_name).ok().flatten()?;
        u64::try_from(stat.st_mtime).ok()
    }

    /// What is in the file of a UKI; `None` if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, file_name: &str) -> Result<Option<Vec<u8>>, EspError> {
        let failed = || EspError::io("read", self.path_of(file_name));
        let Some(file) = self.ukis.read(file_name).map_err(failed())? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(UKI_MAX_BYTES).read_to_end(&mut bytes).map_err(failed())?;
        Ok(Some(bytes))
    }

    /// That it can be written to.
    ///
    /// # Errors
    /// [`EspError::ReadOnly`].
    pub fn check_writable(&self) -> Result<(), EspError> {
        match self.filesystem.is_read_only {
            true => Err(EspError::ReadOnly { path: self.path.clone() }),
            false => Ok(()),
        }
    }

    /// That it can be written to, and a UKI of so many bytes fits, when the files of `removed` are gone.
    ///
    /// # Errors
    /// [`EspError::ReadOnly`], [`EspError::Full`]; what the system says.
    pub fn check_room(&self, size_bytes: u64, removed: &[&Entry]) -> Result<(), EspError> {
        self.check_writable()?;
        let mut free_bytes = self.filesystem.free_bytes;
        for entry in removed {
            free_bytes = free_bytes.saturating_add(entry.size_bytes);
        }
        let needed_bytes = self.filesystem.taken_bytes(size_bytes);
        if free_bytes < needed_bytes {
            return Err(EspError::Full { path: self.path.clone(), free_bytes, needed_bytes });
        }
        Ok(())
    }

    /// That a UKI can get the name that [`write`](Self::write) gives it, when the files of `removed` are gone.
    ///
    /// # Errors
    /// [`EspError::Exists`]; what the system says.
    pub fn check_name(&self, stem: &str, removed: &[&Entry]) -> Result<(), EspError> {
        let name = new_name(stem);
        match removed.iter().any(|entry| entry.file_name.eq_ignore_ascii_case(&name)) {
            true => Ok(()),
            false => self.check_free(&name),
        }
    }

    /// Writes a UKI, whole and flushed or not at all, under a name that counts its tries, and reads it again. Answers with
    /// the name.
    ///
    /// # Errors
    /// [`EspError::ReadOnly`]; [`EspError::Exists`] where there is something of that name; [`EspError::Damaged`]; what the
    /// system says. There is no such file then.
    pub fn write(&self, stem: &str, bytes: &[u8]) -> Result<String, EspError> {
        self.check_writable()?;
        let name = new_name(stem);
        self.check_free(&name)?;
        let written = self.write_whole(&name, bytes);
        if written.is_err() {
            _ = self.ukis.unlink(&name);
        }
        written.map(|()| name)
    }

    fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), EspError> {
        let failed = || EspError::io("write", self.path_of(name));
        let file: File = self.ukis.create(name, 0o600).map_err(failed())?;
        let (first, rest) = bytes.split_at(bytes.len().min(FIRST_BYTES));
        let all_but_first = file.write_all_at(&[0; FIRST_BYTES][..first.len()], 0);
        all_but_first.and_then(|()| file.write_all_at(rest, FIRST_BYTES as u64)).map_err(failed())?;
        file.sync_all().map_err(failed())?;
        self.flush()?;
        // What is compared is what the disk has, not what is in memory of it still.
        _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        match self.read(name)? {
            Some(read) if read.get(first.len()..) == Some(rest) => {}
            _ => return Err(EspError::Damaged { path: self.path_of(name) }),
        }
        file.write_all_at(first, 0).and_then(|()| file.sync_all()).map_err(failed())
    }

    /// Gives the file of an entry another counter, flushed. Answers with its name.
    ///
    /// # Errors
    /// As for [`write`](Self::write); [`EspError::Gone`].
    pub fn count(&self, entry: &Entry, counter: Option<Counter>) -> Result<String, EspError> {
        self.check_writable()?;
        let name = entry.name.with(counter).to_string();
        if name != entry.file_name {
            self.check_free(&name)?;
            self.rename(&entry.file_name, &name)?;
        }
        Ok(name)
    }

    fn check_free(&self, name: &str) -> Result<(), EspError> {
        match self.ukis.stat(name).map_err(EspError::io("look at", self.path_of(name)))? {
            Some(_) => Err(EspError::Exists { path: self.path_of(name) }),
            None => Ok(()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), EspError> {
        let renamed = self.ukis.rename_with(from, &self.ukis, to, RenameFlags::NOREPLACE);
        match renamed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(EspError::Gone { path: self.path_of(from) });
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(EspError::Exists { path: self.path_of(to) });
            }
            other => other.map_err(EspError::io("rename", self.path_of(from)))?,
        }
        self.flush()
    }

    /// Removes the file of an entry, flushed. One that is not there any more is no error.
    ///
    /// # Errors
    /// [`EspError::ReadOnly`]; what the system says.
    pub fn remove(&self, entry: &Entry) -> Result<(), EspError> {
        self.check_writable()?;
        let failed = EspError::io("remove", self.path_of(&entry.file_name));
        self.ukis.unlink(&entry.file_name).map_err(failed)?;
        self.flush()
    }

    /// Has the directory on the disk, and what the FAT has of its files.
    fn flush(&self) -> Result<(), EspError> {
        self.ukis.sync().map_err(EspError::io("flush", self.ukis.path()))
    }
}

/// The name of a UKI that was never tried.
fn new_name(stem: &str) -> String {
    FileName { stem: stem.to_owned(), counter: Some(Counter::NEW) }.to_string()
}
