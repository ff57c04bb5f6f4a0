//! For which devices a module is.

use std::fmt;
use std::str::FromStr;

use crate::glob;

/// Longer than any that depmod writes.
const MAX_BYTES: usize = 512;

/// What the names of devices look like that a driver is for, as `modules.alias` has it: `pci:v*d*sv*sd*bc01sc06i01*`. `*` is
/// anything, `?` a character, `[0-9a-c]` one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePattern(String);

impl DevicePattern {
    /// Whether a device has such a name: what is in the file `modalias` of its directory in sysfs.
    #[must_use]
    pub fn matches(&self, modalias: &str) -> bool {
        matches(self.0.as_bytes(), modalias.as_bytes())
    }
}

impl FromStr for DevicePattern {
    type Err = DevicePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_good = |byte: u8| byte.is_ascii_graphic();
        if text.is_empty() || text.len() > MAX_BYTES || !text.bytes().all(is_good) {
            return Err(DevicePatternError(text.chars().take(100).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DevicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern for the names of devices: it has 1 to {MAX_BYTES} characters of printable ASCII"
)]
pub struct DevicePatternError(String);

/// As fnmatch(3).
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    glob::fits(pattern, text, b'*', after_one)
}

/// What follows the first element of `pattern`, if that is one for `byte`.
fn after_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some(rest),
        b'[' => {
            let end = rest.iter().position(|end| *end == b']')?;
            let (class, rest) = rest.split_at_checked(end)?;
            glob::is_member(class, b'-', byte).then(|| rest.get(1..).unwrap_or_default())
        }
        literal => (*literal == byte).then_some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_for_the_devices_that_its_patterns_name() {
        for (pattern, modalias, expected) in [
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true),
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc08i02", false),
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4", true),
            ("virtio:d00000002v*", "virtio:d00000012v00001AF4", false),
            ("acpi*:LNRO0005:*", "acpi:LNRO0005:", true),
            (
                "cpu:type:x86,ven*fam*mod*:feature:*0094*",
                "cpu:type:x86,ven0000fam000Fmod006B:feature:,0000,0094,0095",
                true,
            ),
            ("xen:vbd", "xen:vbd", true),
            ("xen:vbd", "xen:vbd2", false),
            ("usb:v0[1-3a]?x", "usb:v02_x", true),
            ("usb:v0[1-3a]?x", "usb:va2_x", false),
            ("usb:v0[1-3a]?x", "usb:v0a_x", true),
            ("*a*b*c", "xxaxxbxxcxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("", "", true),
            ("*", "", true),
            ("a", "", false),
            ("[", "[", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), modalias.as_bytes()), expected, "{pattern} {modalias}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_does_not_take_forever() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!matches(pattern.as_bytes(), &[b'a'; 10_000]));
    }
}
