//! Files that belong together: all of them are written, or none.
//!
//! Each is written below a descriptor of its directory, with no more rights than that directory's owner has
//! ([`Directory`]).

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, RenameFlags};
use rustix::io::Errno;
use sealpack_kernel::directory::Directory;

/// Why files were not made; none of them is there then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewFileError {
    /// The name is another file's, and nobody said to replace that.
    #[error("{} is there already", path.display())]
    IsThere {
        /// The file.
        path: PathBuf,
    },
    /// The name is that of something that is no regular file.
    #[error("{} is {what}, which is never replaced", path.display())]
    Kind {
        /// What has the name.
        path: PathBuf,
        /// What it is.
        what: FileKind,
    },
    /// A directory that should be new has something in it.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A path such as `..` cannot be that of something new.
    #[error("{} is not the name of a new directory", path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// A directory cannot be looked into.
    #[error("cannot use {}: {source}", path.display())]
    Use {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system says no.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file that was to be made.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What a file is that is no regular one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A symbolic link, wherever it leads.
    Link,
    /// A character or block device.
    Device,
    /// A socket or a named pipe.
    SocketOrPipe,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Link => "a symbolic link",
            Self::Device => "a device",
            Self::SocketOrPipe => "a socket or a pipe",
        })
    }
}

/// A file that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewFile<'a> {
    /// Its name; the directory must be there.
    pub path: &'a Path,
    /// All of its content.
    pub bytes: &'a [u8],
    /// Its permission bits, from its first instant on.
    pub mode: u32,
}

/// Writes `files`, or none of them. Each is whole on the disk before it gets its name. Files that are there are
/// replaced only if `replace` says so, and only regular ones; if a later one fails, they are put back.
pub fn write_all(files: &[NewFile<'_>], replace: bool) -> Result<(), NewFileError> {
    let mut places = Vec::new();
    for file in files {
        let (directory, name) =
            Directory::of_file(file.path).map_err(|error| cannot_write(file.path, error))?;
        check(&directory, &name, file.path)?;
        places.push((directory, name));
    }
    let mut staged = Vec::new();
    let result = stage_all(files, &places, &mut staged).and_then(|()| place_all(files, &mut staged, replace));
    if result.is_err() {
        staged.iter().rev().for_each(Staged::undo);
    }
    staged.iter().for_each(|file| file.remove(&file.temporary));
    for (directory, _) in &places {
        // The names are there; what is asked for now is that a power cut does not take them.
        _ = directory.sync();
    }
    result
}

/// Refuses a place that has something other than a regular file. A device or a link gives its name to nobody:
/// as root, a new file would take the place of /dev/null, or of /dev/stdout, which is a link.
pub fn check_place(path: &Path) -> Result<(), NewFileError> {
    match Directory::of_file(path) {
        Ok((directory, name)) => check(&directory, &name, path),
        // Nothing can be there.
        Err(_) => Ok(()),
    }
}

fn check(directory: &Directory, name: &OsStr, path: &Path) -> Result<(), NewFileError> {
    let Ok(Some(found)) = directory.stat(name) else { return Ok(()) };
    let what = match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Link,
        FileType::CharacterDevice | FileType::BlockDevice => FileKind::Device,
        FileType::Socket | FileType::Fifo | FileType::Unknown => FileKind::SocketOrPipe,
    };
    Err(NewFileError::Kind { path: path.to_owned(), what })
}

/// The directory of a file.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file under a name that it has for the moment.
struct Staged<'d> {
    directory: &'d Directory,
    temporary: OsString,
    name: &'d OsStr,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    /// The new bytes are under the temporary name.
    Waiting,
    /// The new bytes have their name; there was none before.
    Placed,
    /// The new bytes have their name; the old ones have the temporary one.
    Exchanged,
}

fn stage_all<'d>(
    files: &[NewFile<'_>],
    places: &'d [(Directory, OsString)],
    staged: &mut Vec<Staged<'d>>,
) -> Result<(), NewFileError> {
    for (file, (directory, name)) in files.iter().zip(places) {
        let failed = |error: io::Error| cannot_write(file.path, error);
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.new", std::process::id()));
        let mut opened = directory.create(&temporary, file.mode).map_err(failed)?;
        staged.push(Staged { directory, temporary, name, state: State::Waiting });
        opened.write_all(file.bytes).and_then(|()| opened.sync_all()).map_err(failed)?;
    }
    Ok(())
}

fn place_all(files: &[NewFile<'_>], staged: &mut [Staged<'_>], replace: bool) -> Result<(), NewFileError> {
    for (file, staged) in files.iter().zip(staged) {
        staged.state = staged.place(replace).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists if !replace => NewFileError::IsThere { path: file.path.to_owned() },
            _ => cannot_write(file.path, error),
        })?;
    }
    Ok(())
}

impl Staged<'_> {
    fn place(&self, replace: bool) -> io::Result<State> {
        let Err(error) = self.rename(RenameFlags::NOREPLACE) else { return Ok(State::Placed) };
        match Errno::from_io_error(&error) {
            Some(Errno::EXIST) if replace => self.rename(RenameFlags::EXCHANGE).map(|()| State::Exchanged),
            // A filesystem without these flags: a link replaces nothing either.
            Some(Errno::INVAL) if !replace => {
                self.directory.link(&self.temporary, self.name)?;
                Ok(State::Placed)
            }
            Some(Errno::INVAL) => {
                self.directory.rename(&self.temporary, self.directory, self.name).map(|()| State::Placed)
            }
            _ => Err(error),
        }
    }

    fn undo(&self) {
        match self.state {
            State::Waiting => {}
            State::Placed => self.remove(self.name),
            // Both were possible a moment ago; what went wrong is reported already.
            State::Exchanged => _ = self.rename(RenameFlags::EXCHANGE),
        }
    }

    fn rename(&self, flags: RenameFlags) -> io::Result<()> {
        self.directory.rename_with(&self.temporary, self.directory, self.name, flags)
    }

    fn remove(&self, name: &OsStr) {
        // It may be gone, which is what is wanted.
        _ = self.directory.unlink(name);
    }
}

fn cannot_write(path: &Path, source: io::Error) -> NewFileError {
    NewFileError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry"));
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn file<'a>(path: &'a Path, bytes: &'a [u8]) -> NewFile<'a> {
        NewFile { path, bytes, mode: 0o600 }
    }

    #[test]
    fn files_have_their_mode_and_nothing_else_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
        write_all(&[file(&one, b"1"), file(&two, b"2")], false).expect("both are written");
        assert_eq!(fs::read(&two).expect("two"), b"2");
        assert_eq!(one.metadata().expect("one").permissions().mode() & 0o7777, 0o600);
        assert_eq!(names(directory.path()), ["one", "two"]);
    }

    #[test]
    fn a_second_file_that_is_there_leaves_no_first_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
        fs::write(&two, b"old").expect("two");
        let error = write_all(&[file(&one, b"1"), file(&two, b"2")], false).expect_err("two is there");
        assert!(error.to_string().ends_with("two is there already"), "{error}");
        assert_eq!(fs::read(&two).expect("two"), b"old");
        assert_eq!(names(directory.path()), ["two"]);
    }

    #[test]
    fn a_replaced_file_comes_back_when_a_later_one_fails() {
        let directory = tempfile::tempdir().expect("a directory");
        let one = directory.path().join("one");
        fs::write(&one, b"old").expect("one");
        let (files, mut staged) = ([file(&one, b"new")], Vec::new());
        let places = [Directory::of_file(&one).expect("its directory")];
        stage_all(&files, &places, &mut staged).expect("the new one is written");
        place_all(&files, &mut staged, true).expect("the new one has its name");
        assert_eq!(fs::read(&one).expect("one"), b"new");
        staged[0].undo();
        assert_eq!(fs::read(&one).expect("one"), b"old");
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let [one, lost] = ["one", "missing/two"].map(|name| directory.path().join(name));
        let error = write_all(&[file(&one, b"1"), file(&lost, b"2")], true).expect_err("no directory");
        assert!(error.to_string().contains("missing/two: No such file"), "{error}");
        assert!(names(directory.path()).is_empty());
    }

    /// Root once asked for a policy in /dev/null with --force, to see it checked, and the machine had a file in
    /// the place of /dev/null from then on. What is not a regular file keeps its name, force or not.
    #[test]
    fn only_regular_files_are_replaced() {
        use std::os::unix::{fs::symlink, net::UnixListener};
        let directory = tempfile::tempdir().expect("a directory");
        let [one, socket, link, below] =
            ["one", "socket", "link", "below"].map(|name| directory.path().join(name));
        let _socket = UnixListener::bind(&socket).expect("a socket");
        symlink("/dev/null", &link).expect("a link");
        fs::create_dir(&below).expect("a directory in it");
        let before = names(directory.path());
        for (place, what) in
            [(&socket, "a socket or a pipe"), (&link, "a symbolic link"), (&below, "a directory")]
        {
            for replace in [true, false] {
                let error = write_all(&[file(&one, b"1"), file(place, b"2")], replace).expect_err(what);
                assert!(
                    error.to_string().ends_with(&format!("is {what}, which is never replaced")),
                    "{error:?}"
                );
                assert_eq!(names(directory.path()), before);
            }
        }
        assert_eq!(fs::read_link(&link).expect("still a link"), Path::new("/dev/null"));
        let error = check_place(Path::new("/dev/null")).expect_err("a device");
        assert_eq!(error.to_string(), "/dev/null is a device, which is never replaced");
    }

    #[test]
    fn replacing_leaves_only_the_new_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
        fs::write(&one, b"old").expect("one");
        write_all(&[file(&one, b"1"), file(&two, b"2")], true).expect("both are written");
        assert_eq!(fs::read(&one).expect("one"), b"1");
        assert_eq!(names(directory.path()), ["one", "two"]);
    }
}
