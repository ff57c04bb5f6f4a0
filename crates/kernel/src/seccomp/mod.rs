//! Filters of system calls: what a process, and all that it starts, can no longer ask the kernel for (seccomp(2)).
//!
//! A filter is a [`Program`] for the kernel's classic BPF machine, written with an [`Assembler`]. For a [`SystemCall`]
//! it has a [`Verdict`], which [`Program::judge`] works out as the kernel does.

mod asked;
mod assembler;
mod judge;

pub use assembler::{Assembler, AssemblyError, Label, Word};

use crate::{Errno, Error, Kernel};

/// An instruction of the kernel's classic BPF machine, its accumulator being A (include/uapi/linux/bpf_common.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instruction {
    /// A becomes the word at this offset of `struct seccomp_data`.
    Load { offset_bytes: u32 },
    /// A keeps the bits of this mask.
    And { mask: u32 },
    /// Goes on after so many instructions: where A compares with `value` as asked, or where not.
    Jump { test: Test, value: u32, if_so: u8, if_not: u8 },
    /// Ends with a verdict.
    Return { verdict: Verdict },
}

/// How A is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equal,
    AtLeast,
}

impl Instruction {
    fn encoded(self) -> libc::sock_filter {
        let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        match self {
            Self::Load { offset_bytes } => {
                instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset_bytes)
            }
            Self::And { mask } => instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask),
            Self::Jump { test, value, if_so, if_not } => {
                let test = match test {
                    Test::Equal => libc::BPF_JEQ,
                    Test::AtLeast => libc::BPF_JGE,
                };
                instruction(libc::BPF_JMP | test | libc::BPF_K, if_so, if_not, value)
            }
            Self::Return { verdict } => instruction(libc::BPF_RET | libc::BPF_K, 0, 0, verdict.encoded()),
        }
    }
}

/// What becomes of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel does it.
    Allow,
    /// It fails with this error number.
    Refuse(Errno),
    /// The process ends, as by SIGSYS.
    Kill,
}

impl Verdict {
    /// `SECCOMP_RET_*` (include/uapi/linux/seccomp.h).
    fn encoded(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            // Error numbers are small and positive.
            Self::Refuse(errno) => {
                libc::SECCOMP_RET_ERRNO | (errno.raw_os_error() as u32 & libc::SECCOMP_RET_DATA)
            }
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// A system call as a filter sees it: `struct seccomp_data`. What pointers lead to, it does not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemCall {
    /// Its number, by the table of the architecture.
    pub number: u32,
    /// `AUDIT_ARCH_*`: whose table, and which of it where a processor has several.
    pub architecture: u32,
    /// Its arguments, whole registers.
    pub arguments: [u64; 6],
}

/// A filter that is whole: every path through it ends with a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
}

impl Kernel {
    /// Has `program` judge each system call of the calling thread, and of all that it starts, from now on. Filters that
    /// there are go on judging too, and the strictest verdict counts. Nothing takes that back.
    ///
    /// # Errors
    /// `EACCES` without `CAP_SYS_ADMIN`, unless [new rights are refused](Self::refuse_new_rights); `EINVAL` and `ENOSYS`
    /// from kernels without filters.
    pub fn filter_system_calls(&self, program: &Program) -> Result<(), Error> {
        let encoded: Vec<libc::sock_filter> =
            program.instructions.iter().map(|instruction| instruction.encoded()).collect();
        self.call(
            "seccomp",
            || format!("SECCOMP_SET_MODE_FILTER, 0, {} instructions", encoded.len()),
            || crate::raw::set_system_call_filter(&encoded),
        )
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "a system call with arguments that no crate lets through")]
mod tests;
