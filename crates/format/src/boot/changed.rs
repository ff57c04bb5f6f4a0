//! Whether the kernel runs with the command line that was signed.

use std::collections::HashMap;
use std::fmt;

/// Words, and characters of each, that an error quotes.
const SHOWN_WORDS: usize = 8;
const SHOWN_CHARS: usize = 100;

/// Refuses a command line (`/proc/cmdline`, whose last byte is a newline) that is not, to the byte, the one that was
/// signed.
///
/// # Errors
/// What was added, and what is missing.
pub fn check_unchanged(signed: &[u8], running: &[u8]) -> Result<(), Changed> {
    let running = running.strip_suffix(b"\n").unwrap_or(running);
    if signed == running {
        return Ok(());
    }
    Err(Changed { added: less(running, signed), missing: less(signed, running) })
}

/// The words of `these` less those of `others`, each as often as it is there more often, as an error shows them.
fn less(these: &[u8], others: &[u8]) -> Vec<String> {
    let mut counts = HashMap::<&[u8], usize>::new();
    for word in words(others) {
        let count = counts.entry(word).or_default();
        *count = count.saturating_add(1);
    }
    let mut left = Vec::new();
    for word in words(these) {
        match counts.get_mut(word) {
            Some(count) if *count > 0 => *count = count.saturating_sub(1),
            _ => left.push(String::from_utf8_lossy(word).chars().take(SHOWN_CHARS).collect()),
        }
    }
    left
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// A command line that is not the one that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    added: Vec<String>,
    missing: Vec<String>,
}

impl Changed {
    /// The words that nobody signed.
    #[must_use]
    pub fn added(&self) -> &[String] {
        &self.added
    }

    /// The signed words that are not there.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel's command line is not the one that was signed: ")?;
        match (self.added.is_empty(), self.missing.is_empty()) {
            (true, true) => f.write_str("it has the same words in another order, or other spaces"),
            (false, true) => write!(f, "it has besides {}", Quoted(&self.added)),
            (true, false) => write!(f, "it lacks {}", Quoted(&self.missing)),
            (false, false) => {
                write!(f, "it has besides {}, and lacks {}", Quoted(&self.added), Quoted(&self.missing))
            }
        }
    }
}

impl std::error::Error for Changed {}

/// Words in quotation marks, the first few of them.
struct Quoted<'w>(&'w [String]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().take(SHOWN_WORDS).enumerate() {
            write!(f, "{}{word:?}", if index == 0 { "" } else { " " })?;
        }
        match self.0.len().saturating_sub(SHOWN_WORDS) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
