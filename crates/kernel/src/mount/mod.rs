//! The mount API: filesystem contexts, detached mounts, attaching and unmounting
//! (fsopen(2), fsconfig(2), fsmount(2), move_mount(2), open_tree(2); Linux 5.2 and later).

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use crate::dm::DeviceNumber;
use crate::{Error, Kernel};

/// A filesystem that is being configured, `fsopen`'s descriptor. Dropping it before or after
/// [`mount`](Self::mount) leaves nothing behind.
#[derive(Debug)]
pub struct FsContext<'k> {
    kernel: &'k Kernel,
    fd: OwnedFd,
}

/// A mount. It ends when the last descriptor of it is closed, unless it was attached
/// somewhere with [`Kernel::attach`].
#[derive(Debug)]
pub struct DetachedMount {
    fd: OwnedFd,
}

/// Of a mount that another process made and handed over.
impl From<OwnedFd> for DetachedMount {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl AsFd for DetachedMount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a mount forbids (`MOUNT_ATTR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MountAttributes {
    /// Nothing can be written.
    pub read_only: bool,
    /// Set-user-ID and set-group-ID bits and file capabilities do nothing.
    pub nosuid: bool,
    /// Device nodes cannot be opened.
    pub nodev: bool,
    /// Nothing can be executed.
    pub noexec: bool,
}

impl MountAttributes {
    fn flags(self) -> MountAttrFlags {
        let mut flags = MountAttrFlags::empty();
        flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, self.read_only);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, self.nosuid);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, self.nodev);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, self.noexec);
        flags
    }

    /// The names of what is forbidden, as mount(8) spells them.
    fn names(self) -> impl Iterator<Item = &'static str> {
        [(self.read_only, "ro"), (self.nosuid, "nosuid"), (self.nodev, "nodev"), (self.noexec, "noexec")]
            .into_iter()
            .filter_map(|(is_set, name)| is_set.then_some(name))
    }
}

/// As mount(8) spells them: `ro,nosuid,nodev`; `rw` and so on when nothing is forbidden.
impl fmt::Display for MountAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.read_only {
            f.write_str("rw")?;
        }
        for (index, name) in self.names().enumerate() {
            let comma = if index == 0 && self.read_only { "" } else { "," };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

/// Which mount a descriptor is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The mount's number in mountinfo.
    pub mount_id: u64,
    /// Whether the descriptor is the root of that mount.
    pub is_mount_root: bool,
}

/// The path that leads any system call of this thread to what `fd` has open, whatever its name
/// leads to now. Needs a mounted `/proc`.
#[must_use]
pub fn fd_path(fd: impl AsFd) -> PathBuf {
    // A descriptor table can be a thread's own, so not /proc/self.
    PathBuf::from(format!("/proc/thread-self/fd/{}", fd.as_fd().as_raw_fd()))
}

impl FsContext<'_> {
    /// Sets an option that takes no value.
    ///
    /// # Errors
    /// `EINVAL` for an option that the filesystem does not know.
    pub fn set_flag(&self, key: &str) -> Result<(), Error> {
        self.configure(
            || format!("SET_FLAG, {key:?}"),
            || rustix::mount::fsconfig_set_flag(self.fd.as_fd(), key),
        )
    }

    /// Sets an option to a text of at most 255 bytes.
    ///
    /// # Errors
    /// `EINVAL` for an option or a value that the filesystem does not know.
    pub fn set_string(&self, key: &str, value: impl AsRef<OsStr>) -> Result<(), Error> {
        let value = value.as_ref();
        self.configure(
            || format!("SET_STRING, {key:?}, {value:?}"),
            || rustix::mount::fsconfig_set_string(self.fd.as_fd(), key, value),
        )
    }

    /// Sets an option to what a descriptor has open.
    ///
    /// # Errors
    /// `EINVAL` where the filesystem does not take descriptors for the option.
    pub fn set_fd(&self, key: &str, value: impl AsFd) -> Result<(), Error> {
        let value = value.as_fd();
        self.configure(
            || format!("SET_FD, {key:?}, [{}]", value.as_raw_fd()),
            || rustix::mount::fsconfig_set_fd(self.fd.as_fd(), key, value),
        )
    }

    /// Makes the filesystem as configured, or finds the one there is.
    ///
    /// # Errors
    /// Whatever the filesystem says; [`Error::messages`] has it in words.
    pub fn create(&self) -> Result<(), Error> {
        self.configure(|| "CMD_CREATE".into(), || rustix::mount::fsconfig_create(self.fd.as_fd()))
            .map_err(Error::logged)
    }

    /// Makes a mount of the filesystem, attached nowhere.
    ///
    /// # Errors
    /// `EPERM` without the privilege, `EINVAL` before [`create`](Self::create).
    pub fn mount(&self, attributes: MountAttributes) -> Result<DetachedMount, Error> {
        let fd = self.kernel.call(
            "fsmount",
            || format!("[{}], FSMOUNT_CLOEXEC, {attributes}", self.fd.as_raw_fd()),
            || {
                let flags = FsMountFlags::FSMOUNT_CLOEXEC;
                rustix::mount::fsmount(self.fd.as_fd(), flags, attributes.flags())
            },
        );
        Ok(DetachedMount { fd: fd.map_err(|error| error.with_messages(self.messages()))? })
    }

    fn configure(
        &self,
        arguments: impl Fn() -> String,
        run: impl FnMut() -> Result<(), Errno>,
    ) -> Result<(), Error> {
        let arguments = || format!("[{}], {}", self.fd.as_raw_fd(), arguments());
        let result = self.kernel.call("fsconfig", arguments, run);
        result.map_err(|error| error.with_messages(self.messages()))
    }

    /// Takes the errors and warnings out of the context's log, oldest first. The kernel keeps
    /// at most eight.
    fn messages(&self) -> Vec<String> {
        let mut buffer = vec![0; 8192];
        let mut messages = Vec::new();
        // ENODATA ends it; the bound is for a kernel that would go on.
        while let Ok(1..) | Err(Errno::MSGSIZE) = {
            let result = rustix::io::read(&self.fd, &mut buffer);
            if let Ok(length) = result {
                messages.extend(problem(&buffer[..length]));
            }
            result
        } {
            if messages.len() >= 64 {
                break;
            }
        }
        messages
    }
}

/// The text of a message that is an error (`e text`) or a warning (`w text`).
fn problem(message: &[u8]) -> Option<String> {
    let text = message.strip_prefix(b"e ").or_else(|| message.strip_prefix(b"w "))?;
    Some(String::from_utf8_lossy(text).trim_end().to_owned())
}

impl Kernel {
    /// Starts configuring a filesystem of type `fs_type`. Loads its module if it has one.
    ///
    /// # Errors
    /// `ENODEV` when the kernel does not have the filesystem, `EPERM` without `CAP_SYS_ADMIN`
    /// over the mount namespace, `ENOSYS` before Linux 5.2.
    pub fn fsopen(&self, fs_type: &str) -> Result<FsContext<'_>, Error> {
        let fd = self.call(
            "fsopen",
            || format!("{fs_type:?}, FSOPEN_CLOEXEC"),
            || rustix::mount::fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC),
        )?;
        Ok(FsContext { kernel: self, fd })
    }

    /// Attaches `mount` to the directory or file that `target` has open, over what is there.
    /// It stays when its descriptor is closed.
    ///
    /// # Errors
    /// `EINVAL` for a mount that is attached in another namespace or that cannot be moved.
    pub fn attach(&self, mount: &DetachedMount, target: impl AsFd) -> Result<(), Error> {
        self.move_mount(mount, target)
    }

    /// Makes a detached copy of the mount that the directory `directory` is on, with
    /// `directory` as its root and without the mounts below it: a bind mount that is attached
    /// nowhere yet.
    ///
    /// # Errors
    /// `EINVAL` for a directory of another mount namespace.
    pub fn clone_mount(&self, directory: impl AsFd) -> Result<DetachedMount, Error> {
        let directory = directory.as_fd();
        let fd = self.call(
            "open_tree",
            || format!("[{}], \"\", CLONE|EMPTY_PATH", directory.as_raw_fd()),
            || {
                let flags = OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_EMPTY_PATH;
                rustix::mount::open_tree(directory, "", flags)
            },
        )?;
        Ok(DetachedMount { fd })
    }

    /// As [`clone_mount`](Self::clone_mount), with all that is mounted below `directory`.
    ///
    /// # Errors
    /// `EINVAL` for a directory of another mount namespace.
    pub fn clone_mounts(&self, directory: impl AsFd) -> Result<DetachedMount, Error> {
        let directory = directory.as_fd();
        let fd = self.call(
            "open_tree",
            || format!("[{}], \"\", CLONE|EMPTY_PATH|RECURSIVE", directory.as_raw_fd()),
            || {
                let flags = OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_RECURSIVE
                    | OpenTreeFlags::AT_EMPTY_PATH;
                rustix::mount::open_tree(directory, "", flags)
            },
        )?;
        Ok(DetachedMount { fd })
    }

    /// Moves the mount whose root `mount` has open, with all that is mounted below it, onto what `target` has open.
    ///
    /// # Errors
    /// `EINVAL` when `mount` is not the root of a mount, or what it is mounted on is shared with other namespaces.
    pub fn move_mount(&self, mount: impl AsFd, target: impl AsFd) -> Result<(), Error> {
        let (mount, target) = (mount.as_fd(), target.as_fd());
        self.call(
            "move_mount",
            || format!("[{}], \"\", [{}], \"\", EMPTY_PATH", mount.as_raw_fd(), target.as_raw_fd()),
            || {
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
                rustix::mount::move_mount(mount, "", target, "", flags)
            },
        )
    }

    /// Forbids what `attributes` has, and allows what it has not, on a mount that exists.
    ///
    /// # Errors
    /// `EPERM` for an attribute that is locked by an outer user namespace.
    pub fn set_attributes(&self, mount: &DetachedMount, attributes: MountAttributes) -> Result<(), Error> {
        let all = MountAttributes { read_only: true, nosuid: true, nodev: true, noexec: true }.flags();
        let set = attributes.flags();
        self.call(
            "mount_setattr",
            || format!("[{}], \"\", EMPTY_PATH, {attributes}", mount.fd.as_raw_fd()),
            || crate::raw::mount_setattr(mount.fd.as_fd(), set.bits().into(), (all - set).bits().into()),
        )
    }

    /// Lets owners on a mount that nobody has seen yet be those that the user namespace
    /// `user_namespace` maps them to (`MOUNT_ATTR_IDMAP`).
    ///
    /// # Errors
    /// `EINVAL` for a filesystem that cannot be mapped, a mount that is attached or what is no
    /// user namespace; `EPERM` for the initial one.
    pub fn set_idmap(&self, mount: &DetachedMount, user_namespace: impl AsFd) -> Result<(), Error> {
        let user_namespace = user_namespace.as_fd();
        self.call(
            "mount_setattr",
            || {
                let (mount, map) = (mount.fd.as_raw_fd(), user_namespace.as_raw_fd());
                format!("[{mount}], \"\", EMPTY_PATH, {{IDMAP, userns_fd: [{map}]}}")
            },
            || crate::raw::mount_setattr_idmap(mount.fd.as_fd(), user_namespace),
        )
    }

    /// Unmounts what is mounted at `target`, not following a symbolic link at its end. With
    /// `lazy`, takes it out of the tree at once and lets it go when nothing uses it any more.
    ///
    /// # Errors
    /// `EBUSY` when it is in use, `EINVAL` when nothing is mounted at `target`.
    pub fn unmount(&self, target: &Path, lazy: bool) -> Result<(), Error> {
        let mut flags = UnmountFlags::NOFOLLOW;
        flags.set(UnmountFlags::DETACH, lazy);
        self.call(
            "umount2",
            || format!("{target:?}, UMOUNT_NOFOLLOW{}", if lazy { "|MNT_DETACH" } else { "" }),
            || rustix::mount::unmount(target, flags),
        )
    }

    /// Takes `mount` away from wherever it is attached, at once, whatever uses it. What has been
    /// mounted over its root is taken away instead.
    ///
    /// # Errors
    /// `EINVAL` when it is not attached in the namespace of the calling thread.
    pub fn detach(&self, mount: &DetachedMount) -> Result<(), Error> {
        let path = fd_path(mount);
        self.call(
            "umount2",
            || format!("{path:?}, MNT_DETACH"),
            || rustix::mount::unmount(&path, UnmountFlags::DETACH),
        )
    }

    /// The number of the block device that a mount's filesystem is on; of other filesystems, a number that they have
    /// instead.
    ///
    /// # Errors
    /// None that is known.
    pub fn device_of_mount(&self, mount: &DetachedMount) -> Result<DeviceNumber, Error> {
        self.call(
            "fstat",
            || format!("[{}]", mount.fd.as_raw_fd()),
            || Ok(DeviceNumber::of(rustix::fs::fstat(&mount.fd)?.st_dev)),
        )
    }

    /// Requires that a mount is of the filesystem on the block device with that number.
    ///
    /// # Errors
    /// `ESTALE` when it is not.
    pub fn require_mount_of(&self, mount: &DetachedMount, number: DeviceNumber) -> Result<(), Error> {
        if self.device_of_mount(mount)? == number {
            return Ok(());
        }
        let arguments = format!("[{}], a mount of {number}", mount.fd.as_raw_fd());
        let error = Error::new(crate::Call { name: "fstat", arguments }, Errno::STALE);
        Err(error.meaning_of(|_| Some("another device was mounted")))
    }

    /// Which mount `fd` is on.
    ///
    /// # Errors
    /// `ENOSYS` before Linux 5.8.
    pub fn location(&self, fd: impl AsFd) -> Result<Location, Error> {
        let fd = fd.as_fd();
        self.call(
            "statx",
            || format!("[{}], \"\", AT_EMPTY_PATH, STATX_MNT_ID", fd.as_raw_fd()),
            || {
                let status = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
                if status.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
                    return Err(Errno::NOSYS);
                }
                Ok(Location {
                    mount_id: status.stx_mnt_id,
                    is_mount_root: status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
                })
            },
        )
    }

    /// Runs `work` in a thread with a mount namespace of its own, which ends with it: what it
    /// attaches nobody else sees, and nothing of it stays. What it returns may hold detached
    /// mounts, which stay valid.
    ///
    /// Descriptors of directories that were opened outside belong to the outside's mounts:
    /// `work` has to open its own.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`; `EINVAL` when the root directory is not the root of a
    /// mount, as in a chroot.
    pub fn with_private_mounts<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, || {
                self.call("unshare", || "CLONE_NEWNS".into(), crate::raw::unshare_mounts)?;
                let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
                self.call(
                    "mount",
                    || "NULL, \"/\", NULL, MS_REC|MS_PRIVATE, NULL".into(),
                    || rustix::mount::mount_change("/", private),
                )?;
                Ok(work())
            });
            let thread = thread.map_err(|error| {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::AGAIN);
                Error::new(crate::Call { name: "clone", arguments: "a thread".into() }, errno)
            })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Gives the calling thread, and what is started from it, a mount namespace of its own for good: what others mount
    /// appears in it, what it mounts nobody else sees, and all of it goes with the last process in it.
    ///
    /// Other threads stay where they are: to be called before there are any.
    ///
    /// # Errors
    /// As [`with_private_mounts`](Self::with_private_mounts).
    pub fn keep_mounts_private(&self) -> Result<(), Error> {
        self.call("unshare", || "CLONE_NEWNS".into(), crate::raw::unshare_mounts)?;
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        self.call(
            "mount",
            || "NULL, \"/\", NULL, MS_REC|MS_SLAVE, NULL".into(),
            || rustix::mount::mount_change("/", slave),
        )
    }
}

#[cfg(test)]
mod tests;
