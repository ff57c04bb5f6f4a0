//! The record of a boot that was refused: text that people read, and who looks at the host takes apart.

use std::fmt;
use std::str::FromStr;

use crate::{ObjectId, RootHash};

/// How the line begins.
const REFUSED: &str = "boot refused, ";
/// What stands between why and what to do about it.
const TO_DO: &str = ". To do: ";

/// A boot that was refused. Its text is a line with the step, why and what to do, and one with what was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedBoot {
    /// Which step it was, as a word: one of the first process's, or [`BOOT_COMPLETE`].
    pub step: String,
    /// What was wrong, in one line.
    pub why: String,
    /// What to do about it, in one line.
    pub advice: String,
    /// What was started, where that was known.
    pub started: Option<Started>,
}

/// The step of a system that came up and is not good: systemd's `boot-complete.target` is not reached.
pub const BOOT_COMPLETE: &str = "boot-complete";

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The fs-verity digest of the metadata image.
    pub image: ObjectId,
    /// The root hash of its device.
    pub root_hash: RootHash,
    /// The kernel's release.
    pub release: String,
}

/// A text that is no record of a refused boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no record of a boot that was refused")]
pub struct NotRefusal;

/// `boot refused, STEP: WHY. To do: ADVICE`, in one line.
impl fmt::Display for RefusedBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, why, advice, .. } = self;
        let why = why.trim_end().replace(":\n", ": ").replace('\n', "; ");
        write!(f, "{REFUSED}{step}: {why}{TO_DO}{advice}")
    }
}

impl RefusedBoot {
    /// The text of the record.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.started {
            Some(started) => format!("{self}\n{started}\n"),
            None => format!("{self}\n"),
        }
    }
}

impl FromStr for RefusedBoot {
    type Err = NotRefusal;

    /// Reads the text of a record. What is started is `None` where its line is another one, or was cut short.
    fn from_str(text: &str) -> Result<Self, NotRefusal> {
        let mut lines = text.lines();
        let line = lines.next().and_then(|line| line.strip_prefix(REFUSED)).ok_or(NotRefusal)?;
        let (step, rest) = line.split_once(": ").ok_or(NotRefusal)?;
        let (why, advice) = rest.rsplit_once(TO_DO).unwrap_or((rest, ""));
        let started = lines.next().and_then(|line| line.parse().ok());
        Ok(Self { step: step.to_owned(), why: why.to_owned(), advice: advice.to_owned(), started })
    }
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image {}, root hash {}, Linux {}", self.image, self.root_hash, self.release)
    }
}

impl FromStr for Started {
    type Err = NotRefusal;

    fn from_str(line: &str) -> Result<Self, NotRefusal> {
        let fields = || {
            let (image, rest) = line.strip_prefix("image ")?.split_once(", root hash ")?;
            let (root_hash, release) = rest.split_once(", Linux ")?;
            let (image, root_hash) = (image.parse().ok()?, root_hash.parse().ok()?);
            Some(Self { image, root_hash, release: release.to_owned() })
        };
        fields().ok_or(NotRefusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> RefusedBoot {
        let started = Started {
            image: ObjectId::sha256([0xab; 32]),
            root_hash: RootHash::new([0xcd; 32]),
            release: "6.12.118+deb13-amd64".to_owned(),
        };
        RefusedBoot {
            step: "image".to_owned(),
            why: "a: b. To do: c".to_owned(),
            advice: "do that".to_owned(),
            started: Some(started),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let text = refused().text();
        assert!(
            text.starts_with("boot refused, image: a: b. To do: c. To do: do that\nimage abab"),
            "{text}"
        );
        assert_eq!(text.parse(), Ok(refused()));
        let bare = RefusedBoot { started: None, ..refused() };
        assert_eq!(bare.text().parse(), Ok(bare));
    }

    #[test]
    fn what_is_wrong_is_one_line() {
        let refused = RefusedBoot { why: "two:\nlines\nhere\n".to_owned(), ..refused() };
        assert_eq!(refused.to_string(), "boot refused, image: two: lines; here. To do: do that");
    }

    #[test]
    fn a_text_that_is_cut_short_or_another_one_is_no_fault() {
        let text = refused().text();
        let cut: RefusedBoot = text[..text.len() - 30].parse().expect("its line is whole");
        assert_eq!(cut.step, "image");
        let (line, started) = text.split_once('\n').expect("two lines");
        let cut: RefusedBoot = format!("{line}\n{}", &started[..20]).parse().expect("its line is whole");
        assert_eq!(cut.started, None);
        for text in ["", "boot refused", "boot refused, x", "the disk is full\n"] {
            assert_eq!(text.parse::<RefusedBoot>(), Err(NotRefusal), "{text:?}");
        }
    }
}
