//! Platforms: `linux/amd64`, `linux/arm/v7`; which one an index offers, which one is wanted.

use std::fmt;
use std::str::FromStr;

/// An operating system, an architecture and its variant, by Go's names and normalised as
/// containerd does: `linux/arm64`, not `linux/aarch64` or `linux/arm64/v8`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// A text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform: it must read OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, as linux/arm64")]
pub struct PlatformError(String);

impl Platform {
    /// The platform of these names, which may be the usual synonyms.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = os.to_ascii_lowercase();
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.filter(|variant| !variant.is_empty()).map(str::to_ascii_lowercase);
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
            ("x86_64" | "x86-64", Some(variant)) => ("amd64", Some(variant)),
            ("i386" | "i686" | "x86", _) => ("386", None),
            ("aarch64" | "arm64", None | Some("8" | "v8" | "v8.0")) => ("arm64", None),
            ("aarch64", Some(variant)) => ("arm64", Some(variant)),
            ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("arm", Some("8")) => ("arm", Some("v8")),
            ("loongarch64", variant) => ("loong64", variant),
            (architecture, variant) => (architecture, variant),
        };
        Self { architecture: architecture.to_owned(), variant: variant.map(str::to_owned), os }
    }

    /// The platform that this program was built for.
    #[must_use]
    pub fn host() -> Self {
        let little = cfg!(target_endian = "little");
        let (architecture, variant) = match std::env::consts::ARCH {
            "powerpc64" => (if little { "ppc64le" } else { "ppc64" }, None),
            "mips64" => (if little { "mips64le" } else { "mips64" }, None),
            "mips" => (if little { "mipsle" } else { "mips" }, None),
            "arm" if cfg!(target_feature = "v7") => ("arm", Some("v7")),
            "arm" => ("arm", Some("v6")),
            other => (other, None),
        };
        Self::new(std::env::consts::OS, architecture, variant)
    }

    /// The operating system, for example `linux`.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture, for example `amd64`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant, for example `v7`; `None` where it is the architecture's usual one.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// How well an image for `offered` serves this platform: 0 is best, `None` not at all.
    ///
    /// A newer variant of `arm`, `arm64` and `amd64` runs what was built for an older one; the
    /// nearest is best. Another architecture never serves, even if the processor could run it.
    #[must_use]
    pub fn distance(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        if self.variant == offered.variant {
            return Some(0);
        }
        let (oldest, usual) = match self.architecture.as_str() {
            "arm" => (5, 7),
            "arm64" => (8, 8),
            "amd64" => (1, 1),
            _ => return None,
        };
        let level = |platform: &Self| match platform.variant.as_deref() {
            None => Some(usual),
            Some(variant) => variant.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok(),
        };
        let (wanted, offered) = (level(self)?, level(offered)?);
        (oldest <= offered && offered <= wanted).then(|| wanted - offered)
    }

    /// Whether the platform stands for something that is no image, as BuildKit's attestations do.
    pub(crate) fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || PlatformError(text.chars().take(100).collect());
        let word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(word) {
            return Err(bad());
        }
        match parts[..] {
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn synonyms_are_one_platform() {
        for (text, canonical) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("Linux/ARM", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/i686", "linux/386"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(platform(text).to_string(), canonical);
        }
    }

    #[test]
    fn a_newer_variant_takes_the_nearest_older_one() {
        let distance = |wanted: &str, offered: &str| platform(wanted).distance(&platform(offered));
        assert_eq!(distance("linux/arm/v7", "linux/arm/v7"), Some(0));
        assert_eq!(distance("linux/arm/v7", "linux/arm/v6"), Some(1));
        assert_eq!(distance("linux/arm/v7", "linux/arm/v5"), Some(2));
        assert_eq!(distance("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(distance("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(distance("linux/arm64/v9", "linux/arm64"), Some(1));
        assert_eq!(distance("linux/amd64/v3", "linux/amd64"), Some(2));
        assert_eq!(distance("linux/amd64", "linux/amd64/v2"), None);
        assert_eq!(distance("linux/amd64", "linux/386"), None);
        assert_eq!(distance("linux/arm64", "linux/arm/v7"), None);
        assert_eq!(distance("linux/amd64", "windows/amd64"), None);
    }

    #[test]
    fn the_host_is_a_platform_of_linux() {
        assert_eq!(Platform::host().os(), "linux");
        assert_eq!(Platform::host().distance(&Platform::host()), Some(0));
    }

    #[test]
    fn what_is_no_platform_is_refused() {
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/ar m", "linux//v7"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
