//! The system calls that the broker makes, and no others.

use sealpack_kernel::Errno;
use sealpack_kernel::seccomp::{Assembler, Program, Verdict, Word};

use super::BrokerError;

/// `AUDIT_ARCH_*` of this program (include/uapi/linux/audit.h); `None` where the numbers of calls are not known here.
const fn architecture() -> Option<u32> {
    if cfg!(target_arch = "x86_64") {
        Some(0xc000_003e)
    } else if cfg!(target_arch = "aarch64") {
        Some(0xc000_00b7)
    } else {
        None
    }
}

/// For messages, and the processes that answer them.
const SERVING: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_ppoll,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_unshare,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// For devices and mounts.
const MOUNTING: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_lseek,
    libc::SYS_mknodat,
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_mount,
];

/// For memory, threads and time, as the standard library uses them.
const RUNNING: &[libc::c_long] = &[
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mlockall,
    libc::SYS_munlockall,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_prlimit64,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
];

/// Those that only older architectures have, which libraries use there.
#[cfg(target_arch = "x86_64")]
const OLD: &[libc::c_long] =
    &[libc::SYS_fork, libc::SYS_poll, libc::SYS_mknod, libc::SYS_stat, libc::SYS_lstat, libc::SYS_open];

#[cfg(not(target_arch = "x86_64"))]
const OLD: &[libc::c_long] = &[];

/// Requests of ioctl: of device-mapper (include/uapi/linux/dm-ioctl.h) to list, make and remove devices, to load their
/// tables and to look at them; of loop devices; of namespaces.
const REQUESTS: &[u32] =
    &[dm(2), dm(3), dm(4), dm(6), dm(7), dm(9), dm(12), dm(17), 0x4c05, 0x4c0a, 0x4c82, 0xb703, 0xb704];

/// `AF_UNIX` (include/linux/socket.h), the only family that pairs of sockets are made of.
const LOCAL: u32 = 1;

/// `_IOWR(0xfd, command, struct dm_ioctl)`
const fn dm(command: u32) -> u32 {
    0xc138_fd00 | command
}

/// The filter.
///
/// # Errors
/// On architectures whose numbers are not known here.
pub(super) fn program() -> Result<Program, BrokerError> {
    let lacks = |why: String| BrokerError::Lacks(format!("there is no filter of system calls: {why}"));
    let architecture = architecture().ok_or_else(|| lacks("the processor's are not known".to_owned()))?;
    written(architecture).map_err(|error| lacks(error.to_string()))
}

fn written(architecture: u32) -> Result<Program, sealpack_kernel::seccomp::AssemblyError> {
    let mut filter = Assembler::default();
    let (known, allow, request, pair) = (filter.label(), filter.label(), filter.label(), filter.label());
    filter.load(Word::Architecture);
    filter.jump_if_equal(architecture, known);
    filter.end(Verdict::Kill);
    filter.place(known);
    filter.load(Word::Number);
    filter.jump_if_equal(number(libc::SYS_ioctl), request);
    filter.jump_if_equal(number(libc::SYS_socketpair), pair);
    for call in [SERVING, MOUNTING, RUNNING, OLD].into_iter().flatten() {
        filter.jump_if_equal(number(*call), allow);
    }
    filter.end(Verdict::Refuse(Errno::PERM));
    filter.place(request);
    filter.load(Word::ArgumentLow(1));
    for request in REQUESTS {
        filter.jump_if_equal(*request, allow);
    }
    filter.end(Verdict::Refuse(Errno::PERM));
    // Of another family, the kernel would load a module.
    filter.place(pair);
    filter.load(Word::ArgumentLow(0));
    filter.jump_if_equal(LOCAL, allow);
    filter.end(Verdict::Refuse(Errno::PERM));
    filter.place(allow);
    filter.end(Verdict::Allow);
    filter.finish()
}

/// A call's number; there are a few hundred.
fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use sealpack_kernel::seccomp::SystemCall;

    use super::*;

    fn judged(number: libc::c_long, request: u64) -> Verdict {
        let Ok(program) = program() else { return Verdict::Allow };
        let architecture = architecture().expect("there is a program for it");
        let number = super::number(number);
        program.judge(&SystemCall { number, architecture, arguments: [3, request, 0, 0, 0, 0] })
    }

    #[test]
    fn nothing_is_executed_traced_or_connected_to() {
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_perf_event_open,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_reboot,
            libc::SYS_open_by_handle_at,
            libc::SYS_chroot,
            libc::SYS_pivot_root,
            libc::SYS_umount2,
            libc::SYS_capset,
            libc::SYS_prctl,
            libc::SYS_seccomp,
        ] {
            assert_eq!(judged(call, 0), Verdict::Refuse(Errno::PERM), "{call}");
        }
        assert_eq!(judged(libc::SYS_recvmsg, 0), Verdict::Allow);
    }

    #[test]
    fn of_ioctls_only_those_for_devices_and_namespaces_are_made() {
        // DM_TABLE_LOAD, LOOP_CONFIGURE; the upper half counts for nobody.
        for request in [0xc138_fd09, 0x4c0a, 0xffff_ffff_c138_fd09] {
            assert_eq!(judged(libc::SYS_ioctl, request), Verdict::Allow, "{request:#x}");
        }
        // DM_REMOVE_ALL, DM_DEV_RENAME, DM_TARGET_MSG, LOOP_SET_FD, TIOCSTI, BLKDISCARD
        for request in [0xc138_fd01, 0xc138_fd05, 0xc138_fd0e, 0x4c00, 0x5412, 0x1277, 0xfd09] {
            assert_eq!(judged(libc::SYS_ioctl, request), Verdict::Refuse(Errno::PERM), "{request:#x}");
        }
    }

    #[test]
    fn pairs_of_sockets_are_made_within_the_machine_only() {
        let Ok(program) = program() else { return };
        let architecture = architecture().expect("there is a program for it");
        let of = |family| {
            let number = super::number(libc::SYS_socketpair);
            program.judge(&SystemCall { number, architecture, arguments: [family, 5, 0, 0, 0, 0] })
        };
        assert_eq!(of(1), Verdict::Allow);
        // AF_INET, AF_NETLINK, AF_TIPC
        for family in [0, 2, 16, 30] {
            assert_eq!(of(family), Verdict::Refuse(Errno::PERM), "{family}");
        }
    }

    #[test]
    fn another_architectures_calls_end_the_process() {
        let Ok(program) = program() else { return };
        let foreign = SystemCall { number: 3, architecture: 0x4000_0003, arguments: [0; 6] };
        assert_eq!(program.judge(&foreign), Verdict::Kill);
    }
}
