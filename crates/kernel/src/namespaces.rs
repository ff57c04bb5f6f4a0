//! Namespaces that others handed over.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;

use crate::ioctl::{NS_GET_NSTYPE, NS_GET_OWNER_UID};
use crate::{Error, Kernel};

/// include/uapi/linux/magic.h
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// The inode of the first user namespace (include/linux/proc_ns.h, `PROC_USER_INIT_INO`).
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

/// The user namespace of the calling process.
const OWN_USER_NAMESPACE: &str = "/proc/self/ns/user";

impl Kernel {
    /// Whether the calling process is in the first user namespace, where capabilities count for the whole machine.
    ///
    /// # Errors
    /// `ENOENT` without `/proc`.
    pub fn is_in_first_user_namespace(&self) -> Result<bool, Error> {
        let stat = || rustix::fs::stat(OWN_USER_NAMESPACE);
        let stat = self.call("stat", || format!("{OWN_USER_NAMESPACE:?}"), stat)?;
        Ok(stat.st_ino == FIRST_USER_NAMESPACE)
    }

    /// Opens the user namespace of the calling process.
    ///
    /// # Errors
    /// `ENOENT` without `/proc`.
    pub fn own_user_namespace(&self) -> Result<OwnedFd, Error> {
        self.open_device(Path::new(OWN_USER_NAMESPACE))
    }

    /// The user who made the user namespace that `fd` has open, as the caller's own user namespace numbers him.
    ///
    /// # Errors
    /// `EINVAL` for what is no user namespace.
    pub fn owner_of_user_namespace(&self, fd: impl AsFd) -> Result<u32, Error> {
        let fd = fd.as_fd();
        self.call(
            "ioctl",
            || format!("[{}], NS_GET_OWNER_UID", fd.as_raw_fd()),
            || {
                // Other files may know these numbers for something else.
                if rustix::fs::fstatfs(fd)?.f_type != NSFS_MAGIC {
                    return Err(Errno::INVAL);
                }
                if NS_GET_NSTYPE.call(fd)? != libc::CLONE_NEWUSER {
                    return Err(Errno::INVAL);
                }
                let mut owner = 0;
                NS_GET_OWNER_UID.call(fd, &mut owner)?;
                Ok(owner)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_user_namespaces_have_an_owner() {
        let kernel = Kernel::new();
        let owner = |path: &str| kernel.owner_of_user_namespace(File::open(path).unwrap());
        assert!(owner(OWN_USER_NAMESPACE).is_ok());
        assert!(kernel.owner_of_user_namespace(kernel.own_user_namespace().unwrap()).is_ok());
        kernel.is_in_first_user_namespace().unwrap();
        for path in ["/proc/self/ns/mnt", "/proc/self/ns/pid", "/dev/null", "/proc/self/status"] {
            assert_eq!(owner(path).unwrap_err().errno(), Errno::INVAL, "{path}");
        }
    }
}
