//! An image as it was found, before anything of its layers is fetched.

use std::io::Read;

use sealpack_format::digest::BlobDigest;
use sealpack_format::reference::Reference;
use sealpack_oci::image::{ResolvedImage, resolve_root};
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::platform::Platform;
use sealpack_oci::transport::ImageSource;
use sealpack_store::Store;

/// An image as it was found.
#[derive(Debug)]
#[non_exhaustive]
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

    /// The same, with what `store` has of it taken from there: nobody is asked for what has the digest that is wanted.
    pub(crate) fn resolve_beside(
        store: Option<&Store>,
        source: &dyn ImageSource,
        platform: &Platform,
    ) -> Result<Self, sealpack_oci::Error> {
        match store {
            Some(store) => Self::resolve(&Beside { store, source }, platform),
            None => Self::resolve(source, platform),
        }
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

/// A source whose manifests and configs a store may have.
struct Beside<'a> {
    store: &'a Store,
    source: &'a dyn ImageSource,
}

impl ImageSource for Beside<'_> {
    fn description(&self) -> String {
        self.source.description()
    }

    fn root(&self) -> Result<(Descriptor, Vec<u8>), sealpack_oci::Error> {
        self.source.root()
    }

    fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>, sealpack_oci::Error> {
        // What is not there, is damaged or cannot be read, or is longer than was said, is fetched.
        match self.store.blob(&descriptor.digest) {
            Ok(bytes) if bytes.len() as u64 == descriptor.size_bytes => Ok(bytes),
            _ => self.source.fetch(descriptor),
        }
    }

    fn open(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, sealpack_oci::Error> {
        self.source.open(descriptor, offset)
    }

    fn referrers(
        &self,
        subject: &Descriptor,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, sealpack_oci::Error> {
        self.source.referrers(subject, artifact_type)
    }

    fn tagged(&self, tag: &str) -> Result<Option<(Descriptor, Vec<u8>)>, sealpack_oci::Error> {
        self.source.tagged(tag)
    }

    fn reject(&self, descriptor: &Descriptor) -> bool {
        self.source.reject(descriptor)
    }

    fn is_remote(&self) -> bool {
        self.source.is_remote()
    }

    fn default_name(&self) -> Option<Reference> {
        self.source.default_name()
    }
}
