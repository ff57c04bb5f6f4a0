//! What the store keeps of an accepted seal.

/// What is kept of an image's seal when the image gets its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The seal, as [`Store::write_seal`](crate::Store::write_seal) takes it.
    pub seal: Option<Vec<u8>>,
    /// Names, and the epochs to be remembered for them.
    pub epochs: Vec<(String, u64)>,
    /// Names of which no epoch may be remembered: the image has no seal, and they never had one.
    pub unsealed: Vec<String>,
}
