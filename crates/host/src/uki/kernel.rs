//! The kernel of an image: which there is, and whether it can keep a host sealed.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use sealpack_format::pe::{Image, PeError};

use crate::image::{ImageFileError, ImageFiles};

/// Where kernels have their modules, and some themselves.
const MODULES: &str = "/usr/lib/modules";
/// Where Debian has kernels and how they were configured.
const BOOT: &str = "/boot";

/// What a kernel must have been configured with, where its configuration tells: each with what it is for.
const NEEDED: [(&str, &str); 9] = [
    ("CONFIG_SECURITY_IPE", "IPE is what a sealed host is enforced with"),
    ("CONFIG_IPE_PROP_DM_VERITY_SIGNATURE", "policies cannot ask for signed devices"),
    ("CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG", "it does not check signatures of dm-verity devices"),
    ("CONFIG_EFI_STUB", "firmware cannot start it"),
    ("CONFIG_BLK_DEV_INITRD", "it has no initramfs"),
    ("CONFIG_RD_ZSTD", "it cannot unpack the initramfs"),
    ("CONFIG_DEVTMPFS", "its first process finds no devices"),
    ("CONFIG_SECURITYFS", "its first process cannot give policies to IPE"),
    ("CONFIG_SECCOMP_FILTER", "device-mapper cannot be kept from root"),
];

/// A kernel in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    version: String,
}

impl Kernel {
    /// The kernel of that version, or the newest.
    ///
    /// # Errors
    /// The image has none, or not that one.
    pub fn find(files: &ImageFiles<'_>, version: Option<&str>) -> Result<Self, KernelError> {
        let mut versions: Vec<String> = versions(files).into_iter().collect();
        versions.sort_by(|one, other| by_version(one, other));
        if let Some(asked) = version {
            if !versions.iter().any(|version| version == asked) {
                return Err(KernelError::NoSuch { asked: asked.to_owned(), versions });
            }
            return Ok(Self { version: asked.to_owned() });
        }
        versions.pop().map(|version| Self { version }).ok_or(KernelError::None)
    }

    /// Its version, as `uname -r` has it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where its modules are, and what depmod wrote about them.
    #[must_use]
    pub fn modules(&self) -> String {
        format!("{MODULES}/{}", self.version)
    }

    /// The kernel itself, which is a program that firmware can start.
    ///
    /// # Errors
    /// It is none, or cannot be read.
    pub fn read(&self, files: &ImageFiles<'_>) -> Result<Vec<u8>, KernelError> {
        let [path, other] = places(&self.version);
        let path = if files.has(&path) { path } else { other };
        let bytes = files.read(&path)?;
        let unfit = |source| KernelError::NotForFirmware { path: path.clone(), source };
        let image = Image::parse(&bytes).map_err(unfit)?;
        if !image.is_efi_application() {
            return Err(unfit(PeError::Kind { found: "for something else".to_owned() }));
        }
        Ok(bytes)
    }

    /// How it was configured, where the image tells.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn configuration(&self, files: &ImageFiles<'_>) -> Result<Option<Configuration>, KernelError> {
        for path in [format!("{BOOT}/config-{}", self.version), format!("{}/config", self.modules())] {
            if let Some(text) = files.find(&path)? {
                return Ok(Some(Configuration::parse(&String::from_utf8_lossy(&text), path)));
            }
        }
        Ok(None)
    }
}

fn places(version: &str) -> [String; 2] {
    [format!("{BOOT}/vmlinuz-{version}"), format!("{MODULES}/{version}/vmlinuz")]
}

/// The versions of which there is a kernel.
fn versions(files: &ImageFiles<'_>) -> BTreeSet<String> {
    let in_boot = files.names(BOOT).filter_map(|name| name.strip_prefix("vmlinuz-"));
    let with_modules = files.names(MODULES);
    let with_modules = with_modules.filter(|version| files.has(&format!("{MODULES}/{version}/vmlinuz")));
    in_boot.chain(with_modules).map(str::to_owned).collect()
}

/// Numbers are compared as numbers, what is between them byte by byte; `~` comes before the end, as in `6.12~rc1`.
fn by_version(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while !one.is_empty() || !other.is_empty() {
        let order = |byte: &u8| match byte {
            b'~' => 0,
            b'-' => 2,
            byte => u16::from(*byte) + 3,
        };
        let (first, second) =
            (take(&mut one, |byte| !byte.is_ascii_digit()), take(&mut other, |byte| !byte.is_ascii_digit()));
        let ranks = |text: &[u8]| text.iter().map(order).chain([1]).collect::<Vec<_>>();
        let found = ranks(first).cmp(&ranks(second)).then_with(|| {
            let (first, second) = (take(&mut one, u8::is_ascii_digit), take(&mut other, u8::is_ascii_digit));
            let number = |digits: &[u8]| {
                digits.iter().skip_while(|digit| **digit == b'0').copied().collect::<Vec<_>>()
            };
            let (first, second) = (number(first), number(second));
            first.len().cmp(&second.len()).then_with(|| first.cmp(&second))
        });
        if found != Ordering::Equal {
            return found;
        }
    }
    Ordering::Equal
}

/// The bytes at the beginning for which `is` holds.
fn take<'a>(text: &mut &'a [u8], is: impl Fn(&u8) -> bool) -> &'a [u8] {
    let length = text.iter().position(|byte| !is(byte)).unwrap_or(text.len());
    let (taken, rest) = text.split_at(length);
    *text = rest;
    taken
}

/// How a kernel was configured: the file that its makers put beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    path: String,
    options: HashMap<String, String>,
}

impl Configuration {
    fn parse(text: &str, path: String) -> Self {
        let options =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
        let options =
            options.map(|(name, value)| (name.to_owned(), value.trim().trim_matches('"').to_owned()));
        Self { path, options: options.collect() }
    }

    /// Whether an option is built in.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "y")
    }

    /// Checks that the kernel can keep a host sealed: with modules that it decompresses itself, if they are, and with IPE
    /// among the security modules, unless `lsm=` says which those are.
    ///
    /// # Errors
    /// The first option that is missing.
    pub fn check(&self, has_compressed_modules: bool, names_modules: bool) -> Result<(), KernelError> {
        let decompress =
            ("CONFIG_MODULE_DECOMPRESS", "its modules are compressed, and it cannot decompress them");
        let needed = NEEDED.into_iter().chain(has_compressed_modules.then_some(decompress));
        for (option, why) in needed {
            if !self.has(option) {
                return Err(KernelError::Without { option, why, path: self.path.clone() });
            }
        }
        let order = self.options.get("CONFIG_LSM").map(String::as_str).unwrap_or_default();
        if !names_modules && !order.split(',').any(|module| module == "ipe") {
            return Err(KernelError::IpeNotUsed { order: order.to_owned(), path: self.path.clone() });
        }
        Ok(())
    }
}

/// Why a kernel cannot start a sealed host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// There is none.
    #[error("the image has no kernel: neither {BOOT}/vmlinuz-VERSION nor {MODULES}/VERSION/vmlinuz")]
    None,
    /// There are others.
    #[error("the image has no kernel {asked:?}, but {}", one_of(versions))]
    NoSuch {
        /// The version that was asked for.
        asked: String,
        /// Those that are there.
        versions: Vec<String>,
    },
    /// Firmware cannot start it.
    #[error("{path} is not a kernel that firmware can start: {source}")]
    NotForFirmware {
        /// The kernel's file.
        path: String,
        /// What is wrong with it.
        source: PeError,
    },
    /// It was configured without something.
    #[error("the kernel was built without {option} ({path}): {why}")]
    Without {
        /// The option.
        option: &'static str,
        /// What that means.
        why: &'static str,
        /// The file that says so.
        path: String,
    },
    /// IPE is there and does nothing.
    #[error("the kernel has IPE, but does not use it: CONFIG_LSM is {order:?} ({path})")]
    IpeNotUsed {
        /// The security modules.
        order: String,
        /// The file that says so.
        path: String,
    },
    /// A file of the image.
    #[error(transparent)]
    File(#[from] ImageFileError),
}

fn one_of(versions: &[String]) -> String {
    if versions.is_empty() { "none at all".to_owned() } else { versions.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_of_two_kernels_has_the_higher_numbers() {
        let ordered = [
            "6.1.0-41-amd64",
            "6.12~rc1",
            "6.12",
            "6.12.9-amd64",
            "6.12.90+deb13-amd64",
            "6.12.117+deb13-amd64",
            "6.12.117+deb13-cloud-amd64",
            "7.3.4+deb13-cloud-amd64",
        ];
        for (index, one) in ordered.iter().enumerate() {
            for (other_index, other) in ordered.iter().enumerate() {
                assert_eq!(by_version(one, other), index.cmp(&other_index), "{one} {other}");
            }
        }
    }

    #[test]
    fn a_kernel_that_cannot_keep_a_host_sealed_says_why() {
        let all: String = NEEDED.iter().map(|(option, _)| format!("{option}=y\n")).collect();
        let check = |text: &str, compressed, named| {
            let configuration = Configuration::parse(text, "/boot/config".to_owned());
            configuration.check(compressed, named).map_err(|error| error.to_string())
        };
        let good = format!("# comment\n{all}CONFIG_LSM=\"yama,bpf,ipe\"\n");
        assert_eq!(check(&good, false, false), Ok(()));
        let said = check(&good, true, false).unwrap_err();
        assert!(
            said.starts_with("the kernel was built without CONFIG_MODULE_DECOMPRESS (/boot/config)"),
            "{said}"
        );
        let without = good.replace("CONFIG_SECURITY_IPE=y", "# CONFIG_SECURITY_IPE is not set");
        let said = check(&without, false, false).unwrap_err();
        assert!(said.starts_with("the kernel was built without CONFIG_SECURITY_IPE"), "{said}");
        let unused = good.replace(",ipe", "");
        let said = check(&unused, false, false).unwrap_err();
        assert!(said.contains("does not use it: CONFIG_LSM is \"yama,bpf\""), "{said}");
        assert_eq!(check(&unused, false, true), Ok(()));
    }
}
