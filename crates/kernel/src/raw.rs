//! System calls that rustix does not have, or has as unsafe.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::thread::UnshareFlags;

/// `struct mount_attr` (include/uapi/linux/mount.h).
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// `mount_setattr(fd, "", AT_EMPTY_PATH, …)`: sets and clears `MOUNT_ATTR_*` bits of the mount
/// behind `fd` (fs/namespace.c; from Linux 5.12).
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, attr_set: u64, attr_clr: u64) -> Result<(), Errno> {
    let mut attr = MountAttr { attr_set, attr_clr, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a C string, and `attr` is a `struct mount_attr` of the size given;
    // both outlive the call, which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_mut(&mut attr),
            size_of::<MountAttr>(),
        )
    };
    if result < 0 {
        let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        return Err(Errno::from_raw_os_error(code));
    }
    Ok(())
}

/// Gives the calling thread, and no other, a mount namespace of its own: a copy of the one it
/// is in. Its root and working directory become its own too (unshare(2), `CLONE_NEWNS`).
pub(crate) fn unshare_mounts() -> Result<(), Errno> {
    // SAFETY: unsafe only because of CLONE_FILES, which would make descriptors of other threads
    // invalid here; that flag is not among these.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}
