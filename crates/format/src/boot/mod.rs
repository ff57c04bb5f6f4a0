//! What a sealed host's boot is told, and what it is built of.

pub mod keep;
