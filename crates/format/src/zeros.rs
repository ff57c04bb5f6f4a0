//! Zeros.

/// As many zeros as are taken at once: 16 blocks of a Merkle tree. There is one of them, as the program carries them along.
pub static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
