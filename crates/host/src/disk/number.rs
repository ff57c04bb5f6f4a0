//! Numbers that name disks, partitions and filesystems.

use std::fmt;

use sha2::{Digest, Sha256};

/// A UUID that follows from a text, so that the same disk is made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number([u8; 16]);

impl Number {
    /// The number of a text: one of version 8 (RFC 9562, section 5.8).
    pub(super) fn of(text: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = bytes[6] & 0x0F | 0x80;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        Self(bytes)
    }

    /// As a partition table has it: the first three parts little-endian (UEFI specification 2.10, appendix A).
    pub(super) const fn bytes(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        let [i, j, k, l, m, n, o, p] = rest;
        [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
    }

    /// The first four bytes, for a FAT filesystem, which has no more.
    pub(super) const fn short(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_follows_from_its_text_and_is_a_uuid_of_version_8() {
        let number = Number::of("a text");
        assert_eq!(number, Number::of("a text"));
        assert_ne!(number, Number::of("another text"));
        let text = number.to_string();
        assert_eq!((text.len(), &text[14..15]), (36, "8"), "{text}");
        assert!("89ab".contains(&text[19..20]), "{text}");
    }
}
