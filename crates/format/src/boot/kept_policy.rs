//! Updates of the policy that a sealed host keeps over a reboot, by the names of their files.

use std::fmt;

/// What the name of each ends with.
const ENDING: &str = ".p7b";

/// A kept update: which policy, and its version. The file is called `NAME-A.B.C.p7b`, in the directory
/// [`POLICIES`](super::data::POLICIES) of the data partition; what counts is what is signed in it.
///
/// Versions of one name are in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeptPolicy {
    name: String,
    version: [u16; 3],
}

impl KeptPolicy {
    /// That of a policy; `None` where no file can be called so.
    #[must_use]
    pub fn new(name: &str, version: [u16; 3]) -> Option<Self> {
        let kept = Self { name: name.to_owned(), version };
        let file_name = kept.file_name();
        (Self::parse(&file_name) == Some(kept.clone())).then_some(kept)
    }

    /// What the name of a file says; `None` where it is not one of these.
    #[must_use]
    pub fn parse(file_name: &str) -> Option<Self> {
        // NAME_MAX of Linux.
        if file_name.len() > 255 {
            return None;
        }
        let (name, version) = file_name.strip_suffix(ENDING)?.rsplit_once('-')?;
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b'#';
        // What begins with a dot is not whole yet.
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) {
            return None;
        }
        let mut numbers = version.split('.');
        let mut next = || {
            let text = numbers.next()?;
            let number: u16 = text.parse().ok()?;
            (number.to_string() == text).then_some(number)
        };
        let version = [next()?, next()?, next()?];
        numbers.next().is_none().then(|| Self { name: name.to_owned(), version })
    }

    /// The file's name.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{self}{ENDING}")
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> [u16; 3] {
        self.version
    }

    /// Of files with these names, the update of the policy `name` that has the highest version.
    pub fn highest<'n>(name: &str, file_names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        file_names.into_iter().filter_map(Self::parse).filter(|kept| kept.name == name).max()
    }
}

/// As `NAME-A.B.C`.
impl fmt::Display for KeptPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, revision] = self.version;
        write!(f, "{}-{major}.{minor}.{revision}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_which_policy_and_version() {
        let kept = KeptPolicy::parse("my-host-1.10.65535.p7b").unwrap();
        assert_eq!((kept.name(), kept.version()), ("my-host", [1, 10, 65535]));
        assert_eq!(kept.file_name(), "my-host-1.10.65535.p7b");
        assert_eq!(KeptPolicy::new("my-host", [1, 10, 65535]), Some(kept));
    }

    #[test]
    fn what_no_update_is_called_is_none() {
        for name in [
            "",
            ".p7b",
            "-1.0.0.p7b",
            "host-1.0.0",
            "host-1.0.0.p7b.tmp",
            ".host-1.0.0.p7b",
            "host-1.0.p7b",
            "host-1.0.0.0.p7b",
            "host-1.0.65536.p7b",
            "host-1.0.00.p7b",
            "host-+1.0.0.p7b",
            "host-1.0.-1.p7b",
            "../host-1.0.0.p7b",
            "ho st-1.0.0.p7b",
            "höst-1.0.0.p7b",
        ] {
            assert_eq!(KeptPolicy::parse(name), None, "{name:?}");
        }
        assert_eq!(KeptPolicy::new("a/b", [1, 0, 0]), None);
        assert_eq!(KeptPolicy::new(&"n".repeat(246), [1, 0, 0]), None);
        assert!(KeptPolicy::new(&"n".repeat(245), [1, 0, 0]).is_some());
    }

    #[test]
    fn the_highest_is_by_numbers_and_of_the_policy_that_is_asked_for() {
        let names =
            ["host-0.9.0.p7b", "host-0.10.0.p7b", "other-9.0.0.p7b", "host-10.p7b", ".host-99.0.0.p7b"];
        assert_eq!(KeptPolicy::highest("host", names).unwrap().file_name(), "host-0.10.0.p7b");
        assert_eq!(KeptPolicy::highest("nosuch", names), None);
    }
}
