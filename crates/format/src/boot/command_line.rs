//! The command line of a sealed host: what its words mean, and which are refused.

use std::fmt;

use super::error::{CommandLineError, shown};
use super::parameters::{BootParameters, PREFIX};
use super::refused::why_refused;

/// The longest command line, in bytes. The kernel cuts a longer one without a word (`COMMAND_LINE_SIZE` of x86 and
/// arm64, less the terminator).
pub const COMMAND_LINE_MAX_BYTES: usize = 2047;

/// What every sealed host's command line begins with: denials are recorded from the start, memory is not written past its
/// protection through `/proc/PID/mem`, a panic reboots at once, so that the boot counter falls back, and systemd takes no
/// credentials from the firmware's tables (systemd.system-credentials(7)): some of them are units, and nobody signs these.
pub const FIXED_WORDS: [&str; 5] = [
    "audit=1",
    "audit_backlog_limit=8192",
    "proc_mem.force_override=never",
    "panic=-1",
    "systemd.import_credentials=no",
];

/// A command line that a sealed host takes: words of printable ASCII without quotation marks, separated by spaces. A
/// `sealpack.…` is there once at most and known; those of [`FIXED_WORDS`] are there once at most; `ipe.…` and whatever
/// names another first process or initramfs is not there.
///
/// `Display` gives the one text that it has: [`FIXED_WORDS`], the words `sealpack.…`, the others in the order that they
/// came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    boot: BootParameters,
    others: Vec<String>,
}

impl CommandLine {
    /// One with these parameters, and `others` besides: words such as `console=ttyS0`.
    ///
    /// # Errors
    /// A word that is refused, as when it is parsed; a line that is too long.
    pub fn new<'w>(
        boot: BootParameters,
        others: impl IntoIterator<Item = &'w str>,
    ) -> Result<Self, CommandLineError> {
        let mut line = Words::default();
        for word in others {
            line.add(word)?;
        }
        if let Some(word) = line.ours.first() {
            return Err(CommandLineError::NotHere(shown(word)));
        }
        if let Some(word) = line.fixed.first() {
            return Err(CommandLineError::Twice(shown(name_and_value(word).0)));
        }
        let line = Self { boot, others: line.others };
        check_length(line.to_string().len())?;
        Ok(line)
    }

    /// Reads a command line, one newline at its end allowed.
    ///
    /// # Errors
    /// A word that is refused, with the reason; no image, or no root hash; a line that is too long.
    pub fn parse(line: &[u8]) -> Result<Self, CommandLineError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        check_length(line.len())?;
        let mut words = Words::default();
        for word in line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
            let lossy = || shown(&String::from_utf8_lossy(word));
            words.add(str::from_utf8(word).map_err(|_| CommandLineError::Characters(lossy()))?)?;
        }
        let line = Self { boot: BootParameters::parse(&words.ours)?, others: words.others };
        // What it lacks of the words that each has is in its one text.
        check_length(line.to_string().len())?;
        Ok(line)
    }

    /// What it says to Sealpack.
    #[must_use]
    pub const fn boot(&self) -> &BootParameters {
        &self.boot
    }

    /// The words that are neither Sealpack's nor in [`FIXED_WORDS`].
    #[must_use]
    pub fn others(&self) -> &[String] {
        &self.others
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", FIXED_WORDS.join(" "), self.boot)?;
        self.others.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

fn check_length(bytes: usize) -> Result<(), CommandLineError> {
    match bytes {
        0..=COMMAND_LINE_MAX_BYTES => Ok(()),
        _ => Err(CommandLineError::TooLong { bytes }),
    }
}

/// The words of a line, none of them refused, by whose they are.
#[derive(Default)]
struct Words {
    fixed: Vec<String>,
    ours: Vec<String>,
    others: Vec<String>,
}

impl Words {
    fn add(&mut self, word: &str) -> Result<(), CommandLineError> {
        // With quotation marks the kernel's words would not be ours (next_arg, lib/cmdline.c).
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
            return Err(CommandLineError::Characters(shown(word)));
        }
        let (name, value) = name_and_value(word);
        if let Some(why) = why_refused(name, value) {
            return Err(CommandLineError::Refused { word: shown(word), why });
        }
        let is_fixed = FIXED_WORDS.iter().any(|fixed| same_name(name_and_value(fixed).0, name));
        let whose = if is_fixed {
            if !FIXED_WORDS.contains(&word) {
                return Err(CommandLineError::NotFixed(shown(word)));
            }
            &mut self.fixed
        } else if name.replace('-', "_").starts_with(PREFIX) {
            &mut self.ours
        } else {
            self.others.push(word.to_owned());
            return Ok(());
        };
        if whose.iter().any(|earlier| same_name(name_and_value(earlier).0, name)) {
            return Err(CommandLineError::Twice(shown(name)));
        }
        whose.push(word.to_owned());
        Ok(())
    }
}

/// As the kernel compares them (parameq, kernel/params.c).
fn same_name(one: &str, other: &str) -> bool {
    one.replace('-', "_") == other.replace('-', "_")
}

pub(super) fn name_and_value(word: &str) -> (&str, Option<&str>) {
    word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)))
}
