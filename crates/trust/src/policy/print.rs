//! Policies as text.

use std::fmt;
use std::fmt::Write;

use super::{Operation, Policy, Property, Rule, StatedDigest};

impl Policy {
    /// The text that [`parse`](Self::parse) reads as this policy: one line for the name, one for
    /// each default and each rule. No comments.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = b"policy_name=".to_vec();
        text.extend_from_slice(self.name().as_bytes());
        text.extend_from_slice(format!(" policy_version={}\n", self.version()).as_bytes());
        for line in self.default_lines() {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        for rule in self.rules() {
            text.extend(rule.to_bytes());
            text.push(b'\n');
        }
        text
    }

    /// Its `DEFAULT` lines: the global one first, then those of operations in the kernel's order.
    pub(super) fn default_lines(&self) -> impl Iterator<Item = String> {
        let global = self.global_default().map(|action| format!("DEFAULT action={action}"));
        let of_operations = Operation::ALL.into_iter().filter_map(|operation| {
            let action = self.operation_default(operation)?;
            Some(format!("DEFAULT op={operation} action={action}"))
        });
        global.into_iter().chain(of_operations)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl Rule {
    /// Its line, without the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut line = format!("op={}", self.operation).into_bytes();
        for property in &self.properties {
            line.push(b' ');
            line.extend(property.to_bytes());
        }
        line.extend_from_slice(format!(" action={}", self.action).as_bytes());
        line
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl Property {
    /// Its word in a rule: `dmverity_signature=TRUE`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let word = |value: bool| if value { &b"TRUE"[..] } else { &b"FALSE"[..] };
        let value = match self {
            Self::BootVerified(value) | Self::DmveritySignature(value) | Self::FsveritySignature(value) => {
                word(*value).to_vec()
            }
            Self::DmverityRoothash(digest) | Self::FsverityDigest(digest) => digest.to_bytes(),
        };
        [self.key().as_bytes(), b"=", &value].concat()
    }

    /// The word before the equals sign.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::BootVerified(_) => "boot_verified",
            Self::DmverityRoothash(_) => "dmverity_roothash",
            Self::DmveritySignature(_) => "dmverity_signature",
            Self::FsverityDigest(_) => "fsverity_digest",
            Self::FsveritySignature(_) => "fsverity_signature",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl StatedDigest {
    fn to_bytes(&self) -> Vec<u8> {
        let mut hex = String::with_capacity(self.bytes.len() * 2);
        for byte in &self.bytes {
            // Writing to a String cannot fail.
            _ = write!(hex, "{byte:02x}");
        }
        [self.algorithm.as_bytes(), b":", hex.as_bytes()].concat()
    }
}
