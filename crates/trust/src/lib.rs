//! Who may say what may execute: keys and certificates, signatures as the kernel and as firmware take them, the seals of
//! images and what they are worth to whom, and IPE policies.
//!
//! Nothing here reads files or asks the kernel: bytes come in, types and bytes go out, so that what verifies stays
//! small enough to audit.
#![doc = include_str!("../README.md")]

pub mod anchors;
pub mod attestation;
pub mod authenticode;
pub mod judge;
pub mod key;
pub mod pkcs7;
pub mod policy;
pub mod seal;
pub mod timestamp;
