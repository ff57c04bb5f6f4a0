//! Fields one after the other.

use super::MessageError;

/// What is not read yet of a message.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn bytes(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], MessageError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(MessageError::Short { field })?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], MessageError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(MessageError::Short { field })?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, MessageError> {
        self.array(field).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, MessageError> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, MessageError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, MessageError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// All that is left.
    pub(super) const fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// That nothing is left.
    pub(super) const fn end(self) -> Result<(), MessageError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(MessageError::Behind { bytes }),
        }
    }
}

/// That a field has the one value that it can have.
pub(super) fn expect(
    field: &'static str,
    value: impl Into<u64>,
    expected: impl Into<u64>,
) -> Result<(), MessageError> {
    let (value, expected) = (value.into(), expected.into());
    if value == expected { Ok(()) } else { Err(MessageError::Field { field, value }) }
}
