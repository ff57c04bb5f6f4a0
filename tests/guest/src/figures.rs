//! Samples that a check prints into the log, for `cargo xtask bench` to read.

use anyhow::{Context, Result};
use std::time::Duration;

/// What is mounted by `figure_enforced_mount`, and how.
pub const KINDS: [&str; 3] = [
    "sealpack mount --require enforced",
    "EROFS on loop devices, and overlay, by hand",
    "the same on signed dm-verity devices, by hand",
];

const MARK: &str = "SAMPLES ";

/// The line of the log that has the samples of what is called `name`.
pub fn line(name: &str, samples: &[Duration]) -> String {
    let micros: Vec<String> = samples.iter().map(|sample| sample.as_micros().to_string()).collect();
    format!("{MARK}{name}: {}", micros.join(" "))
}

/// The samples of what is called `name` in a log.
///
/// # Errors
/// If they are not there, or not whole.
pub fn samples(log: &str, name: &str) -> Result<Vec<Duration>> {
    let rest = |line: &'_ str| -> Option<String> {
        let samples = line.trim_end().strip_prefix(MARK)?.strip_prefix(name)?.strip_prefix(": ")?;
        Some(samples.to_owned())
    };
    let text = log.lines().find_map(rest).with_context(|| format!("no samples of {name}"))?;
    let micros = text.split(' ').map(|word| Ok(Duration::from_micros(word.parse()?)));
    micros.collect::<Result<_>>().with_context(|| format!("samples of {name}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_as_they_were_written() {
        let times = [Duration::from_micros(31_200), Duration::from_micros(7)];
        let log =
            format!("[ 1.0] kernel\n{}\r\n{}\n", line("ours", &times), line("ours by hand", &times[1..]));
        assert_eq!(samples(&log, "ours").unwrap(), times);
        assert_eq!(samples(&log, "ours by hand").unwrap(), times[1..]);
        assert!(samples(&log, "theirs").is_err());
        assert!(samples("SAMPLES ours: 31 [ 1.0] kernel", "ours").is_err());
    }
}
