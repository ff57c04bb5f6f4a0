//! Sets of capabilities as the kernel shows them.

/// Numbers of capabilities (include/uapi/linux/capability.h).
const DAC_OVERRIDE: u32 = 1;
const SETGID: u32 = 6;
const SETUID: u32 = 7;
const SYS_MODULE: u32 = 16;
pub(super) const SYS_PTRACE: u32 = 19;
pub(super) const MAC_ADMIN: u32 = 33;

/// What programs that the kernel starts need, and no more: modprobe loads modules and opens their files, request-key
/// changes users.
const OF_HELPERS: [u32; 4] = [DAC_OVERRIDE, SETGID, SETUID, SYS_MODULE];

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    /// The bounding set in a text of `/proc/PID/status`.
    pub(super) fn bounding(status: &str) -> Option<Self> {
        u64::from_str_radix(field(status, "CapBnd")?, 16).ok().map(Self)
    }

    /// A set as `kernel.usermodehelper` has it: the lower 32 bits, then the upper, in decimal (kernel/umh.c,
    /// `proc_cap_handler`).
    pub(super) fn of_helpers(text: &str) -> Option<Self> {
        let numbers: Vec<u32> =
            text.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let [low, high] = numbers[..] else { return None };
        Some(Self(u64::from(high) << 32 | u64::from(low)))
    }

    pub(super) const fn has(self, capability: u32) -> bool {
        self.0 >> capability & 1 == 1
    }

    /// Those in it that no helper needs.
    pub(super) fn beyond_helpers(self) -> Self {
        Self(OF_HELPERS.iter().fold(self.0, |bits, capability| bits & !(1 << capability)))
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }
}

/// The value of a field in a text of `/proc/PID/status`.
pub(super) fn field<'t>(status: &'t str, name: &str) -> Option<&'t str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}
