//! How much an image may take.

use sealpack_oci::budget::{Limit, Limits};

/// How much an image may take. What real images take is far below the defaults.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct LimitArgs {
    /// The most that the image's layers may unpack to together, such as 200GiB [default: 64GiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_unpacked: Option<u64>,
    /// The most members that the image's layers may have together [default: 5000000].
    #[arg(long, value_name = "NUMBER")]
    max_members: Option<u64>,
    /// The most that the records of the image's layers may take together in the store [default: 512MiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_records: Option<u64>,
    /// The most memory that the image's names and attributes may take [default: 1GiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,
}

impl LimitArgs {
    pub(crate) fn limits(self) -> Limits {
        let usual = Limits::USUAL;
        Limits {
            unpacked_bytes: self.max_unpacked.unwrap_or(usual.unpacked_bytes),
            members: self.max_members.unwrap_or(usual.members),
            record_bytes: self.max_records.unwrap_or(usual.record_bytes),
            memory_bytes: self.max_memory.unwrap_or(usual.memory_bytes),
        }
    }
}

/// The option that raises a limit.
pub(crate) const fn option_of(limit: Limit) -> &'static str {
    match limit {
        Limit::Unpacked => "--max-unpacked",
        Limit::Members => "--max-members",
        Limit::Records => "--max-records",
        Limit::Memory => "--max-memory",
    }
}

/// A number of bytes: `1000`, `64KiB`. Units are those of 1024; `GB`, which some mean otherwise, is not taken.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32); 9] = [
        ("KiB", 10),
        ("MiB", 20),
        ("GiB", 30),
        ("TiB", 40),
        ("K", 10),
        ("M", 20),
        ("G", 30),
        ("T", 40),
        ("B", 0),
    ];
    let unit = UNITS.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, *bits)));
    let (number, bits) = unit.unwrap_or((text, 0));
    let number: Option<u64> = number.trim_end().parse().ok();
    number.and_then(|number| number.checked_mul(1 << bits)).ok_or_else(|| {
        "a size is a whole number of bytes, or of KiB, MiB, GiB or TiB, such as 64GiB".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        for (text, bytes) in
            [("0", 0), ("1000", 1000), ("10B", 10), ("64KiB", 65_536), ("1 GiB", 1 << 30), ("2T", 2 << 40)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "1.5GiB", "-1", "1GB", "1gib", "16777216TiB", "99999999999999999999"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
