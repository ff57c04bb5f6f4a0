//! Points in time, as what is signed has them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A second between the years 1970 and 9999, in UTC. Its text is that of RFC 3339 with nothing optional:
/// `2026-11-27T18:34:55Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(der::DateTime);

impl Timestamp {
    /// The second that so many others since 1970 precede; `None` behind the year 9999.
    #[must_use]
    pub fn from_unix_seconds(seconds: u64) -> Option<Self> {
        der::DateTime::from_unix_duration(Duration::from_secs(seconds)).ok().map(Self)
    }

    /// How many seconds since 1970 precede it.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        self.0.unix_duration().as_secs()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text is not a second in UTC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time like 2026-11-27T18:34:55Z")]
pub struct TimestampError(String);

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || TimestampError(text.chars().take(80).collect());
        // The decoder looks at ASCII of the right length only.
        let parsed = text.is_ascii().then(|| text.parse().ok()).flatten();
        let parsed = Self(parsed.ok_or_else(bad)?);
        if parsed.to_string() == text { Ok(parsed) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_text() {
        let time: Timestamp = "2026-11-27T18:34:55Z".parse().expect("a time");
        assert_eq!(time.unix_seconds(), 1_795_804_495);
        assert_eq!(Timestamp::from_unix_seconds(1_795_804_495), Some(time));
        assert_eq!(time.to_string(), "2026-11-27T18:34:55Z");
        assert_eq!(Timestamp::from_unix_seconds(u64::MAX), None);
        for text in [
            "",
            "2026-11-27",
            "2026-11-27T18:34:55",
            "2026-11-27t18:34:55z",
            "2026-11-27T18:34:60Z",
            "2026-02-30T00:00:00Z",
            "2026-11-27T18:34:55+00:00",
            "2026-11-27T18:34:55.0Z",
            "+026-11-27T18:34:55Z",
            "1969-12-31T23:59:59Z",
            "2026-11-27T18:34:5\u{e4}",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
