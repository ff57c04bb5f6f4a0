//! The name by which a data partition is found.

use std::fmt;
use std::str::FromStr;

/// The label that a data partition has unless the command line says another.
const DEFAULT: &str = "sealpack-data";
/// Bytes that ext4 has for a label (`s_volume_name`, fs/ext4/ext4.h).
const MAX_BYTES: usize = 16;

/// The filesystem label of a sealed host's data partition: 1 to 16 of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataLabel(String);

impl DataLabel {
    /// The label's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for DataLabel {
    /// `sealpack-data`.
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl FromStr for DataLabel {
    type Err = DataLabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > MAX_BYTES || !text.bytes().all(allowed) {
            return Err(DataLabelError(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DataLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no label of a data partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the label of a data partition: it has 1 to 16 of A-Z a-z 0-9 . _ -")]
pub struct DataLabelError(String);
