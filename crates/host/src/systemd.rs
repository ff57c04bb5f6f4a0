//! systemd's programs for firmware: which version of them does what a sealed host needs.

use std::fmt;

use sealpack_format::pe::Image;

use crate::version::is_at_least;

/// The first whose stub and boot loader were seen to do it; those of 252, Debian 12's, do not.
const LEAST: u32 = 257;

/// One of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirmwareProgram {
    /// What a UKI begins with.
    Stub,
    /// systemd-boot.
    BootLoader,
}

impl FirmwareProgram {
    /// What it calls itself.
    const fn name(self) -> &'static str {
        match self {
            Self::Stub => "systemd-stub",
            Self::BootLoader => "systemd-boot",
        }
    }

    /// That a program says it is this one, of a version that is new enough.
    ///
    /// # Errors
    /// [`UnfitProgram`].
    pub(crate) fn check(self, image: &Image<'_>) -> Result<(), UnfitProgram> {
        match image.section(".sdmagic").and_then(|magic| self.version(magic)) {
            Some(version) if is_at_least(&version, &[LEAST]) => Ok(()),
            Some(version) => Err(UnfitProgram::Old { version }),
            None => Err(UnfitProgram::Other { wanted: self }),
        }
    }

    /// The version in `#### LoaderInfo: systemd-stub 257.13-1~deb13u1 ####` (systemd's src/boot).
    fn version(self, magic: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(magic);
        let (_, rest) = text.split_once(&format!("LoaderInfo: {} ", self.name()))?;
        rest.split_whitespace().next().map(str::to_owned)
    }
}

impl fmt::Display for FirmwareProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a program for firmware is not the one that is needed: a phrase about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitProgram {
    /// Too old.
    #[error("is of systemd {version}, and a sealed host needs what is of {LEAST} or later")]
    Old {
        /// The version.
        version: String,
    },
    /// It does not say what it is.
    #[error("does not say which {wanted} it is")]
    Other {
        /// What it should be.
        wanted: FirmwareProgram,
    },
}
