//! What a container may use.

use std::str::FromStr;

/// The least memory that container engines let a limit have: the kernel kills what has less before it starts.
const MEMORY_MIN_BYTES: i64 = 6 * 1024 * 1024;

/// The time in which processors are shared out, in microseconds (cgroup-v1/cpu, `cpu.cfs_period_us`; v2 `cpu.max`).
pub const PERIOD_MICROSECONDS: u64 = 100_000;

/// The processes that a container may have unless something else is wanted, as with podman.
const PROCESSES: i64 = 2048;

/// What a container may use; nothing said is no limit, but for processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Its memory.
    pub memory: Option<Memory>,
    /// The time of processors.
    pub cpus: Option<Cpus>,
    /// Its processes and threads.
    pub processes: Processes,
}

/// An amount of memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory(i64);

/// A number of processors, in microseconds of [`PERIOD_MICROSECONDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(i64);

/// A number of processes, or any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processes(Option<i64>);

/// A limit that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// No amount of memory.
    #[error(
        "{0:?} is no amount of memory: it has to be a number of at least 6m, with b, k, m or g behind it or in bytes"
    )]
    Memory(String),
    /// No number of processors.
    #[error("{0:?} is no number of processors: it has to be one as 2 or 0.5, from 0.01 on")]
    Cpus(String),
    /// No number of processes.
    #[error("{0:?} is no number of processes: it has to be one from 1 on, or `unlimited`")]
    Processes(String),
}

impl Memory {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> i64 {
        self.0
    }
}

impl Cpus {
    /// In microseconds of each period.
    #[must_use]
    pub const fn quota(self) -> i64 {
        self.0
    }
}

impl Processes {
    /// As many as may be.
    #[must_use]
    pub const fn limit(self) -> Option<i64> {
        self.0
    }
}

impl Default for Processes {
    fn default() -> Self {
        Self(Some(PROCESSES))
    }
}

impl FromStr for Memory {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || LimitError::Memory(text.to_owned());
        let lower = text.to_ascii_lowercase();
        let (digits, unit) = match lower.char_indices().find(|(_, character)| !character.is_ascii_digit()) {
            Some((end, _)) => lower.split_at(end),
            None => (lower.as_str(), ""),
        };
        let unit: i64 = match unit {
            "" | "b" => 1,
            "k" | "kib" => 1024,
            "m" | "mib" => 1024 * 1024,
            "g" | "gib" => 1024 * 1024 * 1024,
            _ => return Err(error()),
        };
        let bytes = digits.parse::<i64>().ok().and_then(|number| number.checked_mul(unit));
        bytes.filter(|bytes| *bytes >= MEMORY_MIN_BYTES).map(Self).ok_or_else(error)
    }
}

impl FromStr for Cpus {
    type Err = LimitError;

    /// Decimal digits, with a point among them perhaps; counted in hundredths of a processor at least.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || LimitError::Cpus(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Five digits are the microseconds of a period of 100,000.
        if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 5 {
            return Err(error());
        }
        let whole = whole.parse::<i64>().ok().and_then(|number| number.checked_mul(100_000));
        let fraction = format!("{fraction:0<5}").parse::<i64>().ok();
        let quota = whole.and_then(|whole| whole.checked_add(fraction?));
        // The kernel refuses less than a millisecond.
        quota.filter(|quota| *quota >= 1000).map(Self).ok_or_else(error)
    }
}

impl FromStr for Processes {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if matches!(text, "unlimited" | "max" | "-1" | "0") {
            return Ok(Self(None));
        }
        let number = text.parse::<i64>().ok().filter(|number| *number > 0);
        number.map(|number| Self(Some(number))).ok_or_else(|| LimitError::Processes(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_units_of_1024() {
        for (text, bytes) in
            [("6m", 6_291_456), ("512M", 536_870_912), ("2g", 2_147_483_648), ("7000000", 7_000_000)]
        {
            assert_eq!(text.parse::<Memory>().map(Memory::bytes), Ok(bytes), "{text}");
        }
        for text in ["", "m", "5m", "-6m", "1.5g", "6mm", "6mb", "99999999999g", "6 m"] {
            assert_eq!(text.parse::<Memory>(), Err(LimitError::Memory(text.to_owned())));
        }
    }

    #[test]
    fn processors_may_be_fractions() {
        for (text, quota) in
            [("1", 100_000), ("0.5", 50_000), ("2.25", 225_000), ("0.01", 1000), ("1.00001", 100_001)]
        {
            assert_eq!(text.parse::<Cpus>().map(Cpus::quota), Ok(quota), "{text}");
        }
        for text in ["", "0", "0.001", ".5", "1.", "-1", "1e3", "1.000001", "99999999999999999999"] {
            assert_eq!(text.parse::<Cpus>(), Err(LimitError::Cpus(text.to_owned())));
        }
    }

    #[test]
    fn processes_are_limited_unless_that_is_not_wanted() {
        assert_eq!(Processes::default().limit(), Some(2048));
        assert_eq!("100".parse::<Processes>().map(Processes::limit), Ok(Some(100)));
        assert_eq!("unlimited".parse::<Processes>().map(Processes::limit), Ok(None));
        assert!("-2".parse::<Processes>().is_err() && "many".parse::<Processes>().is_err());
    }
}
