//! Yama: no process is traced, whoever asks (Documentation/admin-guide/LSM/Yama.rst).

use std::path::Path;

use crate::start::failure::Failure;
use crate::start::files;

const SCOPE: &str = "/proc/sys/kernel/yama/ptrace_scope";

/// Nobody traces, and it cannot be set back.
const NO_ATTACH: &str = "3";

/// Has ptrace, and what is judged as ptrace is, refused to everybody from now on.
pub(super) fn restrict() -> Result<(), Failure> {
    files::set_and_see(Path::new(SCOPE), NO_ATTACH, NO_ATTACH)
}
