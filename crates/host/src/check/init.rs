//! Sealpack's own programs, and the system that is started by them.

use super::files::Files;
use super::{Finding, Requirement};

const INIT: &str = "/usr/lib/sealpack/init";
const PROGRAM: &str = "/usr/bin/sealpack";
const SYSTEM: &str = "/usr/lib/systemd/systemd";
const SYSTEM_UNITS: &str = "/usr/lib/systemd/system";
const EXIT_INITRD: [&str; 2] = ["dracut-shutdown.service", "mkinitcpio-generate-shutdown-ramfs.service"];

pub(super) fn check<F: Files>(files: &F, findings: &mut Vec<Finding>) -> Result<(), F::Error> {
    findings.push(init(files)?);
    findings.push(if files.has_roots_program(PROGRAM) {
        Finding::good(Requirement::Program, PROGRAM)
    } else {
        Finding::lacking(
            Requirement::Program,
            PROGRAM,
            "is no program of root's, so that nobody can mount, update or look on the host, and nothing of /etc is kept",
            "install Sealpack in the image",
        )
    });
    findings.push(if files.has_roots_program(SYSTEM) {
        Finding::good(Requirement::System, SYSTEM)
    } else {
        Finding::broken(
            Requirement::System,
            SYSTEM,
            "is no program of root's, and it is what the host runs",
            "install systemd in the image",
        )
    });
    let units = EXIT_INITRD.map(|unit| format!("{SYSTEM_UNITS}/{unit}"));
    findings.push(match units.into_iter().find(|path| files.has(path)) {
        None => Finding::good(Requirement::ExitInitrd, SYSTEM_UNITS),
        Some(path) => Finding::lacking(
            Requirement::ExitInitrd,
            path,
            "is there: what it puts into /run for the end is not executed, and each end is a denial",
            "remove the package that it is of",
        ),
    });
    Ok(())
}

fn init<F: Files>(files: &F) -> Result<Finding, F::Error> {
    let broken = |problem: &str, mend: &str| Finding::broken(Requirement::Init, INIT, problem, mend);
    let mend = "copy Sealpack's static first process there, with mode 0755";
    let Some(bytes) = files.read(INIT)? else {
        return Ok(broken("is not there", mend));
    };
    if !files.has_roots_program(INIT) {
        return Ok(broken("is no program of root's that only root may change", mend));
    }
    Ok(match elf(&bytes) {
        Elf::Static => Finding::good(Requirement::Init, INIT),
        Elf::Dynamic => {
            broken("wants a dynamic linker, and in the initramfs there is none", "build it statically")
        }
        Elf::None => broken("is no 64-bit ELF program", mend),
    })
}

enum Elf {
    None,
    Dynamic,
    Static,
}

/// Whether a 64-bit little-endian ELF program has an interpreter (System V ABI, chapters 4 and 5).
fn elf(bytes: &[u8]) -> Elf {
    /// `PT_INTERP`.
    const INTERPRETER: u32 = 3;
    let number = |at: usize, length: usize| -> Option<u64> {
        let mut value = [0; 8];
        value[..length].copy_from_slice(bytes.get(at..at.checked_add(length)?)?);
        Some(u64::from_le_bytes(value))
    };
    if !bytes.starts_with(b"\x7FELF\x02\x01") {
        return Elf::None;
    }
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else {
        return Elf::None;
    };
    for index in 0..count {
        let at = table.checked_add(index * size).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| number(at, 4)) {
            None => return Elf::None,
            Some(kind) if kind == u64::from(INTERPRETER) => return Elf::Dynamic,
            Some(_) => {}
        }
    }
    Elf::Static
}
