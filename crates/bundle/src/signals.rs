//! Signals by name and number (signal(7)), as images write them.

/// The numbers of signals on x86, ARM and most other processors.
const SIGNALS: [(&str, i32); 33] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The first signal that programs can use as they like: the C library keeps 32 and 33 for itself.
const RT_MIN: i32 = 34;

/// The last of them.
const RT_MAX: i32 = 64;

/// The signal that asks a program to end.
pub const TERMINATE: i32 = 15;

/// A word that is no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no signal: it has to be a name as SIGTERM or RTMIN+3, or a number from 1 to 64")]
pub struct SignalError(pub String);

/// The number of a signal by name, with or without `SIG`, or number.
///
/// # Errors
/// A word that is none.
pub fn parse(word: &str) -> Result<i32, SignalError> {
    number(word).filter(|number| (1..=RT_MAX).contains(number)).ok_or_else(|| SignalError(word.to_owned()))
}

fn number(word: &str) -> Option<i32> {
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return word.parse().ok();
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let offset = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i32>().ok()).flatten()
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => RT_MIN,
        (_, Some("")) => RT_MAX,
        (Some(rest), _) => RT_MIN.checked_add(offset(rest.strip_prefix('+')?)?)?,
        (_, Some(rest)) => RT_MAX.checked_sub(offset(rest.strip_prefix('-')?)?)?,
        _ => return None,
    };
    (RT_MIN..=RT_MAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (word, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGRTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-2", 62),
            ("sigwinch", 28),
            ("64", 64),
        ] {
            assert_eq!(parse(word), Ok(number), "{word}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for word in [
            "",
            "0",
            "65",
            "SIG",
            "SIGNOTHING",
            "RTMIN+31",
            "RTMIN+-1",
            "RTMIN+",
            "RTMAX-31",
            "-9",
            "99999999999",
        ] {
            assert_eq!(parse(word), Err(SignalError(word.to_owned())));
        }
    }
}
