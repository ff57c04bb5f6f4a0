//! What is looked at of a host.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use sealpack_format::boot::{KeptPolicy, data, host};
use sealpack_kernel::Kernel;

/// The variable that says whether Secure Boot is on, with the GUID of UEFI's own (UEFI specification, 3.3).
const SECURE_BOOT: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// The most that is read of any file: more than the kernel's have.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Why something was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// The kernel has no such file.
    Absent,
    /// The system says no; what it says.
    Failed(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such file"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// What the kernel's files say, and what it answers, before anybody judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `/proc/cmdline`.
    pub command_line: Result<String, Unread>,
    /// `/proc/1/status`: what the first process was left with, which all others have at most.
    pub first_process: Result<String, Unread>,
    /// `kernel.kexec_load_disabled`.
    pub kexec_load_disabled: Result<String, Unread>,
    /// `kernel.yama.ptrace_scope`.
    pub ptrace_scope: Result<String, Unread>,
    /// `kernel.usermodehelper.bset`.
    pub helpers_bounding: Result<String, Unread>,
    /// `kernel.usermodehelper.inheritable`.
    pub helpers_inheritable: Result<String, Unread>,
    /// `/sys/kernel/security/lockdown`.
    pub lockdown: Result<String, Unread>,
    /// What the kernel answers to this process.
    pub asked: Asked,
    /// The firmware's variable `SecureBoot`.
    pub secure_boot: Result<Vec<u8>, Unread>,
    /// What the first process left of the last boot that it refused.
    pub refused: Result<String, Unread>,
    /// When that was written, in seconds since 1970 by the clock of that start.
    pub refused_unix_seconds: Option<u64>,
    /// What it says of this start.
    pub report: Result<String, Unread>,
    /// The updates of the policy that are kept, in their order.
    pub kept_policies: Vec<KeptPolicy>,
}

/// What the kernel answers to questions that do no harm; in words, why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whether loading a table into device-mapper is refused.
    pub device_mapper_refused: Result<bool, String>,
    /// Whether calls by another processor's numbers are; `None` where there are none to ask by.
    pub foreign_calls_refused: Result<Option<bool>, String>,
    /// Whether memory that was written is not made executable.
    pub written_code_refused: Result<bool, String>,
}

impl Seen {
    /// Looks at the machine whose files are below `root`: `/`, or for tests a copy. Asks the kernel that runs.
    #[must_use]
    pub fn look(root: &Path, kernel: &Kernel) -> Self {
        let text = |path: &str| text(&root.join(path));
        let below = |path: &str| path.trim_start_matches('/').to_owned();
        let on_data = |path: &str| below(&format!("{}/{path}", data::MOUNTED_AT));
        Self {
            command_line: text("proc/cmdline"),
            first_process: text("proc/1/status"),
            kexec_load_disabled: text("proc/sys/kernel/kexec_load_disabled"),
            ptrace_scope: text("proc/sys/kernel/yama/ptrace_scope"),
            helpers_bounding: text("proc/sys/kernel/usermodehelper/bset"),
            helpers_inheritable: text("proc/sys/kernel/usermodehelper/inheritable"),
            lockdown: text("sys/kernel/security/lockdown"),
            asked: Asked::ask(kernel),
            secure_boot: bytes(&root.join(SECURE_BOOT)),
            refused: text(&on_data(data::REFUSED)),
            refused_unix_seconds: written(&root.join(on_data(data::REFUSED))),
            report: text(&below(host::REPORT)),
            kept_policies: kept_policies(&root.join(on_data(data::POLICIES))),
        }
    }
}

impl Asked {
    fn ask(kernel: &Kernel) -> Self {
        let words = |error: sealpack_kernel::Error| error.to_string();
        Self {
            device_mapper_refused: kernel.is_refused_device_mapper().map_err(words),
            foreign_calls_refused: kernel.is_refused_foreign_calls().map_err(words),
            written_code_refused: kernel.refuses_written_code().map_err(words),
        }
    }
}

/// The updates in a directory. One that is not there has none.
fn kept_policies(directory: &Path) -> Vec<KeptPolicy> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let parse = |entry: std::fs::DirEntry| KeptPolicy::parse(entry.file_name().to_str()?);
    let mut kept: Vec<KeptPolicy> = entries.filter_map(parse).collect();
    kept.sort();
    kept
}

/// When a file was written.
fn written(path: &Path) -> Option<u64> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    u64::try_from(metadata.mtime()).ok()
}

fn text(path: &Path) -> Result<String, Unread> {
    bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn bytes(path: &Path) -> Result<Vec<u8>, Unread> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Unread::Absent,
        _ => Unread::Failed(error.to_string()),
    };
    let mut bytes = Vec::new();
    // Nobody waits for the other end of a pipe that somebody has put there.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = std::fs::File::from(
        rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?,
    );
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Unread::Failed("it is no regular file".to_owned()));
    }
    file.take(FILE_MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
