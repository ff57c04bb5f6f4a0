//! The broker's lines in the log, so many at a time and no more: a console takes milliseconds for each, and anybody can
//! have one written by asking for nonsense.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

/// So many lines can follow at once.
const LINES_MAX: u32 = 20;

/// How long it takes until there may be one more.
const REGAINED_AFTER: Duration = Duration::from_secs(1);

/// Longer lines are cut: `/dev/kmsg` takes about a thousand bytes.
const LINE_MAX_BYTES: usize = 400;

/// How important a line is, by the kernel's numbers (include/linux/kern_levels.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The broker cannot go on.
    Error = 3,
    /// Something was refused.
    Notice = 5,
    /// Something was done.
    Info = 6,
}

/// Where lines go.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
}

impl Log {
    pub(super) const fn new(file: File) -> Self {
        Self { file }
    }

    /// Writes a line, with its level before it, as the kernel and systemd read it.
    pub(super) fn say(&self, level: Level, text: &str) {
        // Nobody would hear that it cannot be written.
        let _ = (&self.file).write_all(line(level, text).as_bytes());
    }
}

/// The line as it is written, in one call.
fn line(level: Level, text: &str) -> String {
    let one_line = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut line = format!("<{}>sealpack-broker: ", level as u8);
    for character in one_line {
        if line.len() + character.len_utf8() > LINE_MAX_BYTES {
            break;
        }
        line.push(character);
    }
    line + "\n"
}

/// How many lines there may be.
#[derive(Debug)]
pub(super) struct Allowance {
    lines: u32,
    counted: Instant,
    left_out: u64,
}

impl Allowance {
    pub(super) const fn new(now: Instant) -> Self {
        Self { lines: LINES_MAX, counted: now, left_out: 0 }
    }

    /// Whether there may be a line, and how many were left out since the last one.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        while self.lines < LINES_MAX && now.duration_since(self.counted) >= REGAINED_AFTER {
            self.counted += REGAINED_AFTER;
            self.lines += 1;
        }
        if self.lines == LINES_MAX {
            self.counted = now;
        }
        match self.lines.checked_sub(1) {
            Some(lines) => {
                self.lines = lines;
                Some(std::mem::take(&mut self.left_out))
            }
            None => {
                self.left_out += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        assert_eq!(line(Level::Notice, "a\nb\tc"), "<5>sealpack-broker: a b c\n");
        let long = line(Level::Info, &"é".repeat(1000));
        assert!(long.len() <= LINE_MAX_BYTES + 1 && long.ends_with("é\n"), "{}", long.len());
    }

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let written = (0..10_000).filter(|_| allowance.take(start).is_some()).count();
        assert_eq!(written, 20);
        let later = start + Duration::from_secs(3);
        assert_eq!(allowance.take(later), Some(9_980));
        assert_eq!((allowance.take(later), allowance.take(later)), (Some(0), Some(0)));
        assert_eq!(allowance.take(later), None);
        // Silence does not save up more than there may be at once.
        let much_later = start + Duration::from_secs(100_000);
        assert_eq!((0..100).filter(|_| allowance.take(much_later).is_some()).count(), 20);
    }
}
