//! What root tries on a sealed host to get out of what was signed, by what is to stop it.
//!
//! Each [`Area`] is one hardening, or what holds without one, with attempts that succeed where it is off and are refused
//! where it is on. All of it is done by programs of the image: nothing else executes.

mod enforcement;
mod foreign_abi;
mod helpers;
mod kexec;
mod memory;
mod others;
mod tables;
mod unsigned;
mod written;

use anyhow::{Context, Result, bail, ensure};
use sealpack_format::boot::Hardening;
use sealpack_kernel::Errno;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that an attempt could not be made.
const IMPOSSIBLE: i32 = 200;

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// It succeeded.
    Through,
    /// The kernel refused it.
    Refused(Errno),
}

impl fmt::Display for Went {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Through => f.write_str("it succeeded"),
            Self::Refused(errno) => write!(f, "{}", std::io::Error::from(*errno)),
        }
    }
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What was tried.
    pub what: String,
    /// How it went.
    pub went: Went,
    /// Whether kernels lack what it takes, so that it may fail with `ENOSYS` where nothing stops it.
    pub may_be_missing: bool,
}

/// Where the image has what is attacked with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The directory with `root` and `attack` (`attacks/root.c`, `attacks/attack.c`), and `helper`, a link to `root`.
    pub programs: PathBuf,
    /// A kernel that its makers have signed.
    pub kernel: PathBuf,
}

/// What is to be stopped.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// The check's name.
    pub check: &'static str,
    /// What stops it; none where nothing can switch it off.
    pub hardening: Option<Hardening>,
    /// Makes the attempts.
    pub attempts: fn(&Tools) -> Result<Vec<Tried>>,
}

/// All areas.
pub const AREAS: &[Area] = &[
    Area {
        check: "host_no_foreign_tables",
        hardening: Some(Hardening::DeviceMapper),
        attempts: tables::attempts,
    },
    Area {
        check: "host_no_foreign_abi",
        hardening: Some(Hardening::ForeignAbi),
        attempts: foreign_abi::attempts,
    },
    Area {
        check: "host_no_written_mappings",
        hardening: Some(Hardening::WrittenMappings),
        attempts: written::attempts,
    },
    Area { check: "host_no_kexec", hardening: Some(Hardening::Kexec), attempts: kexec::attempts },
    Area { check: "host_no_ptrace", hardening: Some(Hardening::Ptrace), attempts: others::attempts },
    Area {
        check: "host_helpers_confined",
        hardening: Some(Hardening::KernelHelpers),
        attempts: helpers::attempts,
    },
    Area { check: "host_locked_down", hardening: Some(Hardening::Lockdown), attempts: memory::attempts },
    Area {
        check: "host_enforce_stays",
        hardening: Some(Hardening::MacAdmin),
        attempts: enforcement::attempts,
    },
    Area { check: "host_no_unsigned_programs", hardening: None, attempts: unsigned::attempts },
];

impl Area {
    /// The area of the check with that name.
    pub fn find(check: &str) -> Option<&'static Self> {
        AREAS.iter().find(|area| area.check == check)
    }

    /// Requires that every attempt is refused, and IPE enforces afterwards.
    ///
    /// # Errors
    /// Those that succeeded.
    pub fn require_closed(&self, tools: &Tools) -> Result<()> {
        let through = |tried: &Tried| tried.went == Went::Through;
        self.require(tools, "succeeded", through)?;
        ensure!(enforcement::is_enforcing()?, "IPE does not enforce any more");
        Ok(())
    }

    /// Requires that every attempt succeeds, which shows that the same attempts are good for something.
    ///
    /// # Errors
    /// Those that were refused.
    pub fn require_open(&self, tools: &Tools) -> Result<()> {
        self.require(tools, "were refused", |tried| match tried.went {
            Went::Through => false,
            Went::Refused(errno) => !(tried.may_be_missing && errno == Errno::NOSYS),
        })
    }

    fn require(&self, tools: &Tools, wrong: &str, is_wrong: impl Fn(&Tried) -> bool) -> Result<()> {
        let tried = (self.attempts)(tools)?;
        ensure!(!tried.is_empty(), "nothing was tried");
        let mut failed = Vec::new();
        for attempt in &tried {
            let line = format!("{}: {}", attempt.what, attempt.went);
            log(&line);
            if is_wrong(attempt) {
                failed.push(line);
            }
        }
        ensure!(failed.is_empty(), "these {wrong}:\n{}", failed.join("\n"));
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "the log of a check")]
fn log(line: &str) {
    println!("{line}");
}

/// One attempt by a program, whose exit status is the errno.
fn attempt(what: impl Into<String>, program: &Path, arguments: &[&str]) -> Result<Tried> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("{} does not start", program.display()))?;
    let went = match output.status.code() {
        Some(0) => Went::Through,
        Some(IMPOSSIBLE) | None => {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} {}: {}: {said}", program.display(), arguments.join(" "), output.status)
        }
        Some(errno) => Went::Refused(Errno::from_raw_os_error(errno)),
    };
    Ok(Tried { what: what.into(), went, may_be_missing: false })
}

impl Tools {
    /// An attempt of `attacks/root.c`.
    fn root(&self, what: impl Into<String>, arguments: &[&str]) -> Result<Tried> {
        attempt(what, &self.programs.join("root"), arguments)
    }
}
