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

/// What an index or a config says of a platform: all of it, a part, or nothing. What is not said contradicts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatedPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

/// How what is said of an image's platform goes with the one that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is one that serves; 0 is best.
    Distance(u32),
    /// Nothing that is said contradicts, but what is not said may be anything.
    Open,
    /// It is another one.
    Other,
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
        let (architecture, variant) = normalised(architecture, variant.unwrap_or_default());
        let usual = || (architecture == "arm").then(|| "v7".to_owned());
        Self { variant: variant.or_else(usual), architecture, os }
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

    /// How an image of which that is said would serve this platform; see [`distance`](Self::distance).
    #[must_use]
    pub fn fit(&self, offered: &StatedPlatform) -> Fit {
        let StatedPlatform { os, architecture, variant } = offered;
        let other = |said: &Option<String>, own: &str| said.as_ref().is_some_and(|said| said != own);
        if other(os, &self.os) || other(architecture, &self.architecture) {
            return Fit::Other;
        }
        match offered.platform() {
            None => Fit::Open,
            Some(platform) => match self.distance(&platform) {
                Some(distance) => Fit::Distance(distance),
                // A usual variant that is none that would do: nobody has said that it is that one.
                None if variant.is_none() => Fit::Open,
                None => Fit::Other,
            },
        }
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
}

impl StatedPlatform {
    /// What these names say, which may be the usual synonyms; empty ones say nothing.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let (architecture, variant) = normalised(architecture, variant);
        Self { os: said(os.to_ascii_lowercase()), architecture: said(architecture), variant }
    }

    /// The same with what `other` says where this says nothing. A variant belongs to its architecture.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let architecture = self.architecture.clone().or_else(|| other.architecture.clone());
        let is_its_own = architecture == other.architecture;
        let variant = other.variant.clone().filter(|_| is_its_own);
        Self {
            os: self.os.clone().or_else(|| other.os.clone()),
            architecture,
            variant: self.variant.clone().or(variant),
        }
    }

    /// The platform, of the usual variant where none is said; `None` unless operating system and architecture are.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        let (os, architecture) = (self.os.as_deref()?, self.architecture.as_deref()?);
        Some(Platform::new(os, architecture, self.variant.as_deref()))
    }

    /// Whether nothing is said.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.os.is_none() && self.architecture.is_none() && self.variant.is_none()
    }

    /// Whether it stands for something that is no image, as BuildKit's attestations do.
    pub(crate) fn is_unknown(&self) -> bool {
        [&self.os, &self.architecture].into_iter().any(|said| said.as_deref() == Some("unknown"))
    }

    /// As it stands in an index.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let said = [("os", &self.os), ("architecture", &self.architecture), ("variant", &self.variant)];
        let said =
            said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
        serde_json::Value::Object(said.collect())
    }
}

impl From<Platform> for StatedPlatform {
    fn from(platform: Platform) -> Self {
        let Platform { os, architecture, variant } = platform;
        Self { os: Some(os), architecture: Some(architecture), variant }
    }
}

impl FromStr for StatedPlatform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Platform>().map(Self::from)
    }
}

/// An architecture and its variant by their usual names. A variant that only says what every one of the architecture is
/// becomes none.
fn normalised(architecture: &str, variant: &str) -> (String, Option<String>) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = Some(variant.to_ascii_lowercase()).filter(|variant| !variant.is_empty());
    let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
        ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
        ("x86_64" | "x86-64", Some(variant)) => ("amd64", Some(variant)),
        ("i386" | "i686" | "x86", _) => ("386", None),
        ("aarch64" | "arm64", None | Some("8" | "v8" | "v8.0")) => ("arm64", None),
        ("aarch64", Some(variant)) => ("arm64", Some(variant)),
        ("armhf", _) | ("arm", Some("7")) => ("arm", Some("v7")),
        ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        ("loongarch64", variant) => ("loong64", variant),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.to_owned(), variant.map(str::to_owned))
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

    /// An index said arm/v6 and the config only arm: the image was called one for linux/arm/v7.
    #[test]
    fn what_is_not_said_contradicts_nothing() {
        let said =
            |os: &str, architecture: &str, variant: &str| StatedPlatform::new(os, architecture, variant);
        for (wanted, stated, fit) in [
            ("linux/arm/v6", said("linux", "arm", ""), Fit::Open),
            ("linux/arm/v5", said("linux", "arm", ""), Fit::Open),
            ("linux/arm/v7", said("linux", "arm", ""), Fit::Distance(0)),
            ("linux/arm/v6", said("linux", "arm", "v7"), Fit::Other),
            ("linux/arm64/v9", said("linux", "arm64", ""), Fit::Distance(1)),
            ("linux/riscv64/rva22u64", said("linux", "riscv64", ""), Fit::Open),
            ("linux/riscv64", said("linux", "riscv64", "rva22u64"), Fit::Other),
            ("linux/amd64", said("", "x86_64", ""), Fit::Open),
            ("linux/amd64", said("linux", "", ""), Fit::Open),
            ("linux/amd64", said("", "", ""), Fit::Open),
            ("linux/amd64", said("windows", "", ""), Fit::Other),
            ("linux/amd64", said("", "arm64", ""), Fit::Other),
        ] {
            assert_eq!(platform(wanted).fit(&stated), fit, "{wanted}, {stated:?}");
        }
        let index = said("linux", "arm", "v6");
        assert_eq!(said("linux", "arm", "").or(&index).platform(), Some(platform("linux/arm/v6")));
        assert_eq!(said("", "", "").or(&index).platform(), Some(platform("linux/arm/v6")));
        assert_eq!(said("linux", "arm64", "").or(&index).platform(), Some(platform("linux/arm64")));
        assert_eq!(said("", "arm", "").platform(), None);
        assert!(said("", "", "").is_nothing() && !said("", "", "v6").is_nothing());
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
