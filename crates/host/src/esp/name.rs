//! The names of UKIs on the ESP, which count their tries.

use std::fmt;

/// How a UKI's name ends (UAPI.1, Boot Loader Specification, "Type #2").
const ENDING: &str = ".efi";
/// How often a new UKI may fail to come up before another one is started.
const TRIES: u32 = 3;
/// The highest count that systemd-boot reads (`boot_entry_parse_tries`, src/boot/boot.c: `INT_MAX`).
const COUNT_MAX: u32 = i32::MAX.unsigned_abs();

/// The tries of a UKI, as its name has them: `+LEFT-DONE` (UAPI.1, "Boot counting").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counter {
    /// How often it may still be tried.
    pub left: u32,
    /// How often it was, if the name says that.
    pub done: Option<u32>,
}

impl Counter {
    /// That of a UKI that was never tried: `+3`.
    pub const NEW: Self = Self { left: TRIES, done: None };

    /// Whether no try is left.
    #[must_use]
    pub const fn is_spent(self) -> bool {
        self.left == 0
    }

    fn parse(text: &str) -> Option<Self> {
        let (left, done) = match text.split_once('-') {
            Some((left, done)) => (left, Some(number(done)?)),
            None => (text, None),
        };
        Some(Self { left: number(left)?, done })
    }
}

/// A count without a sign.
fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number <= COUNT_MAX)
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.left)?;
        self.done.map_or(Ok(()), |done| write!(f, "-{done}"))
    }
}

/// The name of a file that systemd-boot takes for a UKI: `STEM.efi`, or `STEM+LEFT-DONE.efi`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName {
    /// What stays when tries are counted, and when the UKI is blessed.
    pub stem: String,
    /// Its tries; `None` where none are counted.
    pub counter: Option<Counter>,
}

impl FileName {
    /// Reads one; `None` for a name that systemd-boot passes over (`config_load_type2_entries`, src/boot/boot.c). As
    /// there, and on FAT, upper and lower case do not differ.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let at = name.len().checked_sub(ENDING.len())?;
        let (front, ending) = name.split_at_checked(at)?;
        let is_auto = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("auto-"));
        if !ending.eq_ignore_ascii_case(ENDING) || front.is_empty() || name.starts_with('.') || is_auto {
            return None;
        }
        let counted = front.rsplit_once('+').and_then(|(stem, count)| Some((stem, Counter::parse(count)?)));
        Some(match counted {
            Some((stem, counter)) => Self { stem: stem.to_owned(), counter: Some(counter) },
            None => Self { stem: front.to_owned(), counter: None },
        })
    }

    /// The same UKI with another counter.
    #[must_use]
    pub fn with(&self, counter: Option<Counter>) -> Self {
        Self { stem: self.stem.clone(), counter }
    }

    /// Whether another name is that of the same UKI, whatever it counts.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        self.stem.eq_ignore_ascii_case(&other.stem)
    }

    /// A pattern that systemd-boot finds this UKI by, for as long as it has tries left, or none are counted: of `x`,
    /// `x.efi` and `x+2-1.efi`, and not `x+0-3.efi`. A stem with characters that patterns are made of has none.
    #[must_use]
    pub fn pattern(&self) -> Option<String> {
        let is_plain = !self.stem.bytes().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\'));
        is_plain.then(|| format!("{}[.+][e1-9]*", self.stem.to_lowercase()))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stem)?;
        self.counter.map_or(Ok(()), |counter| counter.fmt(f))?;
        f.write_str(ENDING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_stem_and_counts_tries_or_does_not() {
        for (name, stem, counter) in [
            ("sealed_7.efi", "sealed_7", None),
            ("sealed_7+3.efi", "sealed_7", Some((3, None))),
            ("sealed_7+2-1.efi", "sealed_7", Some((2, Some(1)))),
            ("a+b+0-3.efi", "a+b", Some((0, Some(3)))),
            ("sealed+x.efi", "sealed+x", None),
            ("a+.efi", "a+", None),
            ("a+1-.efi", "a+1-", None),
            ("a++1.efi", "a+", Some((1, None))),
            ("a+-1.efi", "a+-1", None),
            ("a+99999999999.efi", "a+99999999999", None),
        ] {
            let parsed = FileName::parse(name).expect(name);
            let counted = parsed.counter.map(|counter| (counter.left, counter.done));
            assert_eq!((parsed.stem.as_str(), counted), (stem, counter), "{name}");
            assert_eq!(parsed.to_string(), name);
        }
    }

    #[test]
    fn what_systemd_boot_passes_over_is_no_name() {
        for name in ["sealed_7.new", ".sealed_7.efi", "auto-x.efi", "AUTO-x.efi", ".efi", "efi", "", "é"] {
            assert_eq!(FileName::parse(name), None, "{name:?}");
        }
        assert_eq!(FileName::parse("SEALED_7+3.EFI").map(|name| name.stem).as_deref(), Some("SEALED_7"));
    }
}
