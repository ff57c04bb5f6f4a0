//! The filter of system calls that everything on a sealed host runs under.
//!
//! Device-mapper's ioctls are refused but for those that only look: whoever loads a dm-verity table chooses whether
//! changed bytes are ignored, and IPE calls such a device signed all the same. System calls of other ABIs are refused
//! too: programs of the image have no use for them, and each is one more table of numbers to get right.

mod architecture;
mod commands;
#[cfg(test)]
mod live;
#[cfg(test)]
mod tests;

use sealpack_kernel::Errno;
use sealpack_kernel::seccomp::{Assembler, AssemblyError, Label, Program, Verdict, Word};

pub(crate) use architecture::Architecture;
use commands::{LOOKING, TYPE};

/// The error of whatever is refused.
const REFUSED: Verdict = Verdict::Refuse(Errno::PERM);

/// What a filter refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Device-mapper's ioctls, but for those that only look.
    pub(crate) device_mapper: bool,
    /// System calls of other ABIs than the architecture's own.
    pub(crate) foreign_abi: bool,
}

/// The filter for an architecture; `None` where nothing is to be refused.
///
/// # Errors
/// None that is known: the filters are few, and tests make each of them.
pub(crate) fn program(architecture: &Architecture, rules: Rules) -> Result<Option<Program>, AssemblyError> {
    if !rules.device_mapper && !rules.foreign_abi {
        return Ok(None);
    }
    let mut assembler = Assembler::default();
    let [ioctl, refuse, allow] = [(); 3].map(|()| assembler.label());
    let mut tables = vec![architecture.own];
    if !rules.foreign_abi {
        tables.extend(architecture.foreign);
    }
    let tables = tables.into_iter().map(|table| (table, assembler.label())).collect::<Vec<_>>();
    assembler.load(Word::Architecture);
    for (table, place) in &tables {
        assembler.jump_if_equal(table.audit, *place);
    }
    assembler.end(REFUSED);
    for (table, place) in tables {
        assembler.place(place);
        assembler.load(Word::Number);
        let mut ioctls = vec![table.ioctl];
        if let Some(second) = table.second {
            if rules.foreign_abi {
                assembler.jump_if_at_least(second.from, refuse);
            } else {
                ioctls.extend(second.ioctls);
            }
        }
        for number in ioctls.into_iter().filter(|_| rules.device_mapper) {
            assembler.jump_if_equal(number, ioctl);
        }
        assembler.end(Verdict::Allow);
    }
    assembler.place(ioctl);
    if rules.device_mapper {
        judge_ioctl(&mut assembler, allow);
    }
    assembler.place(refuse);
    assembler.end(REFUSED);
    assembler.place(allow);
    assembler.end(Verdict::Allow);
    assembler.finish().map(Some)
}

/// Goes on at `allow` for an ioctl that is none of device-mapper's, or only looks; else behind this.
///
/// The request is an `int` to the kernel, so that the upper half of its register means nothing. Of the lower half,
/// device-mapper compares type and number only (drivers/md/dm-ioctl.c, `ctl_ioctl`), and the size and the direction
/// that the number should have mean nothing either.
fn judge_ioctl(assembler: &mut Assembler, allow: Label) {
    assembler.load(Word::ArgumentLow(1));
    assembler.mask(0xff00);
    assembler.jump_unless_equal(TYPE << 8, allow);
    assembler.load(Word::ArgumentLow(1));
    assembler.mask(0xff);
    for (number, _) in LOOKING {
        assembler.jump_if_equal(number, allow);
    }
}
