//! How long a start may take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Unless the command line says otherwise, in seconds: several times what a start takes whose disk has a journal to replay.
const DEFAULT: u16 = 180;
/// Less than this, no machine needs.
const MIN: u16 = 10;
/// More than this, nobody waits.
const MAX: u16 = 3600;

/// How long the first process may take until the system is started: 10 to 3,600 whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(u16);

impl Deadline {
    /// The same as a span of time.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl Default for Deadline {
    /// 180 seconds.
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl FromStr for Deadline {
    type Err = DeadlineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let seconds = text.parse().ok().filter(|seconds| is_number && (MIN..=MAX).contains(seconds));
        seconds.map(Self).ok_or_else(|| DeadlineError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Deadline {
    /// The seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that says no time that a start may take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not how long a start may take: that is {MIN} to {MAX} seconds")]
pub struct DeadlineError(String);
