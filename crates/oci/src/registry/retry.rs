//! When to try again: back-off with chance, and `Retry-After` (RFC 9110, section 10.2.3).

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::options::RetryPolicy;

impl RetryPolicy {
    /// The wait before repetition number `repetition`, counted from 1.
    pub(super) fn delay(&self, repetition: u32, retry_after: Option<Duration>) -> Duration {
        if let Some(wait) = retry_after {
            // So that clients that were sent away together do not come back together.
            return wait + self.first_delay.mul_f64(chance());
        }
        let doubled = 2_u32.checked_pow(repetition.saturating_sub(1)).unwrap_or(u32::MAX);
        let full = self.first_delay.saturating_mul(doubled).min(self.longest_delay);
        full.mul_f64(1.0 - chance() / 2.0)
    }
}

/// A number from 0 to 1. The standard library's hash keys are random, and good enough for this.
fn chance() -> f64 {
    let random = u32::try_from(RandomState::new().build_hasher().finish() >> 32).unwrap_or_default();
    f64::from(random) / f64::from(u32::MAX)
}

/// The wait that a `Retry-After` header asks for: seconds, or a date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean a wait that nobody waits for.
        return Some(Duration::from_secs(value.parse::<u32>().unwrap_or(u32::MAX).into()));
    }
    let date = http_date(value)?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form of HTTP's dates that may be sent (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = text.split_once(", ")?;
    let fields: Vec<&str> = date.split(' ').collect();
    let [day, month, year, time, "GMT"] = fields[..] else { return None };
    let number = |digits: &str, length: usize| -> Option<u64> {
        (digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok())
            .flatten()
    };
    let (day, year) = (number(day, 2)?, number(year, 4)?);
    let month = u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let clock: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = clock[..] else { return None };
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 || year < 1970 {
        return None;
    }
    // Days since 1970 by counting years from March, so that the leap day comes last.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = (365 * shifted_year + leap_days + day_of_year).checked_sub(719_468)?;
    Some(UNIX_EPOCH + Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn http_dates_are_seconds_since_1970() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(at(784_111_777)));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(at(0)));
        assert_eq!(http_date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(at(1_709_251_199)));
        assert_eq!(http_date("Fri, 01 Mar 2024 00:00:00 GMT"), Some(at(1_709_251_200)));
        for bad in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 01 Jan 1969 00:00:00 GMT",
        ] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = at(784_111_777);
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("99999999999999", now), Some(Duration::from_secs(u32::MAX.into())));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:00 GMT", now), Some(Duration::from_secs(23)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }

    #[test]
    fn delays_double_up_to_a_limit_and_differ_by_chance() {
        let policy = RetryPolicy::default();
        for (repetition, full_ms) in [(1, 500), (2, 1000), (3, 2000), (6, 15_000), (60, 15_000)] {
            let delay = policy.delay(repetition, None);
            assert!(delay <= Duration::from_millis(full_ms) && delay >= Duration::from_millis(full_ms / 2));
        }
        let wait = policy.delay(1, Some(Duration::from_secs(9)));
        assert!(wait >= Duration::from_secs(9) && wait <= Duration::from_millis(9500));
        let delays: std::collections::BTreeSet<_> = (0..20).map(|_| policy.delay(3, None)).collect();
        assert!(delays.len() > 1);
    }
}
