//! IPE, the security module that decides about execution by what files come from
//! (Documentation/admin-guide/LSM/ipe.rst): its policies, through securityfs.

use std::fmt;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Call, Error, Kernel};

/// Where IPE shows itself once securityfs is mounted.
const DIRECTORY: &str = "/sys/kernel/security/ipe";

/// include/uapi/linux/magic.h
const SECURITYFS_MAGIC: rustix::fs::FsWord = 0x7363_6673;

/// A policy's version, `major.minor.revision`. It only goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyVersion {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
    /// The third.
    pub revision: u16,
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.revision)
    }
}

/// A text that is no policy's version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not three numbers from 0 to 65535 with dots between them")]
pub struct PolicyVersionError(String);

impl FromStr for PolicyVersion {
    type Err = PolicyVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let failed = || PolicyVersionError(text.to_owned());
        let numbers: Vec<u16> =
            text.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| failed())?;
        match numbers[..] {
            [major, minor, revision] => Ok(Self { major, minor, revision }),
            _ => Err(failed()),
        }
    }
}

/// A policy that the kernel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name, which it keeps over all versions.
    pub name: String,
    /// Its version.
    pub version: PolicyVersion,
    /// Whether it decides. At most one does.
    pub active: bool,
    /// Its text.
    pub text: String,
}

/// The way to IPE.
#[derive(Debug)]
pub struct Ipe<'k> {
    kernel: &'k Kernel,
    directory: PathBuf,
}

/// A policy's file for updates, open. It lets whoever has it replace the policy by a higher version of it, with the
/// rights of whoever opened it (security/ipe/policy_fs.c, update_policy).
#[derive(Debug)]
pub struct OpenPolicy {
    file: OwnedFd,
    path: PathBuf,
}

impl AsFd for OpenPolicy {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Kernel {
    /// As [`Ipe::update`], of a policy whose file was opened before.
    ///
    /// # Errors
    /// As there.
    pub fn update_policy(&self, policy: &OpenPolicy, signed: &[u8]) -> Result<(), Error> {
        let OpenPolicy { file, path } = policy;
        let written = write_whole(self, file, path, signed);
        written.map_err(|error| error.meaning_of(meaning_of_update))
    }

    /// IPE, if it is among the active security modules and securityfs is mounted. Files of the same
    /// names on another filesystem, as a container may have them, are not the kernel's.
    #[must_use]
    pub fn ipe(&self) -> Option<Ipe<'_>> {
        let directory = PathBuf::from(DIRECTORY);
        let filesystem = rustix::fs::statfs(directory.join("new_policy")).ok()?;
        (filesystem.f_type == SECURITYFS_MAGIC).then_some(Ipe { kernel: self, directory })
    }
}

impl Ipe<'_> {
    /// Gives the kernel a new policy, which is not active yet: PKCS#7 in DER with the policy's
    /// text in it. Nothing takes it back but [`delete`](Self::delete) and the next boot.
    ///
    /// # Errors
    /// `EEXIST` when the kernel has a policy of this name, `EBADMSG`, `ENOKEY` and `EKEYREJECTED`
    /// for the signature, `EINVAL` for the text, each with [what it means](Error::meaning).
    pub fn load(&self, signed: &[u8]) -> Result<(), Error> {
        let written = self.write("new_policy", signed);
        written.map_err(|error| error.meaning_of(meaning_of_load))
    }

    /// Replaces a policy by a higher version of it, which is active at once if the old one was.
    ///
    /// # Errors
    /// `ESTALE` when the version is not higher, `EINVAL` also for a policy of another name,
    /// otherwise as [`load`](Self::load); `ENOENT` when the kernel has no policy of this name.
    pub fn update(&self, name: &str, signed: &[u8]) -> Result<(), Error> {
        let written = self.policy_file(name, "update").and_then(|file| self.write(&file, signed));
        written.map_err(|error| error.meaning_of(meaning_of_update))
    }

    /// Opens a policy's file for updates.
    ///
    /// # Errors
    /// `ENOENT` when the kernel has no policy of this name; `EPERM` or `EACCES` without the privilege.
    pub fn open_for_updates(&self, name: &str) -> Result<OpenPolicy, Error> {
        let path = self.directory.join(self.policy_file(name, "update")?);
        Ok(OpenPolicy { file: self.open_to_write(&path)?, path })
    }

    /// Makes a policy the one that decides, instead of the active one.
    ///
    /// # Errors
    /// `EINVAL` when the active policy has a higher version, whatever its name; `ENOENT` when
    /// the kernel has no policy of this name; `EPERM` without `CAP_MAC_ADMIN`.
    pub fn activate(&self, name: &str) -> Result<(), Error> {
        let written = self.policy_file(name, "active").and_then(|file| self.write(&file, b"1"));
        written.map_err(|error| {
            error.meaning_of(|errno| match errno {
                Errno::INVAL => Some("the active policy has a higher version, whatever its name"),
                _ => meaning_of_control(errno),
            })
        })
    }

    /// Takes a policy away from the kernel.
    ///
    /// # Errors
    /// `EPERM` for the active policy, and without `CAP_MAC_ADMIN`; `ENOENT` when the kernel has
    /// no policy of this name.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        let written = self.policy_file(name, "delete").and_then(|file| self.write(&file, b"1"));
        written.map_err(|error| {
            error.meaning_of(|errno| match errno {
                Errno::PERM => Some("it is the active policy, or CAP_MAC_ADMIN is not effective"),
                _ => meaning_of_control(errno),
            })
        })
    }

    /// Whether the active policy's denials deny, rather than being logged only.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_enforcing(&self) -> Result<bool, Error> {
        self.read_flag("enforce")
    }

    /// Sets whether the active policy's denials deny.
    ///
    /// # Errors
    /// `EPERM` without `CAP_MAC_ADMIN`.
    pub fn set_enforcing(&self, enforcing: bool) -> Result<(), Error> {
        self.write_flag("enforce", enforcing)
    }

    /// Sets whether what is allowed is logged too.
    ///
    /// # Errors
    /// `EPERM` without `CAP_MAC_ADMIN`.
    pub fn set_success_audit(&self, audit: bool) -> Result<(), Error> {
        self.write_flag("success_audit", audit)
    }

    /// All policies that the kernel has, by name.
    ///
    /// # Errors
    /// If one cannot be read, or is shown in a form that is not known.
    pub fn policies(&self) -> Result<Vec<Policy>, Error> {
        let directory = self.directory.join("policies");
        let mut names = self.kernel.call(
            "readdir",
            || format!("{directory:?}"),
            || {
                let entries = fs::read_dir(&directory).map_err(errno_of)?;
                let name = |entry: std::io::Result<fs::DirEntry>| {
                    Ok(entry.map_err(errno_of)?.file_name().to_string_lossy().into_owned())
                };
                entries.map(name).collect::<Result<Vec<_>, Errno>>()
            },
        )?;
        names.sort();
        let mut policies = Vec::new();
        for name in names {
            match self.policy(&name) {
                Ok(policy) => policies.push(policy),
                // It was deleted since the directory was read.
                Err(error) if error.errno() == Errno::NOENT => {}
                Err(error) => return Err(error),
            }
        }
        Ok(policies)
    }

    /// The policy that decides.
    ///
    /// # Errors
    /// As [`policies`](Self::policies).
    pub fn active_policy(&self) -> Result<Option<Policy>, Error> {
        Ok(self.policies()?.into_iter().find(|policy| policy.active))
    }

    /// The signed form of a policy, as it was given to the kernel.
    ///
    /// # Errors
    /// `ENOENT` when the kernel has no policy of this name, or it is one that was built in.
    pub fn signed_form(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.read(&self.policy_file(name, "pkcs7")?)
    }

    fn policy(&self, name: &str) -> Result<Policy, Error> {
        let text = |file| Ok(lossy(&self.read(&self.policy_file(name, file)?)?));
        let version = text("version")?;
        Ok(Policy {
            name: name.to_owned(),
            version: version.trim_end().parse().map_err(|_| self.unknown_form(name, "version"))?,
            active: self.read_flag(&self.policy_file(name, "active")?)?,
            text: text("policy")?,
        })
    }

    /// A policy's file, relative to IPE's directory. No other file, whatever the name.
    fn policy_file(&self, name: &str, file: &str) -> Result<String, Error> {
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            let arguments = format!("{:?}", self.directory.join("policies").join(name).join(file));
            return Err(Error::new(Call { name: "open", arguments }, Errno::NOENT));
        }
        Ok(format!("policies/{name}/{file}"))
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, Error> {
        let path = self.directory.join(file);
        self.kernel.call("read", || format!("{path:?}"), || fs::read(&path).map_err(errno_of))
    }

    fn read_flag(&self, file: &str) -> Result<bool, Error> {
        match lossy(&self.read(file)?).trim_end() {
            "1" | "Y" => Ok(true),
            "0" | "N" => Ok(false),
            _ => Err(self.unknown_form(".", file)),
        }
    }

    fn write_flag(&self, file: &str, value: bool) -> Result<(), Error> {
        let written = self.write(file, if value { b"1" } else { b"0" });
        written.map_err(|error| error.meaning_of(meaning_of_control))
    }

    /// Writes `bytes` in one call: the kernel takes each as a whole.
    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.directory.join(file);
        let fd = self.open_to_write(&path)?;
        write_whole(self.kernel, &fd, &path, bytes)
    }

    fn open_to_write(&self, path: &Path) -> Result<OwnedFd, Error> {
        self.kernel.call(
            "open",
            || format!("{path:?}, O_WRONLY"),
            || rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()),
        )
    }

    fn unknown_form(&self, name: &str, file: &str) -> Error {
        let arguments = format!("{:?}", self.directory.join("policies").join(name).join(file));
        let meaning = |_| Some("the kernel shows this in a form that is not known here");
        Error::new(Call { name: "read", arguments }, Errno::BADMSG).meaning_of(meaning)
    }
}

fn write_whole(kernel: &Kernel, file: &OwnedFd, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    kernel.call(
        "write",
        || format!("{path:?}, {} bytes", bytes.len()),
        || match rustix::io::write(file, bytes)? {
            written if written == bytes.len() => Ok(()),
            _ => Err(Errno::IO),
        },
    )
}

/// What an error number means for an update of a policy, where its usual words mislead (security/ipe/policy_fs.c).
pub(crate) fn meaning_of_update(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::STALE => Some("the kernel's policy has this version or a higher one"),
        Errno::INVAL => Some("this is a policy of another name, or its text is not a valid policy"),
        Errno::NOENT => Some("the kernel has no policy of this name to update"),
        _ => meaning_of_load(errno),
    }
}

/// security/ipe/policy.c and fs.c, and the PKCS#7 code that they call.
fn meaning_of_load(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EXIST => Some("the kernel has a policy of this name; it can be updated"),
        Errno::BADMSG => Some(
            "this is not PKCS#7 in DER with a policy in it, or the first line of the policy has no name and version \
             of the right form, or a rule is malformed",
        ),
        Errno::INVAL => Some("the text in it is not a valid policy"),
        Errno::NOKEY => Some(
            "the kernel has no certificate of the signer in the keyrings .secondary_trusted_keys or .platform",
        ),
        Errno::KEYREJECTED => Some("the signature is not one of this text, or its key was revoked"),
        _ => meaning_of_control(errno),
    }
}

fn meaning_of_control(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::NOENT => Some("the kernel has no policy of this name"),
        Errno::PERM | Errno::ACCESS => Some("CAP_MAC_ADMIN is not effective"),
        _ => None,
    }
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Files as IPE shows them.
    fn machine() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("new_policy", "");
        file("enforce", "1");
        for (name, active) in [("old", "0"), ("sealed", "1")] {
            file(&format!("policies/{name}/version"), "1.0.2");
            file(&format!("policies/{name}/active"), active);
            file(&format!("policies/{name}/policy"), "policy_name=… \nDEFAULT action=ALLOW\n");
            file(&format!("policies/{name}/update"), "");
            file(&format!("policies/{name}/delete"), "");
        }
        directory
    }

    fn ipe<'k>(kernel: &'k Kernel, directory: &tempfile::TempDir) -> Ipe<'k> {
        Ipe { kernel, directory: directory.path().to_owned() }
    }

    #[test]
    fn policies_are_read_with_name_version_and_whether_they_decide() {
        let (kernel, directory) = (Kernel::new(), machine());
        let ipe = ipe(&kernel, &directory);
        let active = ipe.active_policy().unwrap().unwrap();
        assert_eq!((active.name.as_str(), active.version.to_string().as_str()), ("sealed", "1.0.2"));
        assert!(active.text.ends_with("DEFAULT action=ALLOW\n"));
        assert_eq!(ipe.policies().unwrap().len(), 2);
        assert!(ipe.is_enforcing().unwrap());
        ipe.set_enforcing(false).unwrap();
        assert!(!ipe.is_enforcing().unwrap());
    }

    #[test]
    fn a_file_of_an_unknown_form_is_an_error_that_names_it() {
        let (kernel, directory) = (Kernel::new(), machine());
        fs::write(directory.path().join("policies/old/version"), "1.0").unwrap();
        let error = ipe(&kernel, &directory).policies().unwrap_err().to_string();
        assert!(error.contains("policies/old/version") && error.contains("not known here"), "{error}");
    }

    #[test]
    fn refusals_are_explained_for_what_was_asked() {
        let directory = machine();
        let explained = |errno: Errno, ask: fn(&Ipe<'_>) -> Result<(), Error>| {
            let kernel = Kernel::with_hook(move |call| (call.name == "write").then_some(errno));
            let error = ask(&ipe(&kernel, &directory)).unwrap_err();
            assert_eq!(error.errno(), errno);
            error.to_string()
        };
        for (errno, word) in [
            (Errno::NOKEY, ".platform"),
            (Errno::EXIST, "can be updated"),
            (Errno::BADMSG, "PKCS#7"),
            (Errno::PERM, "CAP_MAC_ADMIN"),
        ] {
            let text = explained(errno, |ipe| ipe.load(b"abc"));
            assert!(text.contains("new_policy\", 3 bytes): ") && text.contains(word), "{text}");
        }
        assert!(explained(Errno::STALE, |ipe| ipe.update("old", b"x")).contains("or a higher one"));
        assert!(explained(Errno::INVAL, |ipe| ipe.update("old", b"x")).contains("another name"));
        assert!(explained(Errno::INVAL, |ipe| ipe.activate("old")).contains("higher version"));
        assert!(explained(Errno::PERM, |ipe| ipe.delete("old")).contains("active policy"));
    }

    #[test]
    fn a_name_cannot_lead_to_other_files() {
        let (kernel, directory) = (Kernel::new(), machine());
        let ipe = ipe(&kernel, &directory);
        for name in ["", "..", "../policies/old", ".hidden", "old/"] {
            let error = ipe.delete(name).unwrap_err();
            assert_eq!((error.call().name, error.errno()), ("open", Errno::NOENT), "{name:?}");
        }
    }

    #[test]
    fn versions_are_three_numbers_of_16_bits() {
        assert_eq!("0.10.65535".parse::<PolicyVersion>().unwrap().to_string(), "0.10.65535");
        for bad in ["", "1", "1.2", "1.2.3.4", "1.2.65536", "1.2.x", "1..2"] {
            assert!(bad.parse::<PolicyVersion>().is_err(), "{bad:?}");
        }
        assert!("1.2.3".parse::<PolicyVersion>().unwrap() < "1.10.0".parse().unwrap());
    }
}
