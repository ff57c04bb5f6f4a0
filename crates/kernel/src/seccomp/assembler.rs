//! Writing a filter, with names for where it jumps to.

use super::{Instruction, Program, Test, Verdict};

/// The most instructions that the kernel takes (include/uapi/linux/bpf_common.h, `BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;

/// A place in a filter that is jumped to from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// 32 bits of what a filter sees of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The call's number.
    Number,
    /// `AUDIT_ARCH_*`.
    Architecture,
    /// The lower half of an argument, counted from 0: all of one that the kernel takes as `int`.
    ArgumentLow(u8),
}

impl Word {
    /// Where it is in `struct seccomp_data` (include/uapi/linux/seccomp.h): number, architecture, instruction pointer of
    /// 8 bytes, six arguments of 8 bytes each in the processor's order.
    fn offset_bytes(self) -> u32 {
        match self {
            Self::Number => 0,
            Self::Architecture => 4,
            Self::ArgumentLow(index) => {
                16 + 8 * u32::from(index) + if cfg!(target_endian = "big") { 4 } else { 0 }
            }
        }
    }
}

/// Why what was written is no filter: the writer's fault, not the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssemblyError {
    /// There is no way to a label that was jumped to.
    #[error("a jump at instruction {from} of a filter leads to a label that is placed nowhere behind it")]
    NoWay {
        /// The jump's instruction, counted from 0.
        from: usize,
    },
    /// Jumps with a condition skip 255 instructions at most.
    #[error("a jump at instruction {from} of a filter leads to one {instructions} further, 255 is the most")]
    TooFar {
        /// The jump's instruction, counted from 0.
        from: usize,
        /// How far it leads.
        instructions: usize,
    },
    /// The kernel's limit.
    #[error("a filter has {0} instructions, 4096 is the most")]
    TooLong(usize),
    /// The last instruction is no verdict.
    #[error("a filter ends without a verdict")]
    Open,
    /// There are six arguments.
    #[error("a filter looks at argument {0}, and there are six, from 0")]
    NoArgument(u8),
}

/// An instruction whose jump may not be known yet.
#[derive(Debug)]
enum Draft {
    Final(Instruction),
    Jump { test: Test, value: u32, on: bool, to: Label },
}

/// Writes a filter from its first instruction to its last.
#[derive(Debug, Default)]
pub struct Assembler {
    drafts: Vec<Draft>,
    /// Where each label is.
    places: Vec<Option<usize>>,
    beyond: Option<u8>,
}

impl Assembler {
    /// A label, still without its place.
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Gives a label its place: before the next instruction.
    pub fn place(&mut self, label: Label) {
        if let Some(place) = self.places.get_mut(label.0) {
            *place = Some(self.drafts.len());
        }
    }

    /// What is compared from now on is `word`.
    pub fn load(&mut self, word: Word) {
        if let Word::ArgumentLow(index @ 6..) = word {
            self.beyond = Some(index);
        }
        self.drafts.push(Draft::Final(Instruction::Load { offset_bytes: word.offset_bytes() }));
    }

    /// Of what is compared, only the bits of `mask` count.
    pub fn mask(&mut self, mask: u32) {
        self.drafts.push(Draft::Final(Instruction::And { mask }));
    }

    /// Goes on at `to` if it is `value`.
    pub fn jump_if_equal(&mut self, value: u32, to: Label) {
        self.drafts.push(Draft::Jump { test: Test::Equal, value, on: true, to });
    }

    /// Goes on at `to` unless it is `value`.
    pub fn jump_unless_equal(&mut self, value: u32, to: Label) {
        self.drafts.push(Draft::Jump { test: Test::Equal, value, on: false, to });
    }

    /// Goes on at `to` if it is `value` or more.
    pub fn jump_if_at_least(&mut self, value: u32, to: Label) {
        self.drafts.push(Draft::Jump { test: Test::AtLeast, value, on: true, to });
    }

    /// Ends here with a verdict.
    pub fn end(&mut self, verdict: Verdict) {
        self.drafts.push(Draft::Final(Instruction::Return { verdict }));
    }

    /// The filter.
    ///
    /// # Errors
    /// See [`AssemblyError`].
    pub fn finish(self) -> Result<Program, AssemblyError> {
        if let Some(index) = self.beyond {
            return Err(AssemblyError::NoArgument(index));
        }
        if self.drafts.len() > INSTRUCTIONS_MAX {
            return Err(AssemblyError::TooLong(self.drafts.len()));
        }
        if !matches!(self.drafts.last(), Some(Draft::Final(Instruction::Return { .. }))) {
            return Err(AssemblyError::Open);
        }
        let instructions = self.drafts.iter().enumerate().map(|(from, draft)| match *draft {
            Draft::Final(instruction) => Ok(instruction),
            Draft::Jump { test, value, on, to } => {
                let distance = self.distance(from, to)?;
                let (if_so, if_not) = if on { (distance, 0) } else { (0, distance) };
                Ok(Instruction::Jump { test, value, if_so, if_not })
            }
        });
        Ok(Program { instructions: instructions.collect::<Result<_, _>>()? })
    }

    /// How many instructions a jump at `from` skips.
    fn distance(&self, from: usize, to: Label) -> Result<u8, AssemblyError> {
        let place = self.places.get(to.0).copied().flatten().filter(|place| *place < self.drafts.len());
        let instructions =
            place.and_then(|place| place.checked_sub(from + 1)).ok_or(AssemblyError::NoWay { from })?;
        u8::try_from(instructions).map_err(|_| AssemblyError::TooFar { from, instructions })
    }
}
