//! What the kernel would answer: its machine, for the instructions that filters here are made of
//! (net/core/filter.c, `bpf_check_classic`; kernel/seccomp.c, `seccomp_check_filter`).

use super::{Instruction, Program, SystemCall, Test, Verdict};

impl SystemCall {
    /// `struct seccomp_data`, 64 bytes. Where the call comes from is 0: no filter here looks at it.
    fn encoded(&self) -> [u8; 64] {
        let words = [self.number, self.architecture].map(u32::to_ne_bytes);
        let longs = std::iter::once(0).chain(self.arguments).flat_map(u64::to_ne_bytes);
        let mut encoded = [0; 64];
        for (place, byte) in encoded.iter_mut().zip(words.into_iter().flatten().chain(longs)) {
            *place = byte;
        }
        encoded
    }
}

impl Program {
    /// The verdict on a system call.
    #[must_use]
    pub fn judge(&self, call: &SystemCall) -> Verdict {
        let data = call.encoded();
        let (mut accumulator, mut next) = (0_u32, 0_usize);
        loop {
            let instruction =
                self.instructions.get(next).expect("jumps end inside, and the last is a verdict");
            next += 1;
            match *instruction {
                Instruction::Load { offset_bytes } => {
                    let word = data.get(offset_bytes as usize..).and_then(<[u8]>::first_chunk);
                    accumulator = u32::from_ne_bytes(*word.expect("words are those of the structure"));
                }
                Instruction::And { mask } => accumulator &= mask,
                Instruction::Jump { test, value, if_so, if_not } => {
                    let is_so = match test {
                        Test::Equal => accumulator == value,
                        Test::AtLeast => accumulator >= value,
                    };
                    next += usize::from(if is_so { if_so } else { if_not });
                }
                Instruction::Return { verdict } => return verdict,
            }
        }
    }

    /// How many instructions it has.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.instructions.len()
    }
}
