//! An image as it was found, before anything of its layers is fetched.

use sealpack_format::digest::BlobDigest;
use sealpack_oci::image::{ResolvedImage, resolve_root};
use sealpack_oci::platform::Platform;
use sealpack_oci::transport::ImageSource;

/// An image as it was found.
#[derive(Debug)]
pub struct Found {
    /// Its manifest and config, resolved.
    pub image: ResolvedImage,
    /// What the source's name means: the manifest, or an index.
    root: (BlobDigest, Vec<u8>),
}

impl Found {
    /// The image for `platform`. The source's name is looked up once: what it means later does not matter.
    pub fn resolve(source: &dyn ImageSource, platform: &Platform) -> Result<Self, sealpack_oci::Error> {
        let (descriptor, bytes) = source.root()?;
        let root = (descriptor.digest, bytes.clone());
        Ok(Self { image: resolve_root(source, descriptor, bytes, platform)?, root })
    }

    /// The index that the manifest was chosen from, with its digest.
    #[must_use]
    pub fn index(&self) -> Option<(BlobDigest, &[u8])> {
        let (digest, bytes) = &self.root;
        (*digest != self.image.manifest.digest).then_some((*digest, bytes.as_slice()))
    }

    /// The digest of that index.
    #[must_use]
    pub fn index_digest(&self) -> Option<&BlobDigest> {
        self.index().map(|_| &self.root.0)
    }

    /// The image's platform, as records have it.
    #[must_use]
    pub fn platform(&self) -> String {
        self.image.platform.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}
