//! Programs that firmware starts: PE32+ images ("Microsoft Portable Executable and Common Object File Format
//! Specification"), read as far as a UKI needs it, and written by appending to what is there.
//!
//! - [`Image`] reads one: its sections, its signatures, and which bytes a signature is over.
//! - [`append_sections`] makes a UKI of a stub; [`add_signature`] and [`remove_signatures`] change the certificate table,
//!   which is the last thing in a file.

mod append;
mod certificates;
mod error;
mod header;
mod image;
#[cfg(test)]
mod tests;

pub use append::{NewSection, append_sections};
pub use certificates::{add_signature, certificate_content, remove_signatures};
pub use error::PeError;
pub use image::{Image, Machine, Section};
