//! The data partition: ext4 with fs-verity, all of it root's, made without being root, by the programs of e2fsprogs.

use std::fmt::Write as _;
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use sealpack_kernel::interrupt;

use super::error::DiskError;
use super::number::Number;

/// The programs of e2fsprogs that are used.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Makes the filesystem, with files in it.
    pub mke2fs: PathBuf,
    /// Gives them to root.
    pub debugfs: PathBuf,
}

impl Tools {
    /// Looks for them in these directories.
    ///
    /// # Errors
    /// [`DiskError::ToolMissing`].
    pub fn find(directories: &[PathBuf]) -> Result<Self, DiskError> {
        let find = |name: &'static str| {
            let mut candidates = directories.iter().map(|directory| directory.join(name));
            candidates.find(|candidate| candidate.is_file()).ok_or(DiskError::ToolMissing(name))
        };
        Ok(Self { mke2fs: find("mke2fs")?, debugfs: find("debugfs")? })
    }
}

/// A filesystem that is to be in a part of a file.
#[derive(Debug)]
pub(super) struct Filesystem<'a> {
    /// The file, which reads as zeros there.
    pub(super) disk: &'a Path,
    pub(super) start_bytes: u64,
    pub(super) size_bytes: u64,
    pub(super) label: &'a str,
    pub(super) number: Number,
    /// The time of everything in it, in seconds since 1970.
    pub(super) time: u64,
}

/// The number of the directory that mke2fs makes for what fsck finds.
const LOST_AND_FOUND: &str = "<11>";

/// What the programs take for the time that it is (lib/ext2fs of e2fsprogs).
const TIME_VARIABLE: &str = "E2FSPROGS_FAKE_TIME";

impl Filesystem<'_> {
    /// Makes it, with all that is below `content` in it. Everything there is given the one time, too.
    ///
    /// # Errors
    /// If something cannot be read; if a program fails.
    pub(super) fn write(&self, tools: &Tools, content: &Path) -> Result<(), DiskError> {
        let mut paths = Vec::new();
        self.list(content, "", &mut paths)?;
        // The number of the filesystem, and the seed of its hashed directories, are random otherwise.
        let extended = format!(
            "offset={},root_owner=0:0,hash_seed={},lazy_itable_init=1,lazy_journal_init=1",
            self.start_bytes, self.number
        );
        let mut mke2fs = Command::new(&tools.mke2fs);
        mke2fs
            .args(["-q", "-F", "-t", "ext4", "-O", "verity", "-b", "4096", "-m", "1", "-L", self.label])
            .args(["-U", &self.number.to_string(), "-E", &extended, "-d"])
            .arg(content)
            .arg(self.disk)
            .arg(format!("{}k", self.size_bytes / 1024));
        self.run("mke2fs", &mut mke2fs)?;
        self.give_to_root(tools, &paths)
    }

    /// Lists everything below `directory`, the part of `content` at `at`, and sets its time of modification, which mke2fs
    /// takes over.
    fn list(&self, directory: &Path, at: &str, paths: &mut Vec<String>) -> Result<(), DiskError> {
        let mut entries = fs::read_dir(directory)
            .and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
            .map_err(DiskError::io("list", directory))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name();
            // A store has no such names, and nor has what is beside it.
            let name = name.to_str().filter(|name| !name.contains(['"', '\n'])).ok_or_else(|| {
                let why = io::Error::new(io::ErrorKind::InvalidData, "its name is not one of a store's");
                DiskError::io("use", &path)(why)
            })?;
            let inside = format!("{at}/{name}");
            if path.is_dir() {
                self.list(&path, &inside, paths)?;
            } else {
                self.set_time(&path)?;
            }
            paths.push(inside);
        }
        self.set_time(directory)
    }

    fn set_time(&self, path: &Path) -> Result<(), DiskError> {
        let time = UNIX_EPOCH + Duration::from_secs(self.time);
        let file = File::open(path).map_err(DiskError::io("open", path))?;
        file.set_times(FileTimes::new().set_modified(time)).map_err(DiskError::io("set the time of", path))
    }

    /// Gives everything to root, and the times that mke2fs does not take over.
    fn give_to_root(&self, tools: &Tools, paths: &[String]) -> Result<(), DiskError> {
        let mut script = String::new();
        let quoted = paths.iter().map(|path| format!("\"{path}\""));
        for inode in ["/".to_owned(), LOST_AND_FOUND.to_owned()].into_iter().chain(quoted) {
            for (field, value) in [("uid", 0), ("gid", 0)] {
                _ = writeln!(script, "set_inode_field {inode} {field} {value}");
            }
            for field in ["atime", "ctime", "mtime", "crtime"] {
                _ = writeln!(script, "set_inode_field {inode} {field} @{}", self.time);
            }
        }
        let place = self.disk.parent().unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(place).map_err(DiskError::io("write to", place))?;
        fs::write(file.path(), script).map_err(DiskError::io("write", file.path()))?;
        let mut debugfs = Command::new(&tools.debugfs);
        debugfs.arg("-w").arg("-f").arg(file.path());
        self.run("debugfs", debugfs.arg(format!("{}?offset={}", self.disk.display(), self.start_bytes)))
    }

    /// Runs a program to its end. debugfs exits with 0 whatever happens, but has nothing to say besides its version when
    /// all is well.
    fn run(&self, program: &'static str, command: &mut Command) -> Result<(), DiskError> {
        interrupt::hears_all(command);
        let output = command
            .env(TIME_VARIABLE, self.time.to_string())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(DiskError::io("start", command.get_program()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("debugfs 1.")).collect();
        if output.status.success() && (program != "debugfs" || said.is_empty()) {
            return Ok(());
        }
        Err(DiskError::Tool { program, said: format!("{} ({})", said.join("; "), output.status) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Option<Tools> {
        let tools = Tools::find(&["/sbin", "/usr/sbin"].map(PathBuf::from)).ok();
        if tools.is_none() {
            eprintln!("skipped: e2fsprogs is not installed");
        }
        tools
    }

    const START_BYTES: u64 = 3 * 1024 * 1024;
    const SIZE_BYTES: u64 = 64 * 1024 * 1024;

    fn written(tools: &Tools) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let (content, disk) = (dir.path().join("content"), dir.path().join("disk"));
        fs::create_dir_all(content.join("store/packs")).unwrap();
        fs::write(content.join("store/packs/one%2F"), vec![7; 1_000_000]).unwrap();
        fs::write(content.join("file"), "text").unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(content.join("file"), Some(1234), Some(1234)).unwrap();
        }
        File::create(&disk).unwrap().set_len(START_BYTES + SIZE_BYTES).unwrap();
        filesystem(&disk).write(tools, &content).unwrap();
        dir
    }

    fn filesystem(disk: &Path) -> Filesystem<'_> {
        Filesystem {
            disk,
            start_bytes: START_BYTES,
            size_bytes: SIZE_BYTES,
            label: "sealpack-data",
            number: Number::of("data"),
            time: 1_700_000_000,
        }
    }

    fn debugfs(tools: &Tools, disk: &Path, command: &str) -> String {
        let place = format!("{}?offset={START_BYTES}", disk.display());
        let output = Command::new(&tools.debugfs).args(["-R", command, &place]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn everything_is_roots_and_of_one_time() {
        let Some(tools) = tools() else { return };
        let dir = written(&tools);
        let disk = dir.path().join("disk");
        for path in ["/", "<11>", "/file", "/store", "/store/packs/one%2F"] {
            let shown = debugfs(&tools, &disk, &format!("stat {path}"));
            assert!(shown.contains("User:     0   Group:     0"), "{path}: {shown}");
            assert_eq!(shown.matches(" 0x6553f100:00000000 ").count(), 4, "{path}: {shown}");
        }
        assert_eq!(debugfs(&tools, &disk, "cat /file"), "text");
        let fsck = tools.mke2fs.with_file_name("e2fsck");
        let place = format!("{}?offset={START_BYTES}", disk.display());
        let checked = Command::new(fsck).args(["-f", "-n", &place]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let Some(tools) = tools() else { return };
        let [one, other] = [0, 1].map(|_| written(&tools));
        let read = |dir: &tempfile::TempDir| fs::read(dir.path().join("disk")).unwrap();
        assert!(read(&one) == read(&other));
    }

    #[test]
    fn what_does_not_fit_is_an_error_with_what_mke2fs_says() {
        let Some(tools) = tools() else { return };
        let dir = tempfile::tempdir().unwrap();
        let (content, disk) = (dir.path().join("content"), dir.path().join("disk"));
        fs::create_dir(&content).unwrap();
        fs::write(content.join("large"), vec![7; SIZE_BYTES as usize]).unwrap();
        File::create(&disk).unwrap().set_len(START_BYTES + SIZE_BYTES).unwrap();
        let error = filesystem(&disk).write(&tools, &content).unwrap_err();
        assert!(matches!(&error, DiskError::Tool { program: "mke2fs", .. }), "{error}");
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let error = Tools::find(&[PathBuf::from("/nowhere")]).unwrap_err();
        assert!(matches!(error, DiskError::ToolMissing("mke2fs")), "{error}");
    }
}
