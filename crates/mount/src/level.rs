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
    /// Besides, the kernel accepted signatures of all of it: of the metadata image and of every
    /// pack.
    Signed,
    /// Besides, the kernel refuses to execute what its active policy does not allow: IPE is
    /// active and enforcing, its policy denies execution by default, and allows it from every
    /// device of the mount.
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
    /// Why not more, for example `the objects have no fs-verity`; empty when there is no more.
    pub why_not_more: String,
}

impl Assurance {
    pub(crate) fn new(level: Level, why_not_more: impl Into<String>) -> Self {
        Self { level, why_not_more: why_not_more.into() }
    }

    /// What a mount is good for whose metadata image and objects are, or are not, checked by
    /// fs-verity whenever they are read.
    pub(crate) fn of_files(image_has_verity: bool, objects_have_verity: bool) -> Self {
        match (image_has_verity, objects_have_verity) {
            (true, true) => {
                Self::new(Level::Verified, "the objects are files, and the kernel takes signatures of packs")
            }
            (true, false) => Self::new(Level::Plain, "the objects have no fs-verity"),
            (false, true) => Self::new(Level::Plain, "the metadata image has no fs-verity"),
            (false, false) => {
                Self::new(Level::Plain, "neither the metadata image nor the objects have fs-verity")
            }
        }
    }

    /// What a mount is good for that has these parts: as much as the worst of them, and its
    /// reason, which counts how many there are of that kind.
    pub(crate) fn of_parts(parts: &[Self]) -> Self {
        let Some(worst) = parts.iter().min_by_key(|part| part.level) else {
            return Self::new(Level::Plain, "there is nothing in it");
        };
        match parts.iter().filter(|part| part.level == worst.level).count() {
            1 => worst.clone(),
            _ if parts.iter().all(|part| part.why_not_more == worst.why_not_more) => worst.clone(),
            count => {
                Self::new(worst.level, format!("{} (and {} more like it)", worst.why_not_more, count - 1))
            }
        }
    }

    /// The same, but no more than `most`, for the reason `why`.
    pub(crate) fn at_most(self, most: Level, why: impl FnOnce() -> String) -> Self {
        if self.level <= most { self } else { Self { level: most, why_not_more: why() } }
    }
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why_not_more.as_str() {
            "" => write!(f, "{}", self.level),
            why => write!(f, "{} ({why})", self.level),
        }
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

    #[test]
    fn a_mount_is_as_good_as_the_worst_of_its_parts() {
        let (signed, verified) =
            (Assurance::new(Level::Signed, ""), |why| Assurance::new(Level::Verified, why));
        let of = |parts: &[Assurance]| Assurance::of_parts(parts).to_string();
        assert_eq!(of(&[signed.clone(), signed.clone()]), "signed");
        assert_eq!(of(&[signed.clone(), verified("no key")]), "verified (no key)");
        assert_eq!(of(&[signed, verified("a"), verified("b")]), "verified (a (and 1 more like it))");
        assert_eq!(of(&[verified("a"), verified("a")]), "verified (a)");
        assert_eq!(of(&[verified("a"), Assurance::new(Level::Plain, "b")]), "plain (b)");
        assert_eq!(Assurance::of_parts(&[]).level, Level::Plain);
    }

    #[test]
    fn less_can_be_asked_for() {
        let signed = Assurance::new(Level::Signed, "x");
        assert_eq!(signed.clone().at_most(Level::Enforced, || unreachable!()), signed);
        assert_eq!(signed.at_most(Level::Plain, || "asked".into()).to_string(), "plain (asked)");
    }
}
