//! What the firmware's variables say of the boot loader: which UKI it started, and what it is told to start.

use std::io;
use std::path::Path;

use super::error::FirmwareError;

/// Where efivarfs is (Documentation/filesystems/efivarfs.rst).
pub const VARIABLES: &str = "/sys/firmware/efi/efivars";
/// The vendor whose the boot loader's variables are (systemd's Boot Loader Interface).
const LOADER: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// What is in front of a value there: its attributes.
const ATTRIBUTES_BYTES: usize = 4;
/// Kept over a restart, for the boot loader, and for the system that runs.
const ATTRIBUTES: u32 = 1 | 2 | 4;
/// The variable by which an entry is the usual one.
const DEFAULT: &str = "LoaderEntryDefault";

/// What the boot loader's variables say (systemd's Boot Loader Interface); names are as they are there, of whatever case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoaderVariables {
    /// `LoaderEntrySelected`: the name that the UKI that runs had when it was chosen, with the tries that it had then.
    pub selected: Option<String>,
    /// `LoaderEntryOneShot`: a pattern of what is to be started next, once.
    pub one_shot: Option<String>,
    /// `LoaderEntryDefault`: a pattern of what is always started.
    pub default: Option<String>,
    /// `LoaderEntryLastBooted`, for the pattern `@saved`.
    pub last_booted: Option<String>,
}

impl LoaderVariables {
    /// Reads them below `directory`, [`VARIABLES`]; what is not there, or is no text, is `None`.
    ///
    /// # Errors
    /// A variable is there and cannot be read.
    pub fn read(directory: &Path) -> Result<Self, FirmwareError> {
        let read = |name: &'static str| {
            let path = directory.join(format!("{name}-{LOADER}"));
            match std::fs::read(&path) {
                Ok(bytes) => Ok(text(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(FirmwareError { name, doing: "read", source }),
            }
        };
        Ok(Self {
            selected: read("LoaderEntrySelected")?,
            one_shot: read("LoaderEntryOneShot")?,
            default: read(DEFAULT)?,
            last_booted: read("LoaderEntryLastBooted")?,
        })
    }
}

/// Makes what `pattern` fits the entry that is always started, or with `None` the best again. The firmware writes a
/// variable whole or not at all.
///
/// # Errors
/// What the system says: no EFI variables, not root, no room in the firmware's memory.
pub fn set_default(directory: &Path, pattern: Option<&str>) -> Result<(), FirmwareError> {
    let path = directory.join(format!("{DEFAULT}-{LOADER}"));
    let doing = if pattern.is_some() { "set" } else { "removed" };
    let failed = |source| FirmwareError { name: DEFAULT, doing, source };
    may_change(&path).map_err(failed)?;
    match pattern {
        // One call with attributes and value is one change (fs/efivarfs/file.c).
        Some(pattern) => std::fs::write(&path, value(pattern)).map_err(failed),
        None => match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(failed),
        },
    }
}

/// Takes off what keeps a variable from being changed by mistake (efivarfs.rst: all but a few are immutable).
fn may_change(path: &Path) -> io::Result<()> {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    match ioctl_getflags(&file) {
        Ok(flags) if flags.contains(IFlags::IMMUTABLE) => {
            Ok(ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?)
        }
        // A filesystem without such flags keeps nobody from anything.
        _ => Ok(()),
    }
}

/// UTF-16 with an end, behind attributes.
fn text(bytes: &[u8]) -> Option<String> {
    let units =
        bytes.get(ATTRIBUTES_BYTES..)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16(&units).ok().filter(|text| !text.is_empty())
}

fn value(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
    ATTRIBUTES.to_le_bytes().into_iter().chain(units).collect()
}

/// The pattern that the boot loader's own configuration has for what is always started (loader.conf(5)): the last counts.
#[must_use]
pub fn configured_default(loader_conf: &str) -> Option<String> {
    let value = |line: &str| {
        let (key, value) = line.trim().split_once([' ', '\t'])?;
        (key == "default").then(|| value.trim().to_owned())
    };
    loader_conf.lines().filter_map(value).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_set_read_and_removed() {
        let place = tempfile::tempdir().expect("a directory");
        assert_eq!(LoaderVariables::read(place.path()).expect("read"), LoaderVariables::default());
        set_default(place.path(), Some("sealed_7[.+][e1-9]*")).expect("set");
        let bytes = std::fs::read(place.path().join(format!("{DEFAULT}-{LOADER}"))).expect("the variable");
        assert_eq!(bytes[..8], [7, 0, 0, 0, b's', 0, b'e', 0]);
        assert_eq!(bytes[bytes.len() - 2..], [0, 0]);
        let read = LoaderVariables::read(place.path()).expect("read");
        assert_eq!(read.default.as_deref(), Some("sealed_7[.+][e1-9]*"));
        set_default(place.path(), None).expect("removed");
        set_default(place.path(), None).expect("removed again");
        assert_eq!(LoaderVariables::read(place.path()).expect("read"), LoaderVariables::default());
    }

    #[test]
    fn what_is_no_text_is_none() {
        for bytes in [&[][..], &[7, 0, 0, 0], &[7, 0, 0, 0, 0, 0], &[7, 0, 0, 0, 0, 0xd8, 0, 0]] {
            assert_eq!(text(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_configuration_may_name_an_entry() {
        assert_eq!(configured_default("timeout 0\neditor no\n"), None);
        assert_eq!(configured_default("#default a\ndefault  b*\n default\tc\n").as_deref(), Some("c"));
    }
}
