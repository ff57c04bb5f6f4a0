//! What a mount is good for.

use std::fmt;
use std::str::FromStr;

/// What the kernel guarantees about a mounted image, from nothing to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing: whoever can write to the store can change what the mount shows.
    Plain,
    /// All bytes, names and contents, are checked when they are read.
    Verified,
    /// Besides, the kernel accepted signatures of all of it.
    Signed,
    /// Besides, the kernel refuses to execute anything without one.
    Enforced,
}

impl Level {
    /// The level's name, as commands spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Verified => "verified",
            Self::Signed => "signed",
            Self::Enforced => "enforced",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that is no [`Level`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a level: use plain, verified, signed or enforced")]
pub struct LevelParseError(String);

impl FromStr for Level {
    type Err = LevelParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Plain, Self::Verified, Self::Signed, Self::Enforced]
            .into_iter()
            .find(|level| level.name() == text)
            .ok_or_else(|| LevelParseError(text.to_owned()))
    }
}

/// A [`Level`], and in words why it is not a higher one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assurance {
    /// What is guaranteed.
    pub level: Level,
    /// Why not more, for example `the objects have no fs-verity`.
    pub why_not_more: String,
}

impl Assurance {
    /// What a mount is good for whose metadata image and objects are, or are not, checked by
    /// fs-verity whenever they are read.
    pub(crate) fn of_files(image_has_verity: bool, objects_have_verity: bool) -> Self {
        let (level, why_not_more) = match (image_has_verity, objects_have_verity) {
            (true, true) => (Level::Verified, "no signature was given to the kernel"),
            (true, false) => (Level::Plain, "the objects have no fs-verity"),
            (false, true) => (Level::Plain, "the metadata image has no fs-verity"),
            (false, false) => (Level::Plain, "neither the metadata image nor the objects have fs-verity"),
        };
        Self { level, why_not_more: why_not_more.to_owned() }
    }
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.level, self.why_not_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_survive_their_names() {
        let levels = [Level::Plain, Level::Verified, Level::Signed, Level::Enforced];
        assert!(levels.is_sorted());
        for level in levels {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("Verified".parse::<Level>().unwrap_err().to_string().starts_with("\"Verified\" is not"));
    }

    #[test]
    fn only_all_of_it_checked_is_verified() {
        assert_eq!(Assurance::of_files(true, true).level, Level::Verified);
        for (image, objects) in [(true, false), (false, true), (false, false)] {
            assert_eq!(Assurance::of_files(image, objects).level, Level::Plain);
        }
        assert_eq!(Assurance::of_files(true, false).to_string(), "plain (the objects have no fs-verity)");
    }
}
