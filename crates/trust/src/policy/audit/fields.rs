//! The fields of an audit record: `key=value`, separated by spaces.
//!
//! A value that is a process's or a file's own is quoted, or, when it has a space, a quote or
//! something else unusual in it, written in hex without quotes (`audit_log_untrustedstring` in
//! kernel/audit.c). So no value has a space, but for `rule=`, which comes last.

use super::super::parse::from_hex;
use super::super::{Action, Version};
use super::{AccessedFile, PolicyLabel, RecordError};

/// The fields of one record.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The bytes after `key=`, to the next space.
    fn get(&self, key: &'static str) -> Result<&'a [u8], RecordError> {
        let is_key =
            |word: &&[u8]| word.strip_prefix(key.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
        let word = self.0.split(|byte| *byte == b' ').find(is_key);
        word.and_then(|word| word.get(key.len() + 1..)).ok_or(RecordError { field: key })
    }

    /// A bare word.
    pub(super) fn word(&self, key: &'static str) -> Result<String, RecordError> {
        let word = self.get(key)?;
        let word = str::from_utf8(word).ok().filter(|word| !word.is_empty());
        word.map(str::to_owned).ok_or(RecordError { field: key })
    }

    pub(super) fn number<N: std::str::FromStr>(&self, key: &'static str) -> Result<N, RecordError> {
        self.word(key)?.parse().map_err(|_| RecordError { field: key })
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<bool, RecordError> {
        match self.get(key)? {
            b"1" => Ok(true),
            b"0" => Ok(false),
            _ => Err(RecordError { field: key }),
        }
    }

    /// A quoted or hex value.
    pub(super) fn string(&self, key: &'static str) -> Result<Box<[u8]>, RecordError> {
        let value = self.get(key)?;
        match value {
            [b'"', inner @ .., b'"'] => Ok(inner.into()),
            _ => from_hex(value).ok_or(RecordError { field: key }),
        }
    }

    /// `path=`, `dev=` and `ino=`; `None` where all are `?`.
    pub(super) fn file(&self) -> Result<Option<AccessedFile>, RecordError> {
        let path = match self.get("path")? {
            b"?" => return Ok(None),
            // Older kernels quote it.
            b"<too_long>" | b"\"<too_long>\"" | b"<no_memory>" | b"\"<no_memory>\"" => None,
            _ => Some(self.string("path")?),
        };
        let (device, inode) = match (self.get("dev")?, self.get("ino")?) {
            (b"?", _) | (_, b"?") => (Box::default(), 0),
            _ => (self.string("dev")?, self.number("ino")?),
        };
        Ok(Some(AccessedFile { path, device, inode }))
    }

    /// The rule, which has spaces, and around a digest's algorithm quotes of its own.
    pub(super) fn rule(&self) -> Result<(String, Action), RecordError> {
        let missing = RecordError { field: "rule" };
        let start = find(self.0, b" rule=\"").ok_or(missing)?;
        let rest = self.0.get(start + 7..).unwrap_or_default();
        for action in [Action::Allow, Action::Deny] {
            let end = format!("action={action}\"");
            if let Some(at) = find(rest, end.as_bytes()) {
                let text = rest.get(..at + end.len() - 1).unwrap_or_default();
                let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'"').collect();
                return Ok((lower_digests(&String::from_utf8_lossy(&text)), action));
            }
        }
        Err(missing)
    }

    /// A policy: `?` in all fields where there is none.
    pub(super) fn policy(
        &self,
        [name, version, digest]: [&'static str; 3],
    ) -> Result<Option<PolicyLabel>, RecordError> {
        if self.get(name)? == b"?" {
            return Ok(None);
        }
        // A name is quoted whatever is in it.
        let quoted = self.get(name)?.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let parsed: Version = self.word(version)?.parse().map_err(|_| RecordError { field: version })?;
        let digest_text = self.word(digest)?.to_ascii_lowercase();
        let hex = digest_text.strip_prefix("sha256:").ok_or(RecordError { field: digest })?;
        Ok(Some(PolicyLabel {
            name: quoted.ok_or(RecordError { field: name })?.into(),
            version: parsed,
            digest: hex.to_owned(),
        }))
    }

    /// The login's number; the kernel writes the largest one for none.
    pub(super) fn login_uid(&self) -> Option<u32> {
        self.number("auid").ok().filter(|uid| *uid != u32::MAX)
    }
}

/// Where `needle` begins in `bytes`.
pub(super) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// The kernel logs digests in capitals, which no policy of ours has.
fn lower_digests(rule: &str) -> String {
    let lower = |word: &str| match word.split_once(':') {
        Some((algorithm, hex)) => format!("{algorithm}:{}", hex.to_ascii_lowercase()),
        None => word.to_owned(),
    };
    rule.split(' ').map(lower).collect::<Vec<_>>().join(" ")
}
