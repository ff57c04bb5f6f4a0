//! Instants at which the power is cut, and what of the unflushed writes is lost then.

use super::log::{Step, Write};
use std::ops::Range;

/// An instant, and a disk that had a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// How many steps of the log were done.
    pub after: usize,
    /// What is lost of those that no flush followed.
    pub loss: Loss,
}

/// What of the writes since the last flush is not on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Nothing: QEMU is killed, and the machine that it ran on goes on.
    Nothing,
    /// All but the last one, which overtook the others.
    AllButTheLast,
    /// Every second one, beginning with the last but one.
    EverySecond,
    /// The second half of the last one.
    HalfOfTheLast,
}

impl Loss {
    /// Those in which something is lost.
    pub const LOSSES: [Self; 3] = [Self::AllButTheLast, Self::EverySecond, Self::HalfOfTheLast];
}

impl Cut {
    /// After so many steps, with nothing lost.
    pub const fn at(after: usize) -> Self {
        Self { after, loss: Loss::Nothing }
    }

    /// What is on the disk of all that was written, in order: each write with how many of its bytes.
    pub fn kept<'s>(&self, steps: &'s [Step]) -> Vec<(&'s Write, u64)> {
        let done = &steps[..self.after];
        let flushed = done.iter().rposition(|step| *step == Step::Flush).map_or(0, |flush| flush + 1);
        let (before, since) = done.split_at(flushed);
        let number = writes(since).count();
        let kept = |(index, write): (usize, &'s Write)| {
            let from_the_end = number - 1 - index;
            let length = write.range.end - write.range.start;
            let is_lost = match self.loss {
                Loss::Nothing | Loss::HalfOfTheLast => false,
                Loss::AllButTheLast => from_the_end > 0,
                Loss::EverySecond => from_the_end % 2 == 1,
            };
            if write.is_durable {
                Some((write, length))
            } else if is_lost {
                None
            } else if self.loss == Loss::HalfOfTheLast && from_the_end == 0 {
                // Sectors are written whole.
                Some((write, length / 1024 * 512))
            } else {
                Some((write, length))
            }
        };
        let before = writes(before).map(|write| (write, write.range.end - write.range.start));
        before.chain(writes(since).enumerate().filter_map(kept)).collect()
    }
}

fn writes(steps: &[Step]) -> impl Iterator<Item = &Write> {
    steps.iter().filter_map(|step| match step {
        Step::Write(write) => Some(write),
        Step::Flush => None,
    })
}

/// The cuts after each write to a part of the disk, and, for each flush, those before it in which something that was
/// written there since the flush before is lost.
pub fn all(steps: &[Step], part: &Range<u64>) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let (mut is_first, mut last_write) = (true, None);
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Write(write) if touches(write, part) => {
                if is_first {
                    cuts.push(Cut::at(index));
                    is_first = false;
                }
                cuts.push(Cut::at(index + 1));
                last_write = Some(index + 1);
            }
            Step::Write(_) => {}
            Step::Flush => {
                if let Some(after) = last_write.take() {
                    cuts.extend(Loss::LOSSES.map(|loss| Cut { after, loss }));
                }
            }
        }
    }
    cuts
}

/// At most `most` of them: the first, the last, and what is evenly between.
pub fn choose(cuts: &[Cut], most: usize) -> Vec<Cut> {
    if cuts.len() <= most {
        return cuts.to_vec();
    }
    let last = most.saturating_sub(1).max(1);
    (0..most).map(|index| cuts[index * (cuts.len() - 1) / last]).collect()
}

/// Whether something was written to a part of the disk.
pub fn touches(write: &Write, part: &Range<u64>) -> bool {
    write.range.start < part.end && part.start < write.range.end
}

#[cfg(test)]
mod tests {
    use super::super::log::{Log, tests::written};
    use super::*;
    use anyhow::Result;

    const FLUSH: (u64, u64, &[u8]) = (0, 1, &[]);

    fn steps(entries: &[(u64, u64, &[u8])]) -> Result<Vec<Step>> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("log");
        written(entries, &path)?;
        Ok(Log::read(&path)?.steps().to_vec())
    }

    fn kept(steps: &[Step], after: usize, loss: Loss) -> Vec<(u64, u64)> {
        let cut = Cut { after, loss };
        cut.kept(steps).into_iter().map(|(write, length)| (write.range.start / 512, length / 512)).collect()
    }

    #[test]
    fn only_what_no_flush_followed_is_lost() -> Result<()> {
        let two = [0; 1024];
        let steps = steps(&[(1, 0, &two), FLUSH, (10, 0, &two), (20, 0, &two), (30, 0, &two)])?;
        assert_eq!(kept(&steps, 5, Loss::Nothing), [(1, 2), (10, 2), (20, 2), (30, 2)]);
        assert_eq!(kept(&steps, 5, Loss::AllButTheLast), [(1, 2), (30, 2)]);
        assert_eq!(kept(&steps, 5, Loss::EverySecond), [(1, 2), (10, 2), (30, 2)]);
        assert_eq!(kept(&steps, 5, Loss::HalfOfTheLast), [(1, 2), (10, 2), (20, 2), (30, 1)]);
        assert_eq!(kept(&steps, 3, Loss::AllButTheLast), [(1, 2), (10, 2)]);
        assert_eq!(kept(&steps, 1, Loss::AllButTheLast), [(1, 2)]);
        assert_eq!(kept(&steps, 0, Loss::EverySecond), []);
        Ok(())
    }

    #[test]
    fn what_is_written_through_is_not_lost() -> Result<()> {
        let one = [0; 512];
        let steps = steps(&[(1, 2, &one), (2, 0, &one), (3, 0, &one)])?;
        assert_eq!(kept(&steps, 3, Loss::AllButTheLast), [(1, 1), (3, 1)]);
        Ok(())
    }

    #[test]
    fn there_is_a_cut_around_each_write_to_the_part_and_losses_before_each_flush() -> Result<()> {
        let one = [0; 512];
        let entries =
            [(9, 0, &one[..]), (1, 0, &one), (9, 0, &one), (2, 0, &one), FLUSH, (9, 0, &one), FLUSH];
        let cuts = all(&steps(&entries)?, &(0..8 * 512));
        let plain: Vec<usize> =
            cuts.iter().filter(|cut| cut.loss == Loss::Nothing).map(|cut| cut.after).collect();
        assert_eq!(plain, [1, 2, 4]);
        let losses: Vec<_> = cuts.iter().filter(|cut| cut.loss != Loss::Nothing).collect();
        assert!(losses.len() == 3 && losses.iter().all(|cut| cut.after == 4), "{cuts:?}");
        Ok(())
    }

    #[test]
    fn a_choice_has_the_first_and_the_last() {
        let cuts: Vec<Cut> = (0..100).map(Cut::at).collect();
        let chosen: Vec<usize> = choose(&cuts, 4).iter().map(|cut| cut.after).collect();
        assert_eq!(chosen, [0, 33, 66, 99]);
        assert_eq!(choose(&cuts[..3], 4).len(), 3);
    }
}
