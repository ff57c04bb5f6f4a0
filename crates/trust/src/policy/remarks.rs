//! What the kernel takes without a word, and the author hardly meant.

use std::fmt;

use super::{Action, Operation, Policy, Property, Rule, StatedDigest};

/// Something odd in a policy that the kernel accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// A rule that can match nothing: its digest is not one that the kernel makes.
    NeverMatches {
        /// The rule's text.
        rule: String,
        /// Why.
        why: &'static str,
    },
    /// A rule that never decides: an earlier one has the same conditions or fewer.
    Unreachable {
        /// The rule's text.
        rule: String,
        /// The earlier rule's text.
        earlier: String,
    },
    /// Executing is allowed by default, so that the policy stops nothing unknown.
    ExecutesByDefault,
    /// Nothing at all may be executed.
    ExecutesNothing,
    /// Rules for what is not on the initramfs: the initramfs stays writable for root.
    TrustsInitramfs,
    /// A global DENY also denies operations that newer kernels add.
    GlobalDeny,
    /// The text has a NUL, and the kernel reads nothing behind it.
    EndsAtNul {
        /// Where it is.
        offset_bytes: usize,
        /// How many bytes follow.
        ignored_bytes: usize,
    },
    /// The text is too long for the kernel once it is signed.
    TooLong {
        /// Its length.
        length_bytes: usize,
    },
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverMatches { rule, why } => write!(f, "`{rule}` can match nothing: {why}"),
            Self::Unreachable { rule, earlier } => {
                write!(f, "`{rule}` never decides: `{earlier}` comes first")
            }
            Self::ExecutesByDefault => f.write_str(
                "whatever no rule is about may be executed: add `DEFAULT op=EXECUTE action=DENY` to stop it",
            ),
            Self::ExecutesNothing => {
                f.write_str("nothing at all may be executed: a machine with this policy active cannot go on")
            }
            Self::TrustsInitramfs => f.write_str(
                "boot_verified=TRUE: the initramfs stays writable, so root can execute whatever it copies there; \
                 have a policy without this rule active once the system runs from signed devices",
            ),
            Self::GlobalDeny => f.write_str(
                "`DEFAULT action=DENY` also denies operations that later kernels may add; safer against surprises: \
                 `DEFAULT action=ALLOW` and a DEFAULT line for each operation",
            ),
            Self::EndsAtNul { offset_bytes, ignored_bytes } => write!(
                f,
                "there is a NUL at byte {offset_bytes}: the kernel ignores the {ignored_bytes} bytes after it"
            ),
            Self::TooLong { length_bytes } => write!(
                f,
                "the text has {length_bytes} bytes; the kernel takes {} together with the signature",
                super::SIGNED_MAX_BYTES
            ),
        }
    }
}

impl Policy {
    /// What is odd about it, though the kernel takes it.
    #[must_use]
    pub fn remarks(&self) -> Vec<Remark> {
        let mut remarks: Vec<Remark> = self.rules().iter().filter_map(never_matches).collect();
        remarks.extend(self.unreachable());
        let executes = self.rules().iter().any(|rule| {
            (rule.operation, rule.action) == (Operation::Execute, Action::Allow)
                && never_matches(rule).is_none()
        });
        if !self.denies_execute_by_default() {
            remarks.push(Remark::ExecutesByDefault);
        } else if !executes {
            remarks.push(Remark::ExecutesNothing);
        }
        if self.rules().iter().any(trusts_initramfs) {
            remarks.push(Remark::TrustsInitramfs);
        }
        if self.global_default() == Some(Action::Deny) {
            remarks.push(Remark::GlobalDeny);
        }
        remarks
    }

    /// What is odd about a text that was [parsed](Self::parse) as some policy.
    #[must_use]
    pub fn remarks_on_text(text: &[u8]) -> Vec<Remark> {
        let mut remarks = Vec::new();
        if let Some(offset_bytes) = text.iter().position(|byte| *byte == 0) {
            remarks.push(Remark::EndsAtNul { offset_bytes, ignored_bytes: text.len() - offset_bytes - 1 });
        }
        if text.len() > super::SIGNED_MAX_BYTES - super::SIGNATURE_ALLOWANCE_BYTES {
            remarks.push(Remark::TooLong { length_bytes: text.len() });
        }
        remarks
    }

    /// Rules after one with the same conditions or fewer. Looks rules up by their conditions:
    /// policies have hundreds.
    fn unreachable(&self) -> Vec<Remark> {
        let mut seen: std::collections::HashMap<(Operation, &[Property]), &Rule> = Default::default();
        let mut found = Vec::new();
        for rule in self.rules() {
            let whole = &rule.properties[..];
            let single = whole.iter().map(std::slice::from_ref);
            let mut conditions = [&[][..], whole].into_iter().chain(single);
            match conditions.find_map(|conditions| seen.get(&(rule.operation, conditions))) {
                Some(earlier) => {
                    found.push(Remark::Unreachable { rule: rule.to_string(), earlier: earlier.to_string() })
                }
                None => _ = seen.insert((rule.operation, whole), rule),
            }
        }
        found
    }
}

fn trusts_initramfs(rule: &Rule) -> bool {
    (rule.operation, rule.action) == (Operation::Execute, Action::Allow)
        && rule.properties.contains(&Property::BootVerified(true))
}

fn never_matches(rule: &Rule) -> Option<Remark> {
    let why = rule.properties.iter().find_map(|property| match property {
        Property::DmverityRoothash(digest) => impossible(digest, &[]),
        Property::FsverityDigest(digest) => impossible(digest, &[("sha512", 64)]),
        _ => None,
    })?;
    Some(Remark::NeverMatches { rule: rule.to_string(), why })
}

/// Why no file or device has such a digest. Devices can have other algorithms than ours.
fn impossible(digest: &StatedDigest, also: &[(&str, usize)]) -> Option<&'static str> {
    let length = digest.bytes.len();
    let known =
        |(name, bytes): &(&str, usize)| digest.algorithm.as_bytes() == name.as_bytes() && *bytes == length;
    let algorithm = digest.algorithm.as_bytes();
    match algorithm {
        b"" => Some("the algorithm is missing"),
        b"sha256" if length != 32 => Some("a sha256 digest has 64 hex digits"),
        b"sha512" if length != 64 => Some("a sha512 digest has 128 hex digits"),
        _ if algorithm.iter().any(u8::is_ascii_uppercase) => {
            Some("the kernel writes algorithms in small letters")
        }
        b"sha256" => None,
        _ if also.is_empty() || also.iter().any(known) => None,
        _ => Some("fs-verity digests are sha256 or sha512"),
    }
}
