//! How far something is, and how long it will take yet.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::locked;
use crate::output::size;

/// How often it is told where no bars move.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// How much of what there is to read has been read.
pub(super) struct Pace(Mutex<State>);

struct State {
    total_bytes: u64,
    /// Was here before.
    resumed_bytes: u64,
    done_bytes: u64,
    since: Instant,
    told: Instant,
}

/// Where it stands.
pub(super) struct Standing {
    pub(super) done_bytes: u64,
    pub(super) total_bytes: u64,
    pub(super) left: Duration,
}

impl Pace {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State { total_bytes: 0, resumed_bytes: 0, done_bytes: 0, since: now, told: now }))
    }

    /// From now on there are so many bytes to read.
    pub(super) fn start(&self, total_bytes: u64) {
        let now = Instant::now();
        *locked(&self.0) = State { total_bytes, resumed_bytes: 0, done_bytes: 0, since: now, told: now };
    }

    /// So many of them were here.
    pub(super) fn resume(&self, bytes: u64) {
        let mut state = locked(&self.0);
        state.resumed_bytes = state.resumed_bytes.saturating_add(bytes);
    }

    /// More was read; answers where it stands when that has not been told for a while.
    pub(super) fn advance(&self, bytes: u64) -> Option<Standing> {
        locked(&self.0).advance(bytes, Instant::now())
    }
}

impl State {
    fn advance(&mut self, bytes: u64, now: Instant) -> Option<Standing> {
        self.done_bytes = self.done_bytes.saturating_add(bytes);
        if now.saturating_duration_since(self.told) < TELL_EVERY {
            return None;
        }
        self.told = now;
        let read = self.done_bytes.saturating_sub(self.resumed_bytes);
        let left_bytes = self.total_bytes.saturating_sub(self.done_bytes);
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        let left = Duration::try_from_secs_f64(seconds * left_bytes as f64 / read.max(1) as f64);
        Some(Standing {
            done_bytes: self.done_bytes,
            total_bytes: self.total_bytes,
            left: left.unwrap_or(Duration::MAX),
        })
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (done, total) = (size(self.done_bytes), size(self.total_bytes));
        write!(f, "{done} of {total}, about {} s left", self.left.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_what_was_read() {
        let since = Instant::now();
        let mut state = State { total_bytes: 1000, resumed_bytes: 200, done_bytes: 0, since, told: since };
        assert!(state.advance(300, since + Duration::from_secs(1)).is_none());
        let standing = state.advance(100, since + Duration::from_secs(10)).unwrap();
        // 200 of the 400 bytes were read in 10 seconds; 600 are missing.
        assert_eq!(standing.to_string(), "400 B of 1.0 kB, about 30 s left");
        assert!(state.advance(100, since + Duration::from_secs(11)).is_none());
    }
}
