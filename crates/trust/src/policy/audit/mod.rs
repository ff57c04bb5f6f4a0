//! What the kernel logs of IPE (security/ipe/audit.c): its records, found in logs, and explained.

mod explain;
mod fields;
mod find;
mod refusal;
#[cfg(test)]
mod tests;

use std::fmt;

use super::{Action, Version};

pub use explain::{Explanation, FileOfImage, Relation};
pub use find::{Logged, RecordError, records};
pub use refusal::{KernelRefusal, Step, refusal};

/// When the kernel logged something, and its number since boot: `audit(SECONDS.MILLIS:SERIAL)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Seconds since 1970.
    pub unix_seconds: u64,
    /// Milliseconds of that second.
    pub milliseconds: u16,
    /// The event's number. The records of one event share it.
    pub serial: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}:{}", self.unix_seconds, self.milliseconds, self.serial)
    }
}

/// A record about IPE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Record {
    /// Type 1420: a decision.
    Access(Access),
    /// Type 1421: a policy was made the active one.
    Activation(Activation),
    /// Type 1422: a policy was loaded, updated, or refused.
    Load(Load),
    /// Type 1404: enforcing was switched on or off.
    Enforcing(Enforcing),
}

/// A decision of IPE's. Allowed accesses are logged only when `success_audit` is on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Access {
    /// The operation, as the kernel names it; `UNKNOWN` is possible.
    pub operation: String,
    /// Where the kernel asked: `BPRM_CHECK`, `MMAP`, `MPROTECT`, `KERNEL_READ`, `KERNEL_LOAD`…
    pub hook: String,
    /// Whether the decision had an effect.
    pub enforcing: bool,
    /// The process.
    pub pid: u32,
    /// The name of its thread, at most 15 bytes.
    pub command: Box<[u8]>,
    /// The file, `None` for memory that is none.
    pub file: Option<AccessedFile>,
    /// The deciding line, written as policies are.
    pub rule: String,
    /// What it says.
    pub action: Action,
}

/// A file in a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccessedFile {
    /// Its path as the process sees it, `None` where the kernel found it too long.
    pub path: Option<Box<[u8]>>,
    /// The name of the filesystem's device: `sda1`, `dm-3`; or the filesystem's: `overlay`, `tmpfs`.
    /// For a file of an image it is the overlay's.
    pub device: Box<[u8]>,
    /// Its inode number there.
    pub inode: u64,
}

/// A policy in a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyLabel {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its version.
    pub version: Version,
    /// The SHA-256 of its signed form, lowercase hex.
    pub digest: String,
}

/// A change of the active policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Activation {
    /// The one before, if there was one.
    pub old: Option<PolicyLabel>,
    /// The one that decides now.
    pub new: PolicyLabel,
    /// The login of who did it.
    pub login_uid: Option<u32>,
}

/// A policy given to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Load {
    /// The policy, or the error number with which the kernel refused it. Linux 6.12 logs no
    /// refusals, and writes no error numbers.
    pub outcome: Result<PolicyLabel, Option<i32>>,
    /// The login of who did it.
    pub login_uid: Option<u32>,
}

/// A switch of enforcing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Enforcing {
    /// Whether denials deny now.
    pub new: bool,
    /// Whether they did before.
    pub old: bool,
    /// The login of who did it.
    pub login_uid: Option<u32>,
}
