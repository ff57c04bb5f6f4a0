//! Archives: tar files of an OCI layout (`oci-archive`), and what `docker save` writes (`docker-archive`).
//!
//! Nothing is unpacked: the archive is read once to learn where its members lie, and blobs are
//! read from there. So the archive has to be an uncompressed file. One is written whole, not added to.

mod all;
mod docker;
mod members;
mod oci;
#[cfg(test)]
mod tests;
mod write;

pub use all::sources;
pub use docker::{ArchiveChoice, DockerArchive};
pub use oci::OciArchive;
pub use write::{ArchiveForm, ArchiveFormParseError, NewArchive, Packed, Saved, save};
