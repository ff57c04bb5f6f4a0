//! What only the kernel and the processor can do. The only crate with unsafe code.

#[allow(unsafe_code, reason = "to call code compiled for processor features that were detected")]
pub mod sha256;
