//! The options of `mount.composefs -o`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use sealpack_format::ObjectId;
use sealpack_kernel::mount::MountAttributes;

/// How far files must have the digests that the image states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verity {
    /// Nothing is checked.
    #[default]
    Off,
    /// As [`Require`](Self::Require) if the kernel can, otherwise as [`Off`](Self::Off).
    Try,
    /// A file without a digest, or with another one, cannot be opened.
    Require,
}

/// Where an overlay takes changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writable {
    /// The directory with the changes.
    pub upper: PathBuf,
    /// An empty directory on the same filesystem.
    pub work: PathBuf,
}

/// What is to be mounted how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountOptions {
    /// Directories with objects; the first that has one counts. At least one.
    pub objects: Vec<PathBuf>,
    /// The fs-verity digest that the image file must have.
    pub digest: Option<ObjectId>,
    /// What is asked of the objects.
    pub verity: Verity,
    /// Where changes go.
    pub writable: Option<Writable>,
    /// A file of the user namespace whose map of owners is used.
    pub idmap: Option<PathBuf>,
    /// What the mount forbids.
    pub attributes: MountAttributes,
}

/// What is wrong with options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// An option that needs a value has none.
    #[error("No value specified for {0} option")]
    NoValue(&'static str),
    /// An unknown option.
    #[error("Unsupported option {0}")]
    Unsupported(String),
    /// An empty part of `basedir`.
    #[error("Value for basedir option has incorrect format")]
    BaseDirectory,
    /// No `basedir`.
    #[error("No object dirs specified")]
    NoObjects,
    /// One of `upperdir` and `workdir`.
    #[error("Both workdir and upperdir must be specified if used")]
    HalfWritable,
    /// A digest that cannot be.
    #[error("The digest {0:?} is not one of 64 or 128 hex digits")]
    Digest(String),
}

impl MountOptions {
    /// Parses options separated by commas. A backslash before a character in a value takes its
    /// meaning from it: `basedir=/a\,b` is one directory. Of options that contradict each other the
    /// last counts.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &OsStr) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let (mut upper, mut work) = (None, None);
        let mut tries = false;
        for (key, value) in split(text.as_bytes()) {
            let path = |name| match &value {
                Some(value) => Ok(PathBuf::from(OsString::from_vec(value.clone()))),
                None => Err(OptionError::NoValue(name)),
            };
            match key {
                b"basedir" => options.objects = base_directories(value.as_deref())?,
                b"digest" => options.digest = Some(digest(value.as_deref())?),
                b"verity" => options.verity = Verity::Require,
                b"tryverity" => tries = true,
                b"upperdir" => upper = Some(path("upperdir")?),
                b"workdir" => work = Some(path("workdir")?),
                b"idmap" => options.idmap = Some(path("idmap")?),
                key => set_attribute(&mut options.attributes, key)?,
            }
        }
        if options.objects.is_empty() {
            return Err(OptionError::NoObjects);
        }
        options.writable = match (upper, work) {
            (Some(upper), Some(work)) => Some(Writable { upper, work }),
            (None, None) => None,
            _ => return Err(OptionError::HalfWritable),
        };
        if options.digest.is_some() {
            options.verity = Verity::Require;
        } else if tries && options.verity == Verity::Off {
            options.verity = Verity::Try;
        }
        Ok(options)
    }
}

fn set_attribute(attributes: &mut MountAttributes, key: &[u8]) -> Result<(), OptionError> {
    let (field, value) = match key {
        b"ro" => (&mut attributes.read_only, true),
        b"rw" => (&mut attributes.read_only, false),
        b"nosuid" => (&mut attributes.nosuid, true),
        b"suid" => (&mut attributes.nosuid, false),
        b"nodev" => (&mut attributes.nodev, true),
        b"dev" => (&mut attributes.nodev, false),
        b"noexec" => (&mut attributes.noexec, true),
        b"exec" => (&mut attributes.noexec, false),
        _ => return Err(OptionError::Unsupported(key.escape_ascii().to_string())),
    };
    *field = value;
    Ok(())
}

fn base_directories(value: Option<&[u8]>) -> Result<Vec<PathBuf>, OptionError> {
    let value = value.ok_or(OptionError::NoValue("basedir"))?;
    if value.is_empty() {
        return Err(OptionError::BaseDirectory);
    }
    let parts = value.split(|byte| *byte == b':');
    parts
        .map(|part| match part {
            b"" => Err(OptionError::BaseDirectory),
            part => Ok(PathBuf::from(OsStr::from_bytes(part))),
        })
        .collect()
}

fn digest(value: Option<&[u8]>) -> Result<ObjectId, OptionError> {
    let value = value.ok_or(OptionError::NoValue("digest"))?;
    let text = String::from_utf8_lossy(value);
    text.to_ascii_lowercase().parse().map_err(|_| OptionError::Digest(text.into_owned()))
}

/// Keys and values, the latter unescaped.
fn split(text: &[u8]) -> Vec<(&[u8], Option<Vec<u8>>)> {
    let mut options = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = 0;
        while end < rest.len() && rest[end] != b',' {
            end += if rest[end] == b'\\' && end + 1 < rest.len() { 2 } else { 1 };
        }
        let option = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        options.push(match option.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&option[..equals], Some(unescaped(&option[equals + 1..]))),
            None => (option, None),
        });
    }
    options
}

fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut bytes = value.iter();
    let mut result = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => result.extend(bytes.next()),
            byte => result.push(*byte),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MountOptions, String> {
        MountOptions::parse(OsStr::new(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_is_taken() {
        let digest = "ab".repeat(32);
        let text = format!(
            "basedir=/a\\,b\\\\:/c,digest={digest},upperdir=/u,workdir=/w,idmap=/proc/1/ns/user,ro,nosuid,nodev,noexec"
        );
        let expected = MountOptions {
            objects: vec!["/a,b\\".into(), "/c".into()],
            digest: Some(digest.parse().unwrap()),
            verity: Verity::Require,
            writable: Some(Writable { upper: "/u".into(), work: "/w".into() }),
            idmap: Some("/proc/1/ns/user".into()),
            attributes: MountAttributes { read_only: true, nosuid: true, nodev: true, noexec: true },
        };
        assert_eq!(parse(&text), Ok(expected));
    }

    #[test]
    fn of_contradictions_the_last_counts_and_verity_is_at_least_what_is_asked() {
        let read_only = |text: &str| parse(text).unwrap().attributes.read_only;
        assert!(!read_only("basedir=/a"));
        assert!(!read_only("ro,rw,basedir=/a"));
        assert!(read_only("basedir=/a,rw,ro"));
        let attributes = parse("basedir=/a,nosuid,suid,nodev,dev,noexec,exec").unwrap().attributes;
        assert_eq!(attributes, MountAttributes::default());
        let verity = |text: &str| parse(text).unwrap().verity;
        assert_eq!(verity("basedir=/a"), Verity::Off);
        assert_eq!(verity("basedir=/a,tryverity"), Verity::Try);
        assert_eq!(verity("basedir=/a,verity,tryverity"), Verity::Require);
        let digest = "cd".repeat(32);
        assert_eq!(verity(&format!("digest={digest},tryverity,basedir=/a")), Verity::Require);
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_c_tool() {
        for name in ["basedir", "digest", "upperdir", "workdir", "idmap"] {
            assert_eq!(parse(name), Err(format!("No value specified for {name} option")));
        }
        assert_eq!(parse("basedir=/a,bogus=1"), Err("Unsupported option bogus".into()));
        assert_eq!(parse("rw"), Err("No object dirs specified".into()));
        assert_eq!(parse(""), Err("No object dirs specified".into()));
        for value in ["", "/a::/b", ":/a", "/a:"] {
            let error = "Value for basedir option has incorrect format".into();
            assert_eq!(parse(&format!("basedir={value}")), Err(error));
        }
        for half in ["upperdir=/u", "workdir=/w"] {
            let error = "Both workdir and upperdir must be specified if used".into();
            assert_eq!(parse(&format!("basedir=/a,{half}")), Err(error));
        }
        let error = "The digest \"xyz\" is not one of 64 or 128 hex digits".into();
        assert_eq!(parse("basedir=/a,digest=xyz"), Err(error));
    }
}
