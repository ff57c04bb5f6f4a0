//! What a sealed host is, as its kernel shows it: what it was booted from, and each hardening beside what the signed
//! command line says of it.
//!
//! What is looked at is read first ([`Seen`]); what it means is worked out from that alone ([`Status::of`]).

mod capabilities;
mod hardening;
mod running;
mod seen;
#[cfg(test)]
mod tests;

use sealpack_format::ObjectId;
use sealpack_format::boot::{
    BootParameters, BootReport, CommandLine, CommandLineError, KeptPolicy, RefusedBoot,
};

pub use hardening::{HardeningState, Shown};
pub use running::RunningImage;
pub use seen::{Asked, Seen, Unread};

/// The word of a command line that a sealed host has, and no other.
const IMAGE_WORD: &str = "sealpack.image=";

/// What a sealed host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What its command line says. The first process refuses any other than the signed one.
    pub boot: BootParameters,
    /// Each hardening, in their order.
    pub hardenings: Vec<HardeningState>,
    /// Whether the firmware checks signatures of what it starts; `None` where it does not tell.
    pub secure_boot: Option<bool>,
    /// Why the boot before, or one before that, was refused: text that the first process left.
    pub last_refused: Option<String>,
    /// When that was written, in seconds since 1970 by the clock of that start.
    pub refused_unix_seconds: Option<u64>,
    /// What the first process says of this start, where that can be read: who is root may have changed it.
    pub report: Option<BootReport>,
    /// The updates of the policy that are kept for the next boot, in their order.
    pub kept_policies: Vec<KeptPolicy>,
}

/// Why a host is not a sealed one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSealed {
    /// Its kernel was not told of an image.
    #[error("its kernel was started without {IMAGE_WORD}")]
    NoImage,
    /// The command line cannot be read.
    #[error("/proc/cmdline cannot be read: {0}")]
    Unread(Unread),
    /// A sealed host has no such command line.
    #[error("no sealed host has its command line: {0}")]
    CommandLine(#[from] CommandLineError),
    /// What is mounted as the root is not the image.
    #[error("the root is not mounted from the image {0} that its command line names")]
    OtherRoot(ObjectId),
}

impl Status {
    /// What was seen, judged. `root` is the image that the root is mounted from, if it is one.
    ///
    /// # Errors
    /// Where it is not a sealed host, why.
    pub fn of(seen: &Seen, root: Option<&ObjectId>) -> Result<Self, NotSealed> {
        let line = seen.command_line.as_ref().map_err(|why| NotSealed::Unread(why.clone()))?;
        if !line.split_ascii_whitespace().any(|word| word.starts_with(IMAGE_WORD)) {
            return Err(NotSealed::NoImage);
        }
        let boot = CommandLine::parse(line.as_bytes())?.boot().clone();
        if root != Some(&boot.image) {
            return Err(NotSealed::OtherRoot(boot.image));
        }
        let hardenings = hardening::all(seen, &boot.off);
        let secure_boot = seen.secure_boot.as_ref().ok().and_then(|bytes| flag_of(bytes));
        let refused = seen.refused.as_ref().ok().map(|text| text.trim().to_owned());
        let last_refused = refused.filter(|text| !text.is_empty());
        let refused_unix_seconds = seen.refused_unix_seconds.filter(|_| last_refused.is_some());
        let report = seen.report.as_ref().ok().and_then(|text| text.parse().ok());
        let kept_policies = seen.kept_policies.clone();
        Ok(Self { boot, hardenings, secure_boot, last_refused, refused_unix_seconds, report, kept_policies })
    }

    /// The boot that was refused last, taken apart; `None` where there is none, or its record is some other text.
    #[must_use]
    pub fn refused(&self) -> Option<RefusedBoot> {
        self.last_refused.as_ref().and_then(|text| text.parse().ok())
    }

    /// The hardenings that are not as the signed command line says: it wants them, and the kernel does not show them.
    pub fn lacking(&self) -> impl Iterator<Item = &HardeningState> {
        self.hardenings.iter().filter(|state| !state.is_as_signed())
    }
}

/// The value of a variable of the firmware's with one byte, as efivarfs shows it: behind four bytes of attributes
/// (Documentation/filesystems/efivarfs.rst).
fn flag_of(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [_, _, _, _, 0] => Some(false),
        [_, _, _, _, 1] => Some(true),
        _ => None,
    }
}
