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
    /// For a machine that is booted from a sealed image: as [`Strict`](Self::Strict), and what IMA and EVM read as policies
    /// and certificates comes from signed devices too; nothing is loaded for kexec, from wherever it is. A kernel that is
    /// signed may be started with any command line, and what the machine was booted with says what is checked.
    Host,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 4] = [Self::Early, Self::Final, Self::Strict, Self::Host];

    /// Its word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Final => "final",
            Self::Strict => "strict",
            Self::Host => "host",
        }
    }

    /// The operations that it denies by default.
    const fn operations(self) -> &'static [Operation] {
        use Operation::{Execute, Firmware, KernelModule, KexecImage, KexecInitramfs};
        match self {
            Self::Early | Self::Final => &[Execute],
            Self::Strict => &[Execute, Firmware, KernelModule, KexecImage, KexecInitramfs],
            Self::Host => &Operation::ALL,
        }
    }

    /// Those of its [operations](Self::operations) that it allows on devices and files that count.
    const fn allowed(self) -> &'static [Operation] {
        use Operation::{Execute, Firmware, KernelModule, Policy, X509Certificate};
        match self {
            Self::Early | Self::Final | Self::Strict => self.operations(),
            Self::Host => &[Execute, Firmware, KernelModule, Policy, X509Certificate],
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
            Self::Host => {
                "# Host: for a machine booted from a sealed image. What is executed, and the kernel's modules, firmware,\n\
                 # certificates and IMA policies, must be on signed devices or be listed here; nothing is for kexec.\n"
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
#[error("{0:?} is no profile: use early, final, strict or host")]
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

/// On which dm-verity devices things are allowed. All of them must come with an accepted signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedDevices {
    /// On none.
    None,
    /// On every one that is signed.
    Signed,
    /// On signed ones with these root hashes, and on no others.
    These(Vec<RootHash>),
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
    /// On which devices things are allowed.
    pub devices: AllowedDevices,
    /// Files that are allowed by their digests. Those of operations that the profile does not
    /// deny need no rule and get none.
    pub files: Vec<AllowedFile>,
    /// Devices on which nothing is allowed, though they are signed.
    pub revoked: Vec<RootHash>,
}

/// Why a recipe makes no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A machine with it could execute nothing.
    #[error("the policy would allow nothing to be executed")]
    AllowsNothing,
    /// The kernel would not take it.
    #[error(
        "the policy has {length_bytes} bytes with {rules} rules; the kernel takes {} with the signature, \
         which is about {fitting} rules for digests or devices",
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
        let operations = self.profile.allowed();
        let allow = |operation: Operation, properties| Rule { operation, properties, action: Action::Allow };
        let mut rules = Vec::new();
        for hash in &self.revoked {
            rules.extend(operations.iter().map(|op| (Rule::denying(*op, hash), None)));
        }
        if self.profile == Profile::Early {
            rules.push((allow(Operation::Execute, vec![Property::BootVerified(true)]), None));
        }
        for properties in self.device_properties() {
            rules.extend(operations.iter().map(|op| (allow(*op, properties.clone()), None)));
        }
        let mut seen = std::collections::HashSet::new();
        for file in self.files.iter().filter(|file| operations.contains(&file.operation)) {
            if seen.insert((file.operation, file.digest)) {
                let digest = Property::FsverityDigest(StatedDigest::from(&file.digest));
                let comment = file.path.escape_ascii().to_string();
                rules.push((allow(file.operation, vec![digest]), Some(comment)));
            }
        }
        rules
    }

    /// What holds for what is on the devices that are allowed, one for each rule. Of a device with a name the signature is
    /// asked too: the same content on one that nobody signed could have been given any options.
    fn device_properties(&self) -> Vec<Vec<Property>> {
        match &self.devices {
            AllowedDevices::None => Vec::new(),
            AllowedDevices::Signed => vec![vec![Property::DmveritySignature(true)]],
            AllowedDevices::These(hashes) => {
                let mut seen = std::collections::HashSet::new();
                let new = hashes.iter().filter(|hash| seen.insert(**hash));
                let named = |hash| Property::DmverityRoothash(StatedDigest::from(hash));
                new.map(|hash| vec![named(hash), Property::DmveritySignature(true)]).collect()
            }
        }
    }
}

const TEXT_MAX_BYTES: usize = super::SIGNED_MAX_BYTES - super::SIGNATURE_ALLOWANCE_BYTES;

/// `op=EXECUTE fsverity_digest=sha256:… action=ALLOW` and the line's end.
const DIGEST_RULE_BYTES: usize = 112;
