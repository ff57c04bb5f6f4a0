//! What is said to the broker, and what it answers: messages of bounded size, to types and back.
//!
//! The broker is the process that activates devices for others, from descriptors that they hand over. It reads nothing
//! but these messages, so each is of one fixed shape, and every length in it has to match exactly.
//! `docs/formats/broker.md` has the byte table.

mod answer;
mod bytes;
mod error;
mod request;

use std::ops::RangeInclusive;

pub use answer::{ANSWER_BYTES, Answer, Refusal, Step, TEXT_MAX_BYTES};
pub use error::MessageError;
pub use request::{Layer, Request, Tree};

/// Where the broker listens, on a sealed host and on others.
pub const SOCKET: &str = "/run/sealpack/broker";

/// The first bytes of every request, the last of them the version.
const MAGIC: [u8; 4] = *b"SPB1";

/// The longest request, in bytes.
pub const REQUEST_MAX_BYTES: usize = 256 * 1024;

/// How many layers one overlay can have, the metadata image among them: each has up to two descriptors, and a message
/// carries at most 253 (`SCM_MAX_FD`).
pub const LAYERS_MAX: usize = 61;

/// The fewest layers of an overlay: the metadata image and one pack.
pub const LAYERS_MIN: usize = 2;

/// How long a signature can be, in bytes. The shortest that the kernel could accept is longer than the least of these.
pub const SIGNATURE_BYTES: RangeInclusive<usize> = 16..=16 * 1024;

/// How many blocks of 4096 bytes a device can have: as many as the largest file of ext4.
pub const DATA_BLOCKS_MAX: u64 = 1 << 32;

#[cfg(test)]
mod tests;
