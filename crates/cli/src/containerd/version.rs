//! Which containerd it is.

use std::fmt;

/// The oldest that works with sealpack.
const OLDEST: Version = Version { major: 1, minor: 6 };

/// A version, as far as its configuration depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

/// Why there is no configuration for it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionError {
    /// It is not known what it says.
    #[error("{0:?} is not what containerd says of its version")]
    Unreadable(String),
    /// It has not what is needed.
    #[error("containerd {0} is too old: {OLDEST} is the first that works with sealpack")]
    TooOld(Version),
    /// Nobody knows what it wants.
    #[error("containerd {0} is newer than those whose configuration is known, which are 1.6 to 2.x")]
    TooNew(Version),
}

impl Version {
    /// Reads what `containerd --version` says: `containerd PACKAGE VERSION REVISION`.
    pub(crate) fn of_output(text: &str) -> Result<Self, VersionError> {
        let unreadable = || VersionError::Unreadable(text.trim().chars().take(100).collect());
        let mut words = text.split_whitespace();
        let is_containerd = words.next() == Some("containerd");
        let word = words.nth(1).filter(|_| is_containerd).ok_or_else(unreadable)?;
        let mut numbers = word.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        let (Some(major), Some(minor)) = (number(), number()) else { return Err(unreadable()) };
        let version = Self { major, minor };
        match version {
            old if old < OLDEST => Err(VersionError::TooOld(old)),
            new if new.major > 2 => Err(VersionError::TooNew(new)),
            known => Ok(known),
        }
    }

    /// Whether it can have another program's differ: 1.6 ends when one is configured.
    pub(super) const fn has_differs(self) -> bool {
        self.major > 1 || self.minor > 6
    }

    /// Whether it has the transfer service that pulls, and names plugins as files of version 3 do.
    pub(super) const fn is_second(self) -> bool {
        self.major > 1
    }

    /// Whether layers that the store has need not be fetched while it unpacks in parallel. 2.2 and 2.3 unpack so, and fetch
    /// them.
    pub(super) const fn takes_layers_as_they_are(self) -> bool {
        self.major > 2 || (self.major == 2 && self.minor >= 4)
    }

    /// The newest version of its configuration file.
    pub(super) const fn newest_file(self) -> i64 {
        match (self.major, self.minor) {
            (1, _) => 2,
            (2, 0..=2) => 3,
            _ => 4,
        }
    }

    /// Whether it was tried with sealpack.
    pub(crate) const fn is_tried(self) -> bool {
        matches!((self.major, self.minor), (1, 6 | 7) | (2, 0 | 1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_distributions_say_is_understood() {
        let read = |text: &str| Version::of_output(text).map(|version| version.to_string());
        assert_eq!(
            read("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+b1").unwrap(),
            "1.6"
        );
        assert_eq!(
            read("containerd containerd.io v1.7.24 88bf19b2105c8b17560993bee28a01ddc2f97182").unwrap(),
            "1.7"
        );
        assert_eq!(read("containerd github.com/containerd/containerd/v2 2.1.9 fff\n").unwrap(), "2.1");
        assert_eq!(
            read("containerd x 1.5.11 y").unwrap_err().to_string(),
            "containerd 1.5 is too old: 1.6 is the first that works with sealpack"
        );
        assert!(matches!(read("containerd x 3.0.0 y"), Err(VersionError::TooNew(_))));
        assert!(matches!(read("podman version 4.3.1"), Err(VersionError::Unreadable(_))));
        assert!(matches!(read(""), Err(VersionError::Unreadable(_))));
    }
}
