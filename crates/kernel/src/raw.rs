//! System calls that rustix does not have, or has as unsafe.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::process::Pid;
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
    set_mount_attr(fd, &MountAttr { attr_set, attr_clr, propagation: 0, userns_fd: 0 })
}

/// As [`mount_setattr`], with `MOUNT_ATTR_IDMAP` and the user namespace whose map it is.
pub(crate) fn mount_setattr_idmap(fd: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    let userns_fd = u64::try_from(user_namespace.as_raw_fd()).map_err(|_| Errno::BADF)?;
    let attr_set = libc::MOUNT_ATTR_IDMAP;
    set_mount_attr(fd, &MountAttr { attr_set, attr_clr: 0, propagation: 0, userns_fd })
}

fn set_mount_attr(fd: BorrowedFd<'_>, attr: &MountAttr) -> Result<(), Errno> {
    // SAFETY: the path is a C string, and `attr` is a `struct mount_attr` of the size given;
    // both outlive the call, which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    checked(result).map(drop)
}

/// Gives the calling thread, and no other, a mount namespace of its own: a copy of the one it
/// is in. Its root and working directory become its own too (unshare(2), `CLONE_NEWNS`).
pub(crate) fn unshare_mounts() -> Result<(), Errno> {
    // SAFETY: unsafe only because of CLONE_FILES, which would make descriptors of other threads
    // invalid here; that flag is not among these.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}

/// `unshare(CLONE_THREAD)`: does nothing in a process with one thread, and fails with `EINVAL` in others (kernel/fork.c,
/// `check_unshare_flags`).
pub(crate) fn require_single_thread() -> Result<(), Errno> {
    // SAFETY: takes a number and touches no memory of the caller's; with this flag nothing is unshared.
    checked(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_THREAD) }).map(drop)
}

/// `fork()`: `None` in the child. For a process with one thread, [`require_single_thread`] having said so.
pub(crate) fn fork_single_threaded() -> Result<Option<Pid>, Errno> {
    // SAFETY: the only thread there is calls this, so that no lock is held by one that the child would lack. It is the C
    // library's own call, which keeps what that knows of its threads true in the child.
    let child = checked(unsafe { libc::fork() }.into())?;
    Ok(i32::try_from(child).ok().and_then(Pid::from_raw))
}

/// `pidfd_send_signal(fd, signal, NULL, 0)` (kernel/signal.c; from Linux 5.1), for any signal, those of real time included.
pub(crate) fn pidfd_send_signal(process: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers; of what is sent with the signal nothing is given, and so nothing is read.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, no_info, 0) })
        .map(drop)
}

/// `sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE)`: begins to write dirty pages back, and waits for none of
/// them (fs/sync.c). A length of 0 goes to the end of the file.
pub(crate) fn begin_write_back(fd: BorrowedFd<'_>, offset: i64, length: i64) -> Result<(), Errno> {
    // SAFETY: takes numbers, one of them a descriptor that is open for as long as it is borrowed, and touches no memory of
    // the caller's.
    let result =
        unsafe { libc::sync_file_range(fd.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    checked(result.into()).map(drop)
}

/// `prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)` (kernel/sys.c; from Linux 6.3).
pub(crate) fn refuse_written_code() -> Result<(), Errno> {
    let none: libc::c_ulong = 0;
    let refuse = libc::c_ulong::from(libc::PR_MDWE_REFUSE_EXEC_GAIN);
    // SAFETY: takes numbers and touches no memory of the caller's. Mappings that there are stay as they are.
    checked(unsafe { libc::prctl(libc::PR_SET_MDWE, refuse, none, none, none) }.into()).map(drop)
}

/// `prctl(PR_GET_MDWE, 0, 0, 0, 0)`: whether [`refuse_written_code`] holds.
pub(crate) fn refuses_written_code() -> Result<bool, Errno> {
    let none: libc::c_ulong = 0;
    // SAFETY: takes numbers and touches no memory of the caller's.
    let bits = checked(unsafe { libc::prctl(libc::PR_GET_MDWE, none, none, none, none) }.into())?;
    Ok(bits & libc::c_long::from(libc::PR_MDWE_REFUSE_EXEC_GAIN) != 0)
}

/// `seccomp(SECCOMP_SET_MODE_FILTER, 0, program)`: has the kernel ask `program` about each system call of the calling
/// thread, and of what it starts.
pub(crate) fn set_system_call_filter(program: &[libc::sock_filter]) -> Result<(), Errno> {
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let none: libc::c_uint = 0;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` has the address and the number of as many instructions, which outlive the call; it copies them
    // and writes nothing, though the structure has a pointer to mutable ones (kernel/seccomp.c, seccomp_prepare_filter).
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, none, std::ptr::from_ref(&program))
    };
    checked(result).map(drop)
}

/// Puts `byte` in the place of the first one of the command line, as `/proc/PID/cmdline` shows it.
pub(crate) fn set_first_byte_of_command_line(byte: u8) -> Result<(), Errno> {
    unsafe extern "C" {
        /// Where the first argument is, as the C library found it when the program began (errno.h).
        static program_invocation_name: *mut libc::c_char;
    }
    // SAFETY: a pointer that the C library sets before the program begins and nobody changes.
    let first = unsafe { program_invocation_name };
    // SAFETY: if it is not null, it leads to a text with a zero byte at its end, of one byte at least.
    if first.is_null() || unsafe { first.read() } == 0 {
        return Err(Errno::INVAL);
    }
    // SAFETY: the text is not empty, so that its first byte is not the zero at its end. It lies in the memory that the
    // kernel copied the arguments to, which is writable, and nothing in this program holds a reference to it: the
    // standard library copies each argument when it is asked for.
    unsafe { first.cast::<u8>().write(byte) };
    Ok(())
}

/// `close_range(first, last, 0)`: closes all descriptors with these numbers that there are.
pub(crate) fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    const NO_FLAGS: libc::c_uint = 0;
    // SAFETY: takes numbers and touches no memory of the caller's. Whoever calls this sees to it that nothing in this
    // process uses the descriptors afterwards.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, NO_FLAGS) }).map(drop)
}

/// `mlockall(MCL_CURRENT)`, then `munlockall()`: maps all of the process's memory that there is.
pub(crate) fn touch_memory() -> Result<(), Errno> {
    // SAFETY: takes a number and touches no memory of the caller's but to map it.
    checked(unsafe { libc::mlockall(libc::MCL_CURRENT) }.into())?;
    // SAFETY: takes nothing.
    checked(unsafe { libc::munlockall() }.into()).map(drop)
}

/// What can be asked about a key (include/uapi/linux/keyctl.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyQuestion {
    /// What it is: text with a zero byte at its end.
    Describe = 6,
    /// What it holds; of a keyring, the numbers of its keys.
    Read = 11,
}

impl fmt::Display for KeyQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Describe => "KEYCTL_DESCRIBE",
            Self::Read => "KEYCTL_READ",
        })
    }
}

/// `add_key(key_type, description, payload, keyring)`: the new key's number. An empty
/// description leaves it to the key's type to find one in the payload.
pub(crate) fn add_key(key_type: &str, description: &str, payload: &[u8], keyring: i32) -> Result<i32, Errno> {
    let key_type = CString::new(key_type).map_err(|_| Errno::INVAL)?;
    let description = CString::new(description).map_err(|_| Errno::INVAL)?;
    // SAFETY: two C strings and a buffer of the size given; all outlive the call, which only
    // reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            key_type.as_ptr(),
            description.as_ptr(),
            payload.as_ptr(),
            payload.len(),
            keyring,
        )
    };
    checked(result).and_then(|serial| i32::try_from(serial).map_err(|_| Errno::OVERFLOW))
}

/// `keyctl(KEYCTL_UNLINK, key, keyring)`: takes a key out of a keyring.
pub(crate) fn keyctl_unlink(key: i32, keyring: i32) -> Result<(), Errno> {
    const UNLINK: libc::c_int = 9;
    // SAFETY: takes two numbers and touches no memory of the caller's.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, UNLINK, key, keyring) }).map(drop)
}

/// `keyctl(question, key, buffer, size)`: how many bytes the answer has. When that is more
/// than the buffer has, it holds nothing of use.
pub(crate) fn keyctl_ask(question: KeyQuestion, key: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: both write at most the given number of bytes to the buffer.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, question as libc::c_int, key, buffer.as_mut_ptr(), buffer.len())
    };
    checked(result).and_then(|length| usize::try_from(length).map_err(|_| Errno::OVERFLOW))
}

/// `keyctl(KEYCTL_RESTRICT_KEYRING, keyring, NULL, NULL)`: no keys are added any more.
pub(crate) fn keyctl_restrict(keyring: i32) -> Result<(), Errno> {
    const RESTRICT_KEYRING: libc::c_int = 29;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: null pointers in place of the two optional texts.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, RESTRICT_KEYRING, keyring, none, none) }).map(drop)
}

/// `setfsuid(user)`: with whose rights the calling thread, and no other, uses files (kernel/sys.c, `__sys_setfsuid`).
/// Answers with who it was before, and says nothing of a failure.
pub(crate) fn set_fs_user(user: u32) -> u32 {
    // SAFETY: takes a number and touches no memory of the caller's. It is the system call itself: a thread's own matter
    // to the kernel, which no C library spreads to the others.
    before(unsafe { libc::syscall(libc::SYS_setfsuid, user) })
}

/// `setfsgid(group)`: as [`set_fs_user`] with groups.
pub(crate) fn set_fs_group(group: u32) -> u32 {
    // SAFETY: as for setfsuid.
    before(unsafe { libc::syscall(libc::SYS_setfsgid, group) })
}

/// Numbers of users and groups have 32 bits, which the call's answer has to be cut to.
fn before(answer: libc::c_long) -> u32 {
    answer as u32
}

/// `ioctl(fd, DM_TABLE_LOAD, NULL)` (include/uapi/linux/dm-ioctl.h), for a descriptor that is not device-mapper's.
pub(crate) fn table_load_of_nothing(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    const DM_TABLE_LOAD: u64 = 0xc138_fd09;
    // SAFETY: without an argument there is no memory to touch; device-mapper itself would refuse the null pointer.
    let result = unsafe { libc::syscall(libc::SYS_ioctl, fd.as_raw_fd(), DM_TABLE_LOAD, 0) };
    checked(result).map(drop)
}

/// `getpid()` by the numbers of x32 (arch/x86/entry/syscalls/syscall_64.tbl, `__X32_SYSCALL_BIT`), which few kernels
/// have.
#[cfg(target_arch = "x86_64")]
pub(crate) fn x32_getpid() -> Result<(), Errno> {
    const X32: libc::c_long = 0x4000_0000;
    // SAFETY: takes nothing and touches no memory of the caller's.
    checked(unsafe { libc::syscall(X32 | libc::SYS_getpid) }).map(drop)
}

fn checked(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 {
        let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        return Err(Errno::from_raw_os_error(code));
    }
    Ok(result)
}
