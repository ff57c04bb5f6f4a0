//! What a sealed host is told at its start: the words of its command line, and the names in its initramfs.
//!
//! Who makes a UKI writes them, the first process reads them. The command line is signed as a part of the UKI, but a
//! hypervisor can add words to it under Secure Boot too (systemd-stub takes SMBIOS strings, systemd-stub(7)). Therefore
//! the initramfs has the signed one as a file, any other is refused ([`check_unchanged`]), and what it may say is
//! narrow ([`CommandLine`]).

pub mod artifact;
mod changed;
mod command_line;
mod deadline;
mod error;
mod hardening;
pub mod keep;
mod kept_policy;
mod label;
mod order;
mod parameters;
mod pattern;
mod places;
mod refusal;
mod refused;
mod report;
#[cfg(test)]
mod tests;

pub use changed::{Changed, check_unchanged};
pub use command_line::{COMMAND_LINE_MAX_BYTES, CommandLine, FIXED_WORDS};
pub use deadline::{Deadline, DeadlineError};
pub use error::CommandLineError;
pub use hardening::{Hardening, UnknownHardening};
pub use kept_policy::KeptPolicy;
pub use label::{DataLabel, DataLabelError};
pub use order::{Module, ModuleGroup, ModuleOrder, OrderError};
pub use parameters::{BootParameters, Etc};
pub use pattern::{DevicePattern, DevicePatternError};
pub use places::{data, host, initramfs};
pub use refusal::{BOOT_COMPLETE, NotRefusal, RefusedBoot, Started};
pub use report::{BootReport, ReportError};
