//! Root as on a sealed host: `sealpack-guest-init confined COMMAND…` executes a command that, with all that it starts, can
//! neither make devices, nor change IPE's switches, nor look into other processes. `free` does the same but for devices,
//! which may be made: each system call is judged in the same way, and each execution audited, so that times can be compared.

use anyhow::{Context, Result};
use sealpack_kernel::capabilities::CapabilitySet;
use sealpack_kernel::seccomp::{Assembler, Verdict, Word};
use sealpack_kernel::{Errno, Kernel};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The number of ioctl on x86_64, which the stock kernels are of.
const IOCTL: u32 = 16;

/// The command that runs another one so.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(crate::system::ITSELF);
    command.arg("confined").args(words);
    command
}

/// The command that runs another one that may make devices.
pub(crate) fn free_command(words: &[&str]) -> Command {
    let mut command = Command::new(crate::system::ITSELF);
    command.arg("free").args(words);
    command
}

/// Executes the command; returns only where that cannot be.
pub(crate) fn run(confined: bool, words: &[String]) -> ExitCode {
    let error = confine(confined).and_then(|()| {
        let (program, arguments) = words.split_first().context("no command is given")?;
        Err(Command::new(program).args(arguments).exec().into())
    });
    let Err::<(), _>(error) = error else { return ExitCode::SUCCESS };
    println!("{error:#}");
    ExitCode::FAILURE
}

fn confine(confined: bool) -> Result<()> {
    let kernel = Kernel::new();
    kernel.give_up_capabilities(CapabilitySet::SYS_PTRACE | CapabilitySet::MAC_ADMIN)?;
    let mut filter = Assembler::default();
    let allow = filter.label();
    filter.load(Word::Number);
    filter.jump_unless_equal(IOCTL, allow);
    // Device-mapper looks at type and number of a request, and at nothing else.
    filter.load(Word::ArgumentLow(1));
    filter.mask(0xff00);
    filter.jump_unless_equal(0xfd00, allow);
    filter.load(Word::ArgumentLow(1));
    filter.mask(0xff);
    for looking in [0, 2, 7, 8, 11, 12, 13, 16, 17] {
        filter.jump_if_equal(looking, allow);
    }
    filter.end(if confined { Verdict::Refuse(Errno::PERM) } else { Verdict::Allow });
    filter.place(allow);
    filter.end(Verdict::Allow);
    Ok(kernel.filter_system_calls(&filter.finish()?)?)
}
