//! Copying what was kept of `/etc`: contents, owners and modes, and nothing else that a file can have.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::{FileType, Gid, Mode, Uid, fchmod, fchown, fstat};
use sealpack_format::boot::keep::{
    DEPTH_MAX, Entry, EtcPath, FILE_MAX_BYTES, FILES_MAX, KeepList, TOTAL_MAX_BYTES,
};
use sealpack_kernel::directory::Directory;

/// What is kept of a mode: who may read, write and execute. Set-user-ID bits are not.
const MODE: u32 = 0o777;

/// What was copied.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) files: usize,
    /// What was not, and why.
    pub(super) passed_over: Vec<String>,
}

/// Copies what the list names from `from` to `to`, in place of what is there.
pub(super) fn copy(list: &KeepList, from: &Directory, to: &Directory) -> Copied {
    let mut copying =
        Copying { copied: Copied::default(), bytes_left: TOTAL_MAX_BYTES, entries_left: FILES_MAX };
    for entry in list.entries() {
        copying.entry(entry, from, to);
    }
    copying.copied
}

struct Copying {
    copied: Copied,
    bytes_left: u64,
    /// Files and directories that are still looked at.
    entries_left: usize,
}

impl Copying {
    fn entry(&mut self, entry: &Entry, from: &Directory, to: &Directory) {
        let path = entry.path();
        let (Some(parent), Some(name)) = (path.in_etc().parent(), path.in_etc().file_name()) else { return };
        let mut ancestors = Vec::new();
        for ancestor in parent.iter() {
            let (from, to) = ancestors.last().map_or((from, to), |(from, to)| (from, to));
            match enter(from, to, ancestor) {
                Ok(Some(both)) => ancestors.push(both),
                Ok(None) => return,
                Err(error) => return self.pass_over(path, &error),
            }
        }
        let (from, to) = ancestors.last().map_or((from, to), |(from, to)| (from, to));
        match entry {
            Entry::File(_) => self.file(path, name, from, to),
            Entry::Directory(_) => self.directory(path, name, from, to, DEPTH_MAX),
        }
    }

    fn file(&mut self, path: &EtcPath, name: &OsStr, from: &Directory, to: &Directory) {
        match self.copy_file(name, from, to) {
            Ok(true) => self.copied.files += 1,
            Ok(false) => {}
            Err(error) => self.pass_over(path, &error),
        }
    }

    fn directory(&mut self, path: &EtcPath, name: &OsStr, from: &Directory, to: &Directory, depth: usize) {
        let entered = match depth {
            0 => Err(io::Error::other("it is too deep")),
            _ => enter(from, to, name).and_then(|both| match both {
                Some((from, to)) => Ok(Some((sorted(&from)?, from, to))),
                None => Ok(None),
            }),
        };
        match entered {
            Ok(None) => {}
            Err(error) => self.pass_over(path, &error),
            Ok(Some((entries, from, to))) => {
                for (name, kind) in entries {
                    self.in_directory(path, &name, kind, &from, &to, depth - 1);
                }
            }
        }
    }

    fn in_directory(
        &mut self,
        directory: &EtcPath,
        name: &OsStr,
        kind: FileType,
        from: &Directory,
        to: &Directory,
        depth: usize,
    ) {
        let Some(text) = name.to_str() else {
            return self.pass_over(directory, &io::Error::other("it has a name in it that is no text"));
        };
        match directory.join(text) {
            Err(why) => self.pass_over(directory, &io::Error::other(format!("{text:?} in it: {why}"))),
            Ok(path) => match kind {
                FileType::Directory => self.directory(&path, name, from, to, depth),
                FileType::RegularFile => self.file(&path, name, from, to),
                _ => self.pass_over(&path, &io::Error::other("it is neither a file nor a directory")),
            },
        }
    }

    /// Whether there was one.
    fn copy_file(&mut self, name: &OsStr, from: &Directory, to: &Directory) -> io::Result<bool> {
        let Some(file) = from.read(name)? else { return Ok(false) };
        self.entries_left =
            self.entries_left.checked_sub(1).ok_or_else(|| io::Error::other("there are too many files"))?;
        let limit = FILE_MAX_BYTES.min(self.bytes_left);
        let mut content = Vec::new();
        (&file).take(limit.saturating_add(1)).read_to_end(&mut content)?;
        let size_bytes = content.len() as u64;
        if size_bytes > limit {
            return Err(io::Error::other(format!("it has more than the {limit} bytes that it may have")));
        }
        self.bytes_left -= size_bytes;
        write(&content, &file, name, to)?;
        Ok(true)
    }

    fn pass_over(&mut self, path: &EtcPath, error: &io::Error) {
        self.copied.passed_over.push(format!("{path} is not as it was kept: {error}"));
    }
}

/// Writes a file with the owner and the mode of `like`.
fn write(content: &[u8], like: &File, name: &OsStr, to: &Directory) -> io::Result<()> {
    let status = fstat(like)?;
    to.unlink(name)?;
    let mut written = to.create(name, 0o600)?;
    written.write_all(content)?;
    fchown(&written, Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))?;
    Ok(fchmod(&written, Mode::from_raw_mode(status.st_mode & MODE))?)
}

/// The directory `name` in both; made in `to` if it is not there, with the owner and the mode of the other. `None` where
/// there is none in `from`.
fn enter(from: &Directory, to: &Directory, name: &OsStr) -> io::Result<Option<(Directory, Directory)>> {
    let Some(from) = from.sub(name)? else { return Ok(None) };
    if let Some(to) = to.sub(name)? {
        return Ok(Some((from, to)));
    }
    let status = fstat(&from)?;
    let to = to.make_sub(name, 0o700)?;
    fchown(&to, Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))?;
    fchmod(&to, Mode::from_raw_mode(status.st_mode & MODE))?;
    Ok(Some((from, to)))
}

/// What is in a directory, in an order that does not change.
fn sorted(directory: &Directory) -> io::Result<Vec<(std::ffi::OsString, FileType)>> {
    let mut entries = directory.entries()?;
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    struct Place {
        root: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            for name in ["kept", "etc"] {
                fs::create_dir(root.path().join(name)).unwrap();
            }
            Self { root }
        }

        fn write(&self, path: &str, text: &str, mode: u32) {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn read(&self, path: &str) -> Option<(String, u32)> {
            let path = self.root.path().join(path);
            let mode = fs::symlink_metadata(&path).ok()?.mode() & 0o7777;
            Some((fs::read_to_string(path).ok()?, mode))
        }

        fn copy(&self, list: &str) -> Copied {
            let list = KeepList::parse(list.as_bytes()).unwrap();
            let open = |name| Directory::open(&self.root.path().join(name)).unwrap();
            copy(&list, &open("kept"), &open("etc"))
        }
    }

    #[test]
    fn files_and_directories_of_the_list_are_copied_with_their_modes_and_nothing_else_is() {
        let place = Place::new();
        place.write("kept/machine-id", "1234\n", 0o444);
        place.write("kept/ssh/ssh_host_ed25519_key", "key", 0o600);
        place.write("kept/ssh/other", "no", 0o600);
        place.write("kept/systemd/network/a.network", "[Match]", 0o4644);
        place.write("kept/systemd/network/b.network.d/x.conf", "[Network]", 0o640);
        place.write("etc/machine-id", "uninitialized\n", 0o644);
        let copied = place.copy(
            "/etc/machine-id\n/etc/ssh/ssh_host_ed25519_key\n/etc/systemd/network/\n/etc/hostname\n/etc/netplan/\n",
        );
        assert_eq!(copied, Copied { files: 4, passed_over: Vec::new() });
        let read = |path| place.read(path).unwrap();
        assert_eq!(read("etc/machine-id"), ("1234\n".to_owned(), 0o444));
        assert_eq!(read("etc/ssh/ssh_host_ed25519_key"), ("key".to_owned(), 0o600));
        assert_eq!(read("etc/systemd/network/a.network"), ("[Match]".to_owned(), 0o644));
        assert_eq!(read("etc/systemd/network/b.network.d/x.conf"), ("[Network]".to_owned(), 0o640));
        assert_eq!(place.read("etc/ssh/other"), None);
        assert!(!place.root.path().join("etc/hostname").exists());
    }

    #[test]
    fn links_and_what_is_no_file_are_passed_over_on_either_side() {
        let place = Place::new();
        let at = |path: &str| place.root.path().join(path);
        place.write("secret", "secret", 0o600);
        symlink(at("secret"), at("kept/hostname")).unwrap();
        place.write("elsewhere/a.network", "theirs", 0o644);
        fs::create_dir(at("kept/systemd")).unwrap();
        symlink(at("elsewhere"), at("kept/systemd/network")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("kept/hosts"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        place.write("kept/ssh/ssh_host_rsa_key", "key", 0o600);
        symlink(at("elsewhere"), at("etc/ssh")).unwrap();
        let copied =
            place.copy("/etc/hostname\n/etc/hosts\n/etc/systemd/network/\n/etc/ssh/ssh_host_rsa_key\n");
        assert_eq!(copied.files, 0);
        assert_eq!(copied.passed_over.len(), 4, "{:?}", copied.passed_over);
        assert!(copied.passed_over[0].starts_with("/etc/hostname is not as it was kept: a symbolic link"));
        assert_eq!(fs::read_dir(at("elsewhere")).unwrap().count(), 1);
    }

    #[test]
    fn places_that_are_never_kept_are_passed_over_in_directories_too() {
        let place = Place::new();
        place.write("kept/wpa_supplicant/wpa.conf", "net", 0o600);
        place.write("kept/netplan/a.yaml", "net", 0o600);
        place.write("kept/netplan/system-generators/evil", "no", 0o755);
        place.write("kept/netplan/b c", "no", 0o600);
        let copied = place.copy("/etc/netplan/\n");
        assert_eq!(copied.files, 1);
        assert_eq!(copied.passed_over.len(), 2, "{:?}", copied.passed_over);
        assert!(!place.root.path().join("etc/netplan/system-generators").exists());
    }

    #[test]
    fn sizes_and_numbers_are_bounded() {
        let place = Place::new();
        let large = "x".repeat(usize::try_from(FILE_MAX_BYTES).unwrap() + 1);
        place.write("kept/hosts", &large, 0o644);
        place.write("kept/hostname", &large[1..], 0o644);
        let copied = place.copy("/etc/hosts\n/etc/hostname\n");
        assert_eq!(copied.files, 1);
        assert!(copied.passed_over[0].starts_with("/etc/hosts is not as it was kept: it has more than"));
        for number in 0..FILES_MAX + 10 {
            place.write(&format!("kept/netplan/{number}.yaml"), "", 0o600);
        }
        let copied = place.copy("/etc/netplan/\n");
        assert_eq!((copied.files, copied.passed_over.len()), (FILES_MAX, 10));
        for number in 0..20 {
            place.write(&format!("kept/netplan/{number}.yaml"), &large[1..], 0o600);
        }
        let total = FILE_MAX_BYTES * place.copy("/etc/netplan/\n").files as u64;
        assert!(total >= TOTAL_MAX_BYTES, "empty files count too");
    }
}
