//! Namespaces that others handed over.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use crate::ioctl::{NS_GET_NSTYPE, NS_GET_OWNER_UID};
use crate::{Error, Kernel};

/// include/uapi/linux/magic.h
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

impl Kernel {
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
        assert!(owner("/proc/self/ns/user").is_ok());
        for path in ["/proc/self/ns/mnt", "/proc/self/ns/pid", "/dev/null", "/proc/self/status"] {
            assert_eq!(owner(path).unwrap_err().errno(), Errno::INVAL, "{path}");
        }
    }
}
