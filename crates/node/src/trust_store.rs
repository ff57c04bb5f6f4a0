//! The trust store: directories with certificates, rules and revocations.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use sealpack_kernel::directory::Directory;
use sealpack_trust::anchors::{
    AnchorError, AnchorName, AnchorNameError, Anchors, Revocations, Rules, TomlError, Use,
};
use sealpack_trust::key::Certificate;

use crate::keys::{self, KeyFileError};
use crate::new_files::{self, NewFile, NewFileError};
use crate::remark::{Remark, Remarks};

/// The trust store of the machine.
const SYSTEM: &str = "/etc/sealpack/trust.d";

/// The rules, in each directory.
const RULES: &str = "rules.toml";
/// The revocations, in each directory.
const REVOKED: &str = "revoked.toml";
/// The ending of a certificate's file.
const ENDING: &str = ".crt";
/// The keys whose attestations count, in each directory.
const ARTIFACT_KEYS: &str = "artifacts";
/// The ending of such a key's file.
const KEY_ENDING: &str = ".pub";

/// The most files in a directory of certificates.
const CERTIFICATES_MAX: usize = 1000;

/// The largest file of rules or revocations that is read: one byte more than the parser takes, so that it can say so.
const TOML_READ_MAX: u64 = 4 * 1024 * 1024 + 1;

/// What whoever changes the trust store locks. Nobody else can open it: a lock on something that all may read, such as
/// the directory, could be taken by any user, and kept.
const LOCK: &str = ".lock";

/// How long a command waits for another one that changes the trust store.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Why the trust store cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustStoreError {
    /// The one that was asked for is not there; it would allow everything.
    #[error("there is no trust store {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Another command is changing it, and went on doing so for as long as this one waited.
    #[error("the trust store {} is being changed by another command", path.display())]
    Busy {
        /// Its directory.
        path: PathBuf,
    },
    /// A directory has more files than certificates make sense.
    #[error("{} has more than {CERTIFICATES_MAX} files", directory.display())]
    TooMany {
        /// The directory.
        directory: PathBuf,
    },
    /// A file of certificates has a name that no certificate can have.
    #[error("{}: {source}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        source: AnchorNameError,
    },
    /// Two certificates contradict each other.
    #[error("{}: {source}", path.display())]
    Conflict {
        /// The file of the second.
        path: PathBuf,
        /// How.
        source: AnchorError,
    },
    /// Rules or revocations make no sense.
    #[error("{}: {source}", path.display())]
    Toml {
        /// Their file.
        path: PathBuf,
        /// What is wrong, and in which line.
        source: TomlError,
    },
    /// A certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] KeyFileError),
    /// A file cannot be made or replaced.
    #[error(transparent)]
    NewFile(#[from] NewFileError),
    /// The system says no.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried: `open`, `read`.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Where the trust store is.
#[derive(Debug, Clone)]
pub struct TrustStore {
    /// The machine's, then the user's; or the one that was asked for.
    directories: Vec<PathBuf>,
    /// Whether it was asked for, so that it must be there.
    is_given: bool,
}

/// A certificate in a trust store.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What its signatures count for.
    pub of: Use,
    /// What rules call it.
    pub name: AnchorName,
    /// Itself.
    pub certificate: Certificate,
    /// Its file.
    pub path: PathBuf,
}

impl TrustStore {
    /// The one in `given`, or the usual one of user `uid`: the machine's, and for others than root `sealpack/trust.d`
    /// below `$XDG_CONFIG_HOME` or `$HOME/.config` too.
    pub fn new(given: Option<PathBuf>, uid: u32, env: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        if let Some(given) = given {
            return Self { directories: vec![given], is_given: true };
        }
        let absolute = |name| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || absolute("HOME").map(|home| home.join(".config"));
        let own = absolute("XDG_CONFIG_HOME").or_else(home).map(|config| config.join("sealpack/trust.d"));
        let own = own.filter(|_| uid != 0);
        Self { directories: std::iter::once(SYSTEM.into()).chain(own).collect(), is_given: false }
    }

    /// The directory that commands change: the last.
    pub fn own(&self) -> &Path {
        self.directories.last().map_or(Path::new(SYSTEM), PathBuf::as_path)
    }

    /// All its directories, the one that commands change last.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Everything that it says.
    pub fn read(&self, remarks: Remarks<'_>) -> Result<Anchors, TrustStoreError> {
        let _locks = self.lock_for_reading()?;
        let mut anchors = Anchors::new(self.revocations()?, self.rules()?.1);
        for entry in self.entries(remarks)? {
            let Entry { of, name, certificate, path } = entry;
            let conflict = |source| TrustStoreError::Conflict { path, source };
            anchors.add(of, name, certificate).map_err(conflict)?;
        }
        for directory in &self.directories {
            for (name, path) in named_files(&directory.join(ARTIFACT_KEYS), KEY_ENDING, &mut *remarks)? {
                let key = keys::read_bare_public_key(&path)?;
                let conflict = |source| TrustStoreError::Conflict { path, source };
                anchors.add_artifact_key(name, key).map_err(conflict)?;
            }
        }
        Ok(anchors)
    }

    /// As [`read`](Self::read), for commands that make it if it is not there.
    pub fn read_so_far(&self, remarks: Remarks<'_>) -> Result<Anchors, TrustStoreError> {
        if self.check_is_there().is_err() { Ok(Anchors::default()) } else { self.read(remarks) }
    }

    /// As [`revocations`](Self::revocations), for commands that make it if it is not there.
    pub fn revocations_so_far(&self) -> Result<Revocations, TrustStoreError> {
        if self.check_is_there().is_err() { Ok(Revocations::default()) } else { self.revocations() }
    }

    /// Its certificates, by use, directory and name.
    pub fn entries(&self, remarks: Remarks<'_>) -> Result<Vec<Entry>, TrustStoreError> {
        self.check_is_there()?;
        let mut entries = Vec::new();
        for of in Use::ALL {
            for directory in &self.directories {
                read_certificates(&directory.join(of.name()), of, &mut *remarks, &mut entries)?;
            }
        }
        Ok(entries)
    }

    /// Its rules, and the file that they are in: the user's own, where there is one, else the machine's.
    pub fn rules(&self) -> Result<(Option<PathBuf>, Rules), TrustStoreError> {
        self.check_is_there()?;
        for directory in self.directories.iter().rev() {
            let path = directory.join(RULES);
            if let Some(bytes) = read_if_there(&path)? {
                return Ok((Some(path.clone()), Rules::parse(&bytes).map_err(|error| named(&path, error))?));
            }
        }
        Ok((None, Rules::default()))
    }

    /// Its revocations: those of all directories.
    pub fn revocations(&self) -> Result<Revocations, TrustStoreError> {
        self.check_is_there()?;
        let mut all = Revocations::default();
        for directory in &self.directories {
            let path = directory.join(REVOKED);
            if let Some(bytes) = read_if_there(&path)? {
                all.extend(Revocations::parse(&bytes).map_err(|error| named(&path, error))?);
            }
        }
        Ok(all)
    }

    /// Where the certificate of that name is, or would be, in the directory that commands change.
    fn certificate_path(&self, of: Use, name: &AnchorName) -> PathBuf {
        self.own().join(of.name()).join(format!("{name}{ENDING}"))
    }

    /// Adds a certificate under a name, for all of these uses or for none.
    pub fn add(
        &self,
        name: &AnchorName,
        of: &[Use],
        certificate: &Certificate,
    ) -> Result<(), TrustStoreError> {
        for of in of {
            make_directory(&self.own().join(of.name()))?;
        }
        let _lock = self.lock_own()?;
        let mut paths = Vec::new();
        for path in of.iter().map(|of| self.certificate_path(*of, name)) {
            if !path.exists() || keys::read_certificate(&path)? != *certificate {
                paths.push(path);
            }
        }
        let pem = certificate.pem();
        let files: Vec<_> =
            paths.iter().map(|path| NewFile { path, bytes: pem.as_bytes(), mode: 0o644 }).collect();
        // Another certificate that got the name in the meantime stays.
        Ok(new_files::write_all(&files, false)?)
    }

    /// Removes the files of certificates.
    pub fn remove(&self, paths: &[PathBuf]) -> Result<(), TrustStoreError> {
        let _lock = self.lock_own()?;
        for path in paths {
            let removed = Directory::of_file(path).and_then(|(directory, name)| directory.unlink(name));
            removed.map_err(|error| cannot("remove", path, error))?;
        }
        Ok(())
    }

    /// Adds lines to the revocations, which must make sense with them.
    pub fn revoke(&self, lines: &str) -> Result<PathBuf, TrustStoreError> {
        make_directory(self.own())?;
        let _lock = self.lock_own()?;
        let path = self.own().join(REVOKED);
        let mut text = read_if_there(&path)?.unwrap_or_default();
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(lines.as_bytes());
        Revocations::parse(&text).map_err(|error| named(&path, error))?;
        new_files::write_all(&[NewFile { path: &path, bytes: &text, mode: 0o644 }], true)?;
        Ok(path)
    }

    /// A trust store that was asked for and is not there would allow everything, and so would one behind a link that
    /// leads nowhere.
    fn check_is_there(&self) -> Result<(), TrustStoreError> {
        let is_missing = |directory: &&PathBuf| match directory.is_dir() {
            true => false,
            false => self.is_given || leads_nowhere(directory),
        };
        match self.directories.iter().find(is_missing) {
            Some(directory) => Err(TrustStoreError::Missing { path: directory.clone() }),
            None => Ok(()),
        }
    }

    /// Keeps others from changing it while it is read. Who may not change it reads without: each file is whole.
    fn lock_for_reading(&self) -> Result<Vec<File>, TrustStoreError> {
        let open = |directory: &PathBuf| Directory::open(directory).ok()?.read(LOCK).ok()?;
        let opened = self.directories.iter().filter_map(open);
        opened.map(|file| lock(file, self.own(), FlockOperation::NonBlockingLockShared)).collect()
    }

    fn lock_own(&self) -> Result<File, TrustStoreError> {
        let file = Directory::open(self.own()).and_then(|directory| directory.lock_file(LOCK));
        let file = file.map_err(|error| cannot("open", &self.own().join(LOCK), error))?;
        lock(file, self.own(), FlockOperation::NonBlockingLockExclusive)
    }
}

fn lock(file: File, path: &Path, operation: FlockOperation) -> Result<File, TrustStoreError> {
    let start = Instant::now();
    loop {
        match flock(&file, operation) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if start.elapsed() < LOCK_WAIT => {
                sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(TrustStoreError::Busy { path: path.to_owned() });
            }
            Err(error) => return Err(cannot("lock", path, error.into())),
        }
    }
}

fn read_certificates(
    directory: &Path,
    of: Use,
    remarks: Remarks<'_>,
    entries: &mut Vec<Entry>,
) -> Result<(), TrustStoreError> {
    for (name, path) in named_files(directory, ENDING, remarks)? {
        let certificate = keys::read_certificate(&path)?;
        entries.push(Entry { of, name, certificate, path });
    }
    Ok(())
}

/// The files of a directory with an ending, in order, each with the name before that; none where there is no directory.
fn named_files(
    directory: &Path,
    ending: &'static str,
    remarks: Remarks<'_>,
) -> Result<Vec<(AnchorName, PathBuf)>, TrustStoreError> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound && directory.symlink_metadata().is_err() => {
            return Ok(Vec::new());
        }
        listed => listed.map_err(|error| cannot("list", directory, error))?,
    };
    let mut paths = Vec::new();
    for entry in listed {
        paths.push(entry.map_err(|error| cannot("list", directory, error))?.path());
        if paths.len() > CERTIFICATES_MAX {
            return Err(TrustStoreError::TooMany { directory: directory.to_owned() });
        }
    }
    paths.sort();
    let mut named = Vec::new();
    for path in paths {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Files that are being written, and what editors leave behind.
        if file_name.starts_with('.') {
            continue;
        }
        match file_name.strip_suffix(ending).map(str::parse) {
            None => remarks(Remark::NoCertificate { path, ending }),
            Some(Ok(name)) => named.push((name, path)),
            Some(Err(source)) => return Err(TrustStoreError::Name { path, source }),
        }
    }
    Ok(named)
}

/// Whether what is there of the path ends in a link to what is not there: a filesystem that is not mounted.
fn leads_nowhere(path: &Path) -> bool {
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok());
    there.is_some_and(|path| path.is_symlink() && !path.exists())
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, TrustStoreError> {
    use std::io::Read;
    let file = match File::open(path) {
        // Rules behind a link that leads nowhere are not no rules.
        Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            return Ok(None);
        }
        file => file.map_err(|error| cannot("read", path, error))?,
    };
    let mut bytes = Vec::new();
    file.take(TOML_READ_MAX).read_to_end(&mut bytes).map_err(|error| cannot("read", path, error))?;
    Ok(Some(bytes))
}

fn make_directory(path: &Path) -> Result<(), TrustStoreError> {
    let made = Directory::open_or_make(path, 0o755);
    made.map(drop).map_err(|error| cannot("make the directory", path, error))
}

fn named(path: &Path, source: TomlError) -> TrustStoreError {
    TrustStoreError::Toml { path: path.to_owned(), source }
}

fn cannot(what: &'static str, path: &Path, source: std::io::Error) -> TrustStoreError {
    TrustStoreError::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn nobody(_: Remark) {}

    /// Any user can open /etc/sealpack/trust.d, and lock what can be opened.
    #[test]
    fn a_lock_on_the_directory_that_anybody_can_take_keeps_nobody_from_using_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = TrustStore { directories: vec![directory.path().to_owned()], is_given: true };
        let foreign = File::open(directory.path()).expect("the directory");
        flock(&foreign, FlockOperation::LockExclusive).expect("nobody else has it");
        let start = Instant::now();
        let root_hash = "0".repeat(64);
        store.revoke(&format!("[[root_hash]]\nroot_hash = \"{root_hash}\"\n")).expect("it is changed");
        let anchors = store.read(&mut nobody).expect("it is read");
        assert_eq!(anchors.revocations().root_hashes.len(), 1);
        assert!(start.elapsed() < LOCK_WAIT);
        let lock = directory.path().join(LOCK).metadata().expect("the lock");
        assert_eq!(lock.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_the_same_as_nothing() {
        for name in [RULES, REVOKED, "statements", ARTIFACT_KEYS] {
            let directory = tempfile::tempdir().expect("a directory");
            let store = TrustStore { directories: vec![directory.path().to_owned()], is_given: true };
            store.read(&mut nobody).expect("nothing is there");
            std::os::unix::fs::symlink("not-mounted", directory.path().join(name)).expect("a link");
            let error = store.read(&mut nobody).expect_err(name);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_usual_trust_store_behind_a_link_that_leads_nowhere_is_not_an_empty_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |path: &str| TrustStore { directories: vec![directory.path().join(path)], is_given: false };
        at("sealpack/trust.d").read(&mut nobody).expect("there is none, which is usual");
        std::os::unix::fs::symlink("not-mounted", directory.path().join("sealpack")).expect("a link");
        for path in ["sealpack", "sealpack/trust.d"] {
            let error = at(path).read(&mut nobody).expect_err(path);
            assert!(matches!(error, TrustStoreError::Missing { .. }), "{error}");
        }
    }

    #[test]
    fn a_trust_store_that_is_being_changed_is_not_read_meanwhile() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = TrustStore { directories: vec![directory.path().to_owned()], is_given: true };
        let changing = store.lock_own().expect("nobody else has it");
        let unlock = std::thread::spawn(move || {
            sleep(Duration::from_millis(300));
            drop(changing);
        });
        let start = Instant::now();
        store.read(&mut nobody).expect("it is read afterwards");
        assert!(start.elapsed() >= Duration::from_millis(250));
        unlock.join().expect("it has ended");
    }

    #[test]
    fn root_has_the_machines_and_users_have_their_own_besides() {
        let directories = |given: Option<&str>, uid, variables: &[(&str, &str)]| {
            let env =
                |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
            let store = TrustStore::new(given.map(PathBuf::from), uid, env);
            store.directories.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let home = [("HOME", "/h")];
        assert_eq!(directories(None, 0, &home), [SYSTEM]);
        assert_eq!(directories(None, 7, &home), [SYSTEM, "/h/.config/sealpack/trust.d"]);
        let config = [("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")];
        assert_eq!(directories(None, 7, &config), [SYSTEM, "/c/sealpack/trust.d"]);
        assert_eq!(directories(None, 7, &[("XDG_CONFIG_HOME", "c")]), [SYSTEM]);
        assert_eq!(directories(Some("/t"), 0, &home), ["/t"]);
    }
}
