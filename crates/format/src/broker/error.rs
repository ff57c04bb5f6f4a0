//! Why a message is none.

use super::{DATA_BLOCKS_MAX, LAYERS_MAX, LAYERS_MIN, REQUEST_MAX_BYTES, SIGNATURE_BYTES};

/// Why some bytes are no message of the broker's protocol, or something cannot be put into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Longer than any request.
    #[error("{bytes} bytes are more than a request can have: {REQUEST_MAX_BYTES}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It ends before all that it announces.
    #[error("it ends where {field} should be")]
    Short {
        /// What is missing.
        field: &'static str,
    },
    /// Something follows what it announces.
    #[error("{bytes} bytes follow what it announces")]
    Behind {
        /// How many.
        bytes: usize,
    },
    /// A field has a value that it cannot have.
    #[error("{field} is {value}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// An overlay of too many layers, or too few.
    #[error("an overlay of {count} layers: it takes {LAYERS_MIN} to {LAYERS_MAX}")]
    Layers {
        /// How many.
        count: usize,
    },
    /// A signature that the protocol does not carry.
    #[error(
        "a signature of {bytes} bytes: it takes {} to {}",
        SIGNATURE_BYTES.start(), SIGNATURE_BYTES.end()
    )]
    Signature {
        /// Its length.
        bytes: usize,
    },
    /// A device of too many blocks, or of none.
    #[error("a device of {blocks} blocks: it takes 1 to {DATA_BLOCKS_MAX}")]
    DataBlocks {
        /// How many.
        blocks: u64,
    },
    /// Text that is not text.
    #[error("its text is not printable, or bytes follow its end")]
    Text,
}
