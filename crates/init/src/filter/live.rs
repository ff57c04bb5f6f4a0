//! The filter in this machine's kernel: small programs are run without it and under it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sealpack_kernel::Kernel;
use sealpack_kernel::seccomp::Program;

use super::{Architecture, Rules, program};

/// How a program makes its system call.
#[derive(Clone, Copy, PartialEq)]
enum Entry {
    /// `syscall`
    Native,
    /// `int 0x80`, the way of 32-bit programs
    Int80,
}

/// An x86-64 program of one page: it makes the system call `number` with these three arguments, by its entry, and exits
/// with the error number, or 0.
fn elf(entry: Entry, number: u32, arguments: [u64; 3]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let mut code = Vec::new();
    // mov rdi, rsi, rdx; or ebx, ecx, edx, the 32-bit ones
    let registers: [&[u8]; 3] = match entry {
        Entry::Native => [&[0x48, 0xbf], &[0x48, 0xbe], &[0x48, 0xba]],
        Entry::Int80 => [&[0x48, 0xbb], &[0x48, 0xb9], &[0x48, 0xba]],
    };
    for (register, value) in registers.into_iter().zip(arguments) {
        code.extend(register);
        code.extend(value.to_le_bytes());
    }
    code.push(0xb8); // mov eax
    code.extend(number.to_le_bytes());
    code.extend(if entry == Entry::Native { [0x0f, 0x05] } else { [0xcd, 0x80] });
    code.extend([0x31, 0xff]); // xor edi, edi
    code.extend([0x85, 0xc0]); // test eax, eax
    code.extend([0x79, 0x04]); // jns over the next two
    code.extend([0xf7, 0xd8]); // neg eax
    code.extend([0x89, 0xc7]); // mov edi, eax
    code.extend([0xb8, 60, 0, 0, 0, 0x0f, 0x05]); // exit
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE + HEADERS, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0; 4]);
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

/// What the program exits with.
fn run(directory: &Path, entry: Entry, number: u32, arguments: [u64; 3]) -> Option<i32> {
    let path = directory.join(format!("{}-{number:x}-{:x}", entry == Entry::Native, arguments[1]));
    if !path.exists() {
        fs::write(&path, elf(entry, number, arguments)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    Command::new(&path).status().unwrap().code()
}

/// What `work` answers where the filter holds: in a thread, which it holds for alone, and what that starts.
fn under<T: Send>(program: &Program, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let filtered = scope.spawn(|| {
            let kernel = Kernel::new();
            kernel.refuse_new_rights().unwrap();
            kernel.filter_system_calls(program).unwrap();
            work()
        });
        filtered.join().unwrap()
    })
}

const EPERM: Option<i32> = Some(1);
const ENOTTY: Option<i32> = Some(25);
const IOCTL: u32 = 16;
const GETPID: u32 = 39;
/// Of 32-bit programs.
const GETPID_32: u32 = 20;
/// Standard input, of which no driver takes device-mapper's requests.
const INPUT: u64 = 0;

/// The filter that a sealed host has.
fn all() -> Option<Program> {
    let architecture = Architecture::here().filter(|_| cfg!(target_arch = "x86_64"));
    let Some(architecture) = architecture else {
        println!("skipped: the programs that are tried are x86-64's");
        return None;
    };
    program(&architecture, Rules { device_mapper: true, foreign_abi: true }).unwrap()
}

#[test]
fn device_mappers_ioctls_are_refused_and_others_reach_the_kernel() {
    let Some(program) = all() else { return };
    let directory = tempfile::tempdir().unwrap();
    let ioctl = |request| run(directory.path(), Entry::Native, IOCTL, [INPUT, request, 0]);
    let requests = [0xc138_fd09, 0xfd09, 0x4138_fd09, 0x8138_fd09, 0x1_c138_fd09, u64::MAX << 32 | 0xfd03];
    for request in requests {
        assert_eq!(ioctl(request), ENOTTY, "without the filter, {request:#x}");
    }
    under(&program, || {
        for request in requests {
            assert_eq!(ioctl(request), EPERM, "{request:#x}");
        }
        for request in [0xc138_fd0c, 0xc138_fd00, 0xc138_fc09] {
            assert_eq!(ioctl(request), ENOTTY, "{request:#x}");
        }
    });
}

#[test]
fn calls_of_other_abis_are_refused() {
    let Some(program) = all() else { return };
    let directory = tempfile::tempdir().unwrap();
    let own = || run(directory.path(), Entry::Native, GETPID, [0; 3]);
    let x32 = || run(directory.path(), Entry::Native, 0x4000_0000 | GETPID, [0; 3]);
    let int80 = || run(directory.path(), Entry::Int80, GETPID_32, [0; 3]);
    let without = int80();
    if without != Some(0) {
        println!("skipped: this kernel has no 32-bit system calls of its own: {without:?}");
    }
    under(&program, || {
        assert_eq!(own(), Some(0));
        assert_eq!(x32(), EPERM);
        if without == Some(0) {
            assert_eq!(int80(), EPERM);
        }
    });
}
