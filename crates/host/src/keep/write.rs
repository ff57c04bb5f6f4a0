//! Writing what is kept.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, Uid};
use sealpack_format::boot::keep::{DEPTH_MAX, EtcPath, FILE_MAX_BYTES, KeepList};
use sealpack_kernel::directory::Directory;

use super::found::{Found, FoundFile, Owner};
use super::{KeepError, Keeping, Kept};

/// What a file is called before it is whole. No path that is kept begins so.
const TEMPORARY: &str = ".sealpack-keep.new";
/// Held while files are written: two at once would not know of each other.
const LOCK: &str = ".sealpack-keep.lock";

/// Writes what was found, and removes what is not kept any more.
pub(super) fn write(keeping: &Keeping<'_>, found: &Found<'_>) -> Result<Kept, KeepError> {
    let at = |name: &Path| keeping.kept.join(name);
    let top = Directory::open_or_make(keeping.kept, 0o700).map_err(KeepError::io(keeping.kept))?;
    let lock = top.lock_file(LOCK).and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.map_err(KeepError::io(at(Path::new(LOCK))))?;
    let mut kept = Kept { passed_over: found.passed_over.clone(), ..Kept::default() };
    for (path, file) in &found.files {
        let written = write_file(&top, found, path, file).map_err(KeepError::io(at(path.in_etc())))?;
        let list = if written { &mut kept.written } else { &mut kept.unchanged };
        list.push(path.clone());
    }
    let stays: BTreeSet<&Path> = found.files.keys().map(EtcPath::in_etc).collect();
    let removal = Removal { list: keeping.list, stays, found };
    removal.below(&top, Path::new(""), DEPTH_MAX, &mut kept.removed).map_err(KeepError::io(keeping.kept))?;
    Ok(kept)
}

/// Writes one file, with the directories that it is in. Answers whether it was another one.
fn write_file(top: &Directory, found: &Found<'_>, path: &EtcPath, file: &FoundFile) -> io::Result<bool> {
    let parent = path.in_etc().parent().unwrap_or(Path::new(""));
    let name = path.in_etc().file_name().unwrap_or_default();
    let Some(first) = parent.iter().next() else { return write_into(top, name, file) };
    let mut so_far = PathBuf::from(first);
    let mut directory = make_directory(top, first, found.directories.get(&so_far))?;
    for name in parent.iter().skip(1) {
        so_far = so_far.join(name);
        directory = make_directory(&directory, name, found.directories.get(&so_far))?;
    }
    write_into(&directory, name, file)
}

fn make_directory(parent: &Directory, name: &OsStr, owner: Option<&Owner>) -> io::Result<Directory> {
    let is_new = parent.stat(name)?.is_none();
    let directory = parent.make_sub(name, 0o700)?;
    if let Some(owner) = owner {
        let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
        rustix::fs::fchown(&directory, Some(user), Some(group))?;
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(owner.mode))?;
    }
    if is_new {
        parent.sync()?;
    }
    Ok(directory)
}

fn write_into(directory: &Directory, name: &OsStr, file: &FoundFile) -> io::Result<bool> {
    if let Ok(Some(there)) = directory.read(name)
        && is_same(there, file)?
    {
        return Ok(false);
    }
    // Left by a run that was killed.
    directory.unlink(TEMPORARY)?;
    let mut new = directory.create(TEMPORARY, 0o600)?;
    let written = (|| {
        new.write_all(&file.bytes)?;
        fchown(&new, Some(file.owner.user), Some(file.owner.group))?;
        new.set_permissions(Permissions::from_mode(file.owner.mode))?;
        new.sync_all()?;
        directory.rename(TEMPORARY, directory, name)
    })();
    if written.is_err() {
        _ = directory.unlink(TEMPORARY);
    }
    written?;
    directory.sync()?;
    Ok(true)
}

fn is_same(there: File, file: &FoundFile) -> io::Result<bool> {
    let metadata = there.metadata()?;
    let owner = Owner::new(metadata.mode(), metadata.uid(), metadata.gid());
    if metadata.len() != file.bytes.len() as u64 || owner != file.owner || metadata.mode() & 0o7000 != 0 {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    there.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes == file.bytes)
}

/// Removing what was kept before.
struct Removal<'a> {
    list: &'a KeepList,
    stays: BTreeSet<&'a Path>,
    found: &'a Found<'a>,
}

impl Removal<'_> {
    /// Whether a file that is kept is not to be kept any more. Where its original could not be read it stays.
    fn removes(&self, path: &Path) -> bool {
        let named = EtcPath::new(&Path::new("/etc").join(path).to_string_lossy());
        let is_unsure = || {
            let unsure = self.found.passed_over.iter().filter(|passed| passed.why.is_failure());
            unsure.map(|passed| &passed.path).any(|unsure| path.starts_with(unsure))
        };
        named.is_ok_and(|named| self.list.has(&named)) && !self.stays.contains(path) && !is_unsure()
    }

    fn below(
        &self,
        directory: &Directory,
        path: &Path,
        depth: usize,
        removed: &mut Vec<EtcPath>,
    ) -> io::Result<()> {
        let mut is_changed = false;
        for (name, kind) in directory.entries()? {
            let here = path.join(&name);
            match kind {
                FileType::Directory if depth > 0 => {
                    let Some(sub) = directory.sub(&name)? else { continue };
                    let before = removed.len();
                    self.below(&sub, &here, depth - 1, removed)?;
                    if removed.len() > before && sub.entries()?.is_empty() {
                        directory.remove_all(&name)?;
                        is_changed = true;
                    }
                }
                FileType::RegularFile if name == TEMPORARY => is_changed |= directory.unlink(&name)?,
                FileType::RegularFile if self.removes(&here) => {
                    is_changed |= directory.unlink(&name)?;
                    removed.extend(EtcPath::new(&Path::new("/etc").join(&here).to_string_lossy()));
                }
                _ => {}
            }
        }
        if is_changed { directory.sync() } else { Ok(()) }
    }
}
