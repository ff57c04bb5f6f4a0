//! By which numbers an architecture's system calls go.

/// A table of system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    /// `AUDIT_ARCH_*` (include/uapi/linux/audit.h).
    pub(crate) audit: u32,
    /// The number of ioctl.
    pub(crate) ioctl: u32,
    /// Another ABI that goes by the same `AUDIT_ARCH_*`.
    pub(crate) second: Option<Second>,
}

/// An ABI that shares its `AUDIT_ARCH_*` with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Second {
    /// The lowest of its numbers.
    pub(crate) from: u32,
    /// The numbers of ioctl.
    pub(crate) ioctls: [u32; 2],
}

/// An architecture, with all ABIs that its kernels may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Architecture {
    /// Its own.
    pub(crate) own: Table,
    /// That of 32 bits.
    pub(crate) foreign: [Table; 1],
}

/// `__X32_SYSCALL_BIT`
const X32: u32 = 0x4000_0000;

/// x86-64, with i386 and x32 (arch/x86/entry/syscalls/syscall_64.tbl, syscall_32.tbl). x32 has an ioctl of its own; its
/// table once had the one of 64 bits too.
pub(crate) const X86_64: Architecture = Architecture {
    own: Table {
        audit: 0xc000_003e,
        ioctl: 16,
        second: Some(Second { from: X32, ioctls: [X32 + 514, X32 + 16] }),
    },
    foreign: [Table { audit: 0x4000_0003, ioctl: 54, second: None }],
};

/// arm64, with 32-bit arm (include/uapi/asm-generic/unistd.h; arch/arm64/tools/syscall_32.tbl).
pub(crate) const AARCH64: Architecture = Architecture {
    own: Table { audit: 0xc000_00b7, ioctl: 29, second: None },
    foreign: [Table { audit: 0x4000_0028, ioctl: 54, second: None }],
};

impl Architecture {
    /// That of this program; `None` where its numbers are not known here.
    pub(crate) const fn here() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(AARCH64)
        } else {
            None
        }
    }
}
