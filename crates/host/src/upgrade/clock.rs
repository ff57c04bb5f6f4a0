//! Whether the clock can be believed.

use std::time::{SystemTime, UNIX_EPOCH};

use sealpack_trust::timestamp::Timestamp;

use super::error::UpgradeError;

/// That the clock is not behind the time at which the seal of what runs was made: with a clock at 1970, say, no certificate
/// is valid yet, a server's nor a signer's.
///
/// # Errors
/// [`UpgradeError::ClockBehind`].
pub fn check_clock(now: SystemTime, sealed: Timestamp) -> Result<(), UpgradeError> {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match Timestamp::from_unix_seconds(seconds) {
        Some(now) if now < sealed => {
            Err(UpgradeError::ClockBehind { now: now.to_string(), sealed: sealed.to_string() })
        }
        _ => Ok(()),
    }
}
