//! An OCI layout in a tar file.

use std::io::Read;
use std::path::Path;

use sealpack_format::BlobDigest;
use sealpack_format::reference::Reference;

use super::members::Members;
use crate::error::{Error, Result};
use crate::layout::{ImageChoice, LayoutIndex};
use crate::manifest::{Descriptor, MANIFEST_MAX_BYTES};
use crate::transport::ImageSource;

/// An OCI layout in a tar file.
#[derive(Debug)]
pub struct OciArchive {
    members: Members,
    layout: LayoutIndex,
}

impl OciArchive {
    /// Reads the archive's headers and finds the image that `choice` means.
    ///
    /// # Errors
    /// When the file is no tar, is compressed, holds no layout of version 1, or has no such
    /// image, or several.
    pub fn open(path: &Path, choice: ImageChoice) -> Result<Self> {
        let what = format!("oci-archive:{}{choice}", path.display());
        let members = Members::read(path)?;
        if !members.has("oci-layout") {
            let problem = match members.has("manifest.json") {
                true => {
                    format!("it has no oci-layout, but is one of docker's: docker-archive:{}", path.display())
                }
                false => "it has no oci-layout, so it is no OCI archive".to_owned(),
            };
            return Err(Error::malformed(path.display().to_string(), problem));
        }
        let marker = members.read_small("oci-layout", MANIFEST_MAX_BYTES)?;
        let index = members.read_small("index.json", MANIFEST_MAX_BYTES)?;
        let fallback = path.file_name().and_then(|name| name.to_str());
        let layout = LayoutIndex::read(what, &marker, index, choice, fallback)?;
        Ok(Self { members, layout })
    }
}

fn member(digest: &BlobDigest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

impl ImageSource for OciArchive {
    fn description(&self) -> String {
        self.layout.what.clone()
    }

    fn root(&self) -> Result<(Descriptor, Vec<u8>)> {
        self.layout.root(
            |descriptor| self.fetch(descriptor),
            |digest| self.members.read_small(&member(digest), MANIFEST_MAX_BYTES),
        )
    }

    fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let what = format!("{}: {}", self.layout.what, descriptor.digest);
        descriptor.check_fits_memory(&what)?;
        let bytes = self.members.read_small(&member(&descriptor.digest), descriptor.memory_limit_bytes())?;
        descriptor.verify(&what, &bytes)?;
        Ok(bytes)
    }

    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let extent = self.members.find(&member(&descriptor.digest))?;
        if extent.size_bytes != descriptor.size_bytes {
            return Err(Error::SizeMismatch {
                what: format!("{}: {}", self.layout.what, descriptor.digest),
                expected_bytes: descriptor.size_bytes,
                actual_bytes: extent.size_bytes,
            });
        }
        Ok(Box::new(self.members.open(extent, offset)))
    }

    fn referrers(&self, subject: &Descriptor, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        self.layout.referrers(subject, artifact_type, |descriptor| self.fetch(descriptor))
    }

    fn tagged(&self, tag: &str) -> Result<Option<(Descriptor, Vec<u8>)>> {
        self.layout.tagged(tag, |descriptor| self.fetch(descriptor))
    }

    fn default_name(&self) -> Option<Reference> {
        self.layout.default_name.clone()
    }
}
