//! The first process: a static program.

use sealpack_format::pe::Machine;

use super::UkiError;

/// `ET_EXEC`.
const EXECUTABLE: u16 = 2;
/// `ET_DYN`, of which static programs are too that can be anywhere in memory.
const SHARED: u16 = 3;
/// `PT_INTERP`.
const INTERPRETER: u32 = 3;
/// The length of a program header of 64 bits.
const PROGRAM_HEADER_BYTES: usize = 56;

/// Checks that `program` is one of 64 bits that needs no other file, for the stub's machine.
pub(super) fn check(program: &[u8], path: &str, stub: Machine) -> Result<(), UkiError> {
    let unfit = |problem| UkiError::Init { init: path.to_owned(), problem };
    // 64 bits, the low byte first.
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err(unfit("it is no ELF program of 64 bits"));
    }
    let (kind, machine) = (u16_at(program, 16), u16_at(program, 18));
    if !matches!(kind, Some(EXECUTABLE | SHARED)) {
        return Err(unfit("it is no program, but another ELF file"));
    }
    let found = match machine {
        Some(62) => Machine::X86_64,
        Some(183) => Machine::Aarch64,
        other => Machine::Other(other.unwrap_or_default()),
    };
    if found != stub {
        return Err(UkiError::OtherMachine { what: path.to_owned(), found, stub });
    }
    let headers = headers(program).ok_or_else(|| unfit("it is cut off"))?;
    let is_interpreter =
        |header: &[u8]| header.first_chunk().copied().map(u32::from_le_bytes) == Some(INTERPRETER);
    if headers.chunks(PROGRAM_HEADER_BYTES).any(is_interpreter) {
        return Err(unfit("it is not static, and the initramfs has no loader and no libraries"));
    }
    Ok(())
}

/// The program headers (ELF-64 Object File Format, "Program header").
fn headers(program: &[u8]) -> Option<&[u8]> {
    let start = usize::try_from(u64::from_le_bytes(*program.get(32..)?.first_chunk()?)).ok()?;
    let (bytes, count) = (usize::from(u16_at(program, 54)?), usize::from(u16_at(program, 56)?));
    if bytes != PROGRAM_HEADER_BYTES || count == 0 {
        return None;
    }
    program.get(start..start.checked_add(bytes * count)?)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u16, segment: u32) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(64 + PROGRAM_HEADER_BYTES, 0);
        file[16..18].copy_from_slice(&SHARED.to_le_bytes());
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64..68].copy_from_slice(&segment.to_le_bytes());
        file
    }

    #[test]
    fn only_a_static_program_for_the_machine_is_a_first_process() {
        let error = |file: &[u8]| check(file, "/init", Machine::X86_64).map_err(|error| error.to_string());
        assert_eq!(error(&elf(62, 1)), Ok(()));
        let start = "/init cannot be a host's first process: ";
        assert_eq!(
            error(&elf(62, INTERPRETER)).unwrap_err(),
            format!("{start}it is not static, and the initramfs has no loader and no libraries")
        );
        assert_eq!(error(&elf(183, 1)).unwrap_err(), "/init is for AArch64, and the stub for x86-64");
        assert_eq!(error(b"#!/bin/sh").unwrap_err(), format!("{start}it is no ELF program of 64 bits"));
        assert_eq!(error(&elf(62, 1)[..100]).unwrap_err(), format!("{start}it is cut off"));
    }
}
