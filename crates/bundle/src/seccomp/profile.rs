//! The file, as it is written.

use serde::Deserialize;

use crate::spec::ArgumentRule;

/// The most that a profile may have.
pub const PROFILE_MAX_BYTES: u64 = 1024 * 1024;

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    pub(super) default_action: String,
    #[serde(default)]
    pub(super) default_errno_ret: Option<u32>,
    #[serde(default)]
    pub(super) default_errno: Option<String>,
    #[serde(default)]
    pub(super) architectures: Vec<String>,
    #[serde(default)]
    pub(super) arch_map: Vec<Family>,
    pub(super) syscalls: Vec<Rule>,
}

/// A processor, and those whose programs it runs too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Family {
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) sub_architectures: Option<Vec<String>>,
}

/// A rule, with when it counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(default)]
    pub(super) names: Vec<String>,
    /// As old profiles have it, for one call.
    #[serde(default)]
    pub(super) name: Option<String>,
    pub(super) action: String,
    #[serde(default)]
    pub(super) args: Option<Vec<ArgumentRule>>,
    #[serde(default)]
    #[serde(rename = "comment")]
    _comment: Option<String>,
    #[serde(default)]
    pub(super) includes: Condition,
    #[serde(default)]
    pub(super) excludes: Condition,
    #[serde(default)]
    pub(super) errno_ret: Option<u32>,
    #[serde(default)]
    pub(super) errno: Option<String>,
}

/// When a rule counts, or does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Condition {
    #[serde(default)]
    pub(super) arches: Vec<String>,
    #[serde(default)]
    pub(super) caps: Vec<String>,
    #[serde(default)]
    pub(super) min_kernel: Option<String>,
}

/// Why a profile is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not what a profile is.
    #[error("the seccomp profile is not one of containers-common's form: {0}")]
    Malformed(String),
    /// The processor is in none of its lists.
    #[error("the seccomp profile says nothing of this processor, {0}")]
    Processor(String),
    /// An error by a name that is not known.
    #[error("the seccomp profile names an error {0:?}, whose number is not known")]
    Errno(String),
    /// Not a version of a kernel.
    #[error("the seccomp profile asks for a kernel {0:?}, which is no version")]
    Kernel(String),
}

impl Profile {
    /// Reads a profile. What is not known in it is an error: a rule that is half understood would let through what it
    /// was to keep back.
    ///
    /// # Errors
    /// [`ProfileError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProfileError> {
        serde_json::from_slice(bytes).map_err(|error| ProfileError::Malformed(error.to_string()))
    }
}
