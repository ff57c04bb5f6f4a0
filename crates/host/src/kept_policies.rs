//! Keeping an update of the policy for the next boot: the first process offers the kernel the highest that there is, after
//! that of the UKI.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sealpack_format::boot::KeptPolicy;
use sealpack_kernel::directory::Directory;

/// What a file is called before it is whole.
const TEMPORARY: &str = ".new.p7b";

/// Why an update is not kept. What was kept before is there as it was.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct KeepPolicyError {
    /// What could not be written.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// Keeps a signed policy that the kernel has taken in `directory`, which is made if it is not there, and removes what is
/// older of the same name. Answers with the file.
///
/// # Errors
/// What the system says: no room, most often.
pub fn keep_policy(directory: &Path, policy: &KeptPolicy, signed: &[u8]) -> Result<PathBuf, KeepPolicyError> {
    let path = directory.join(policy.file_name());
    let kept = Directory::open_or_make(directory, 0o700).and_then(|directory| {
        write(&directory, &policy.file_name(), signed)?;
        // They are of no use any more: the kernel takes no lower version. One that stays does no harm.
        for (name, _) in directory.entries()? {
            let older = name.to_str().and_then(KeptPolicy::parse);
            if older.is_some_and(|older| older.name() == policy.name() && older < *policy) {
                _ = directory.unlink(&name);
            }
        }
        directory.sync()
    });
    match kept {
        Ok(()) => Ok(path),
        Err(source) => Err(KeepPolicyError { path, source }),
    }
}

fn write(directory: &Directory, name: &str, bytes: &[u8]) -> io::Result<()> {
    // Left by a run that was killed.
    directory.unlink(TEMPORARY)?;
    let mut file = directory.create(TEMPORARY, 0o600)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let named = written.and_then(|()| directory.rename(TEMPORARY, directory, name));
    if named.is_err() {
        _ = directory.unlink(TEMPORARY);
    }
    named?;
    directory.sync()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    fn policy(version: [u16; 3]) -> KeptPolicy {
        KeptPolicy::new("host", version).expect("a name")
    }

    #[test]
    fn an_update_takes_the_place_of_what_is_older_and_of_nothing_else() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("policies");
        let kept = keep_policy(&directory, &policy([0, 0, 9]), b"nine").expect("it is kept");
        assert_eq!(kept, directory.join("host-0.0.9.p7b"));
        fs::write(directory.join("other-0.0.1.p7b"), "another's").expect("it can be written");
        fs::write(directory.join("notes"), "an administrator's").expect("it can be written");
        fs::write(directory.join(TEMPORARY), "half").expect("it can be written");
        keep_policy(&directory, &policy([0, 0, 10]), b"ten").expect("it is kept");
        assert_eq!(names(&directory), ["host-0.0.10.p7b", "notes", "other-0.0.1.p7b"]);
        assert_eq!(fs::read(directory.join("host-0.0.10.p7b")).expect("a file"), b"ten");
        // A lower one was not taken by the kernel; should it come all the same, the higher stays.
        keep_policy(&directory, &policy([0, 0, 2]), b"two").expect("it is kept");
        assert_eq!(names(&directory)[..2], ["host-0.0.10.p7b", "host-0.0.2.p7b"]);
        // The same again.
        keep_policy(&directory, &policy([0, 0, 10]), b"ten").expect("it is kept");
        assert_eq!(names(&directory), ["host-0.0.10.p7b", "notes", "other-0.0.1.p7b"]);
    }

    #[test]
    fn what_cannot_be_kept_leaves_what_was() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("policies");
        keep_policy(&directory, &policy([0, 0, 1]), b"one").expect("it is kept");
        // Something in the way, as a full disk would be.
        fs::create_dir(directory.join("host-0.0.2.p7b")).expect("a directory");
        let error = keep_policy(&directory, &policy([0, 0, 2]), b"two").expect_err("it is in the way");
        assert!(error.to_string().starts_with(&format!("{}: ", error.path.display())), "{error}");
        assert_eq!(names(&directory), ["host-0.0.1.p7b", "host-0.0.2.p7b"]);
        assert_eq!(fs::read(directory.join("host-0.0.1.p7b")).expect("a file"), b"one");
    }
}
