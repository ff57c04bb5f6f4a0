//! IPE policies: text, meaning, and what the kernel says about its decisions.
//!
//! [`Policy::parse`] takes what the kernel takes (security/ipe/policy_parser.c) and refuses what
//! it refuses, but says where and why. [`Policy::evaluate`] decides as the kernel does
//! (security/ipe/eval.c). [`profile`] writes policies for sealed images, [`audit`] reads the
//! kernel's records of its decisions.

pub mod audit;
mod evaluate;
mod parse;
mod print;
pub mod profile;
mod remarks;
mod revoke;
#[cfg(test)]
mod tests;
mod word;

use std::fmt;
use std::str::FromStr;

use sealpack_format::digest::{ObjectId, RootHash};

pub use evaluate::{DecidedBy, Decision, Dmverity, FileFacts, Fsverity};
pub use parse::{ParseError, Problem};
pub use remarks::Remark;
pub use revoke::RevokeError;
pub use word::{PolicyName, PolicyNameError, Word};

/// The largest signed policy that the kernel takes, in bytes: its ASN.1 decoder refuses more with
/// `EMSGSIZE` (lib/asn1_decoder.c; tried on 6.12 and 7.3).
pub const SIGNED_MAX_BYTES: usize = 65_535;

/// How much of [`SIGNED_MAX_BYTES`] to leave for the signature and the signer's name. RSA-4096
/// with an issuer of 100 bytes takes about 800.
pub const SIGNATURE_ALLOWANCE_BYTES: usize = 1024;

/// What a policy can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Executing a file, or mapping it executable.
    Execute,
    /// Loading firmware.
    Firmware,
    /// Loading a kernel module.
    KernelModule,
    /// Loading a kernel for kexec.
    KexecImage,
    /// Loading an initramfs for kexec.
    KexecInitramfs,
    /// Having the kernel read a policy from a file, as IMA does.
    Policy,
    /// Having the kernel read a certificate from a file, as IMA and EVM do.
    X509Certificate,
}

impl Operation {
    /// All operations, in the kernel's order.
    pub const ALL: [Self; 7] = [
        Self::Execute,
        Self::Firmware,
        Self::KernelModule,
        Self::KexecImage,
        Self::KexecInitramfs,
        Self::Policy,
        Self::X509Certificate,
    ];

    /// The word for it in policies and audit records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Execute => "EXECUTE",
            Self::Firmware => "FIRMWARE",
            Self::KernelModule => "KMODULE",
            Self::KexecImage => "KEXEC_IMAGE",
            Self::KexecInitramfs => "KEXEC_INITRAMFS",
            Self::Policy => "POLICY",
            Self::X509Certificate => "X509_CERT",
        }
    }

    /// The operation that `name` stands for.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name().as_bytes() == name)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Let it happen.
    Allow,
    /// Refuse it with `EACCES`.
    Deny,
}

impl Action {
    /// `ALLOW` or `DENY`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
        }
    }

    /// The action that `name` stands for.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Allow, Self::Deny].into_iter().find(|action| action.name().as_bytes() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A policy's version: `major.minor.revision`. The kernel never goes back to a lower one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
    /// The third.
    pub revision: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.revision)
    }
}

impl FromStr for Version {
    type Err = Problem;

    /// As in the first line of a policy.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::version(text.as_bytes())
    }
}

/// A digest as rules state it: `ALGORITHM:HEX`. The kernel takes any word and any even number of
/// hex digits; [`Policy::remarks`] tells which can match nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatedDigest {
    /// The word before the colon.
    pub algorithm: Word,
    /// The bytes after it.
    pub bytes: Box<[u8]>,
}

impl StatedDigest {
    /// Whether it is the digest `bytes` by `algorithm`, compared as the kernel does: names and
    /// lengths too.
    #[must_use]
    pub fn is(&self, algorithm: &str, bytes: &[u8]) -> bool {
        self.algorithm.as_bytes() == algorithm.as_bytes() && *self.bytes == *bytes
    }
}

impl From<&ObjectId> for StatedDigest {
    fn from(id: &ObjectId) -> Self {
        Self { algorithm: Word::of_algorithm(id.algorithm()), bytes: id.as_bytes().into() }
    }
}

impl From<&RootHash> for StatedDigest {
    fn from(hash: &RootHash) -> Self {
        let algorithm = Word::of_algorithm(sealpack_format::Algorithm::Sha256);
        Self { algorithm, bytes: hash.as_bytes().into() }
    }
}

/// A condition of a rule, about the file in question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Property {
    /// `boot_verified`: whether the file is on the initramfs's filesystem.
    BootVerified(bool),
    /// `dmverity_roothash`: it is on a dm-verity device with this root hash.
    DmverityRoothash(StatedDigest),
    /// `dmverity_signature`: whether it is on a dm-verity device whose root hash came with a
    /// signature that the kernel accepted.
    DmveritySignature(bool),
    /// `fsverity_digest`: it has fs-verity enabled, with this digest.
    FsverityDigest(StatedDigest),
    /// `fsverity_signature`: whether it has fs-verity enabled with a builtin signature that the
    /// kernel accepted.
    FsveritySignature(bool),
}

/// A rule: for its operation, on files with all its properties, the action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The operation that it is about.
    pub operation: Operation,
    /// What a file must be like. None means any file, and what is no file.
    pub properties: Vec<Property>,
    /// What is to happen.
    pub action: Action,
}

/// A policy as the kernel understands it. Comments and the place of `DEFAULT` lines are not part
/// of it: they mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    name: PolicyName,
    version: Version,
    default: Option<Action>,
    operation_defaults: [Option<Action>; Operation::ALL.len()],
    rules: Vec<Rule>,
}

impl Policy {
    /// A policy without rules, with an action for every operation.
    #[must_use]
    pub const fn new(name: PolicyName, version: Version, default: Action) -> Self {
        let operation_defaults = [None; Operation::ALL.len()];
        Self { name, version, default: Some(default), operation_defaults, rules: Vec::new() }
    }

    /// What the kernel knows it by.
    #[must_use]
    pub const fn name(&self) -> &PolicyName {
        &self.name
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What `DEFAULT action=` says, if there is such a line.
    #[must_use]
    pub const fn global_default(&self) -> Option<Action> {
        self.default
    }

    /// What `DEFAULT op=… action=` says of `operation`, if there is such a line.
    #[must_use]
    pub fn operation_default(&self, operation: Operation) -> Option<Action> {
        self.operation_defaults[operation.index()]
    }

    /// What happens where no rule of `operation` matches.
    #[must_use]
    pub fn default_action(&self, operation: Operation) -> Action {
        // A policy without either is none: `parse` refuses it and `new` makes none.
        self.operation_default(operation).or(self.default).unwrap_or(Action::Deny)
    }

    /// The rules, in order: the first that matches decides.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Sets what happens where no rule of `operation` matches.
    pub fn set_operation_default(&mut self, operation: Operation, action: Action) {
        self.operation_defaults[operation.index()] = Some(action);
    }

    /// Adds a rule after all others.
    pub fn push(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Whether it denies executing by default: a file of which nothing is known may not be
    /// executed, nor may memory that is no file. What a mount needs to be called `enforced`.
    ///
    /// A policy with `DEFAULT op=EXECUTE action=DENY` and a rule such as `op=EXECUTE action=ALLOW`
    /// or `op=EXECUTE dmverity_signature=FALSE action=ALLOW` does not.
    #[must_use]
    pub fn denies_execute_by_default(&self) -> bool {
        self.default_action(Operation::Execute) == Action::Deny
            && self.evaluate(Operation::Execute, &FileFacts::default()).action == Action::Deny
    }
}
