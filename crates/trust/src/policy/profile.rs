//! Policies for sealed images, from a few choices.

use std::fmt;
use std::str::FromStr;

use sealpack_format::digest::{ObjectId, RootHash};

use super::{Action, Operation, Policy, PolicyName, Property, Rule, StatedDigest, Version};

/// For which part of a machine's life a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// While the initramfs prepares the root: what is on it may be executed too.
    Early,
    /// From when the system runs from signed devices: only what is on them may be executed.
    Final,
    /// As [`Final`](Self::Final), and kernel modules, firmware and what kexec loads come from
    /// signed devices too.
    Strict,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Early, Self::Final, Self::Strict];

    /// Its word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Final => "final",
            Self::Strict => "strict",
        }
    }

    /// The operations that it denies by default.
    const fn operations(self) -> &'static [Operation] {
        use Operation::{Execute, Firmware, KernelModule, KexecImage, KexecInitramfs};
        match self {
            Self::Early | Self::Final => &[Execute],
            Self::Strict => &[Execute, Firmware, KernelModule, KexecImage, KexecInitramfs],
        }
    }

    /// What it is for, for the policy's reader.
    const fn comment(self) -> &'static str {
        match self {
            Self::Early => {
                "# Early: for the initramfs. It stays writable, so root can execute anything through it:\n\
                 # activate a final or strict policy as soon as the system runs from signed devices.\n"
            }
            Self::Final => "# Final: only what is on signed devices or listed here may be executed.\n",
            Self::Strict => {
                "# Strict: what is executed, and the kernel's modules, firmware and kexec images, must be on signed\n\
                 # devices or be listed here. Modules must be loaded from their files (finit_module).\n"
            }
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no profile's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no profile: use early, final or strict")]
pub struct ProfileError(String);

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let profile = Self::ALL.into_iter().find(|profile| profile.name() == text);
        profile.ok_or_else(|| ProfileError(text.to_owned()))
    }
}

/// A file that is allowed by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedFile {
    /// What may be done with it.
    pub operation: Operation,
    /// Its fs-verity digest.
    pub digest: ObjectId,
    /// Where it is, for a comment: digest rules say nothing about names.
    pub path: Box<[u8]>,
}

/// The choices that make a policy.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What it is for.
    pub profile: Profile,
    /// Its name.
    pub name: PolicyName,
    /// Its version.
    pub version: Version,
    /// Whether what is on a signed dm-verity device is allowed.
    pub signed_devices: bool,
    /// Files that are allowed by their digests. Those of operations that the profile does not
    /// deny need no rule and get none.
    pub files: Vec<AllowedFile>,
    /// Devices on which nothing is allowed, though they are signed.
    pub revoked: Vec<RootHash>,
}

/// Why a recipe makes no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// A machine with it could execute nothing.
    #[error("the policy would allow nothing to be executed")]
    AllowsNothing,
    /// The kernel would not take it.
    #[error(
        "the policy has {length_bytes} bytes with {rules} rules; the kernel takes {} with the signature, \
         which is about {fitting} rules for digests",
        super::SIGNED_MAX_BYTES
    )]
    TooLong {
        /// Its length in bytes, comments not counted.
        length_bytes: usize,
        /// How many rules it has.
        rules: usize,
        /// How many digest rules would fit.
        fitting: usize,
    },
}

impl Recipe {
    /// The policy.
    ///
    /// # Errors
    /// A policy that allows nothing, or that the kernel would refuse for its length.
    pub fn policy(&self) -> Result<Policy, RecipeError> {
        let mut policy = Policy::new(self.name.clone(), self.version, Action::Allow);
        for operation in self.profile.operations() {
            policy.set_operation_default(*operation, Action::Deny);
        }
        self.rules().into_iter().for_each(|(rule, _)| policy.push(rule));
        let executes = |rule: &Rule| (rule.operation, rule.action) == (Operation::Execute, Action::Allow);
        if !policy.rules().iter().any(executes) {
            return Err(RecipeError::AllowsNothing);
        }
        let length_bytes = policy.to_bytes().len();
        if length_bytes > TEXT_MAX_BYTES {
            let (rules, fitting) = (policy.rules().len(), TEXT_MAX_BYTES / DIGEST_RULE_BYTES);
            return Err(RecipeError::TooLong { length_bytes, rules, fitting });
        }
        Ok(policy)
    }

    /// The policy's text with comments that say what it is for and which file each digest is of,
    /// as far as the kernel's limit leaves room for them.
    ///
    /// # Errors
    /// As [`policy`](Self::policy).
    pub fn text(&self) -> Result<Vec<u8>, RecipeError> {
        let policy = self.policy()?;
        let mut text = policy.to_bytes();
        let rules: usize = policy.rules().iter().map(|rule| rule.to_bytes().len() + 1).sum();
        let start = text.len() - rules;
        text.truncate(start);
        text.extend_from_slice(self.profile.comment().as_bytes());
        for (rule, comment) in self.rules() {
            text.extend(rule.to_bytes());
            if let Some(comment) = comment {
                text.extend_from_slice(b" # ");
                text.extend_from_slice(comment.as_bytes());
            }
            text.push(b'\n');
        }
        Ok(if text.len() > TEXT_MAX_BYTES { policy.to_bytes() } else { text })
    }

    /// The rules in order, with comments: denials first, then what is decided fastest.
    fn rules(&self) -> Vec<(Rule, Option<String>)> {
        let operations = self.profile.operations();
        let rule = |operation: &Operation, property, action| Rule {
            operation: *operation,
            properties: vec![property],
            action,
        };
        let mut rules = Vec::new();
        for hash in &self.revoked {
            let revoked = || Property::DmverityRoothash(StatedDigest::from(hash));
            rules.extend(operations.iter().map(|op| (rule(op, revoked(), Action::Deny), None)));
        }
        if self.profile == Profile::Early {
            let initramfs = Property::BootVerified(true);
            rules.push((rule(&Operation::Execute, initramfs, Action::Allow), None));
        }
        if self.signed_devices {
            let signed = || Property::DmveritySignature(true);
            rules.extend(operations.iter().map(|op| (rule(op, signed(), Action::Allow), None)));
        }
        let mut seen = std::collections::HashSet::new();
        for file in self.files.iter().filter(|file| operations.contains(&file.operation)) {
            if seen.insert((file.operation, file.digest)) {
                let digest = Property::FsverityDigest(StatedDigest::from(&file.digest));
                let comment = file.path.escape_ascii().to_string();
                rules.push((rule(&file.operation, digest, Action::Allow), Some(comment)));
            }
        }
        rules
    }
}

const TEXT_MAX_BYTES: usize = super::SIGNED_MAX_BYTES - super::SIGNATURE_ALLOWANCE_BYTES;

/// `op=EXECUTE fsverity_digest=sha256:… action=ALLOW` and the line's end.
const DIGEST_RULE_BYTES: usize = 112;
