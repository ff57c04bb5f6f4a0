//! Denying what was revoked in a policy that there is.

use sealpack_format::digest::RootHash;

use super::{Action, Dmverity, Operation, ParseError, Policy, Property, Rule, StatedDigest, Version};

/// Why a policy cannot be made to deny something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// It is no policy.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The kernel takes no higher version.
    #[error("its version {0} is the highest there is: the policy needs another name")]
    Version(Version),
    /// The text is laid out so that it cannot be changed line by line.
    #[error("its rules are not on lines of their own; add the rule by hand: {0}")]
    Layout(String),
}

impl Rule {
    /// The rule that denies `operation` on the dm-verity device with this root hash.
    #[must_use]
    pub fn denying(operation: Operation, root_hash: &RootHash) -> Self {
        let properties = vec![Property::DmverityRoothash(StatedDigest::from(root_hash))];
        Self { operation, properties, action: Action::Deny }
    }
}

impl Version {
    /// The next higher one.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self { major, minor, revision } if revision < u16::MAX => {
                Some(Self { major, minor, revision: revision + 1 })
            }
            Self { major, minor, .. } if minor < u16::MAX => {
                Some(Self { major, minor: minor + 1, revision: 0 })
            }
            Self { major, .. } if major < u16::MAX => Some(Self { major: major + 1, minor: 0, revision: 0 }),
            Self { .. } => None,
        }
    }
}

impl Policy {
    /// The operations that it denies by default: those on which a rule that allows has any effect.
    pub fn guarded_operations(&self) -> impl Iterator<Item = Operation> + '_ {
        Operation::ALL.into_iter().filter(|operation| self.default_action(*operation) == Action::Deny)
    }

    /// Whether it denies executing what is on the signed dm-verity device with this root hash.
    #[must_use]
    pub fn denies_device(&self, root_hash: &RootHash) -> bool {
        self.executes_from(Dmverity { root_hash: Some(*root_hash), signed: true }).action == Action::Deny
    }

    /// The text of a policy, comments and all, with denials of everything on a device in front of its rules and the
    /// next higher version.
    ///
    /// # Errors
    /// No policy; no higher version; rules in a layout that no line can be added to.
    pub fn revoke_in_text(text: &[u8], root_hash: &RootHash) -> Result<Vec<u8>, RevokeError> {
        let mut policy = Self::parse(text)?;
        let version = policy.version().next().ok_or(RevokeError::Version(policy.version()))?;
        let mut operations: Vec<_> = policy.guarded_operations().collect();
        if operations.is_empty() {
            operations.push(Operation::Execute);
        }
        let denials: Vec<_> =
            operations.iter().map(|operation| Rule::denying(*operation, root_hash)).collect();
        let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let starts = |line: &[u8], word: &[u8]| line.trim_ascii_start().starts_with(word);
        if let Some(header) = lines.iter_mut().find(|line| starts(line, b"policy_name=")) {
            let (old, new) =
                (format!("policy_version={}", policy.version()), format!("policy_version={version}"));
            *header = String::from_utf8_lossy(header).replacen(&old, &new, 1).into_bytes();
        }
        let first = lines.iter().position(|line| starts(line, b"op="));
        let place = first
            .unwrap_or_else(|| lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
        lines.splice(place..place, denials.iter().map(Rule::to_bytes));
        let changed = lines.join(&b'\n');
        // What stands there now must be what is meant, however the text was laid out.
        policy.rules.splice(0..0, denials.iter().cloned());
        policy.version = version;
        match Self::parse(&changed) {
            Ok(parsed) if parsed == policy => Ok(changed),
            _ => Err(RevokeError::Layout(denials[0].to_string())),
        }
    }
}
