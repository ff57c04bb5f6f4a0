//! Images of the store on their way into archives.
//!
//! The store keeps manifests, configs, seals, and what is in layers, but not the blobs that layers came in: of a tar and its
//! compression it remembers what they say, not how. So layers come from where the image is, by the digests that the
//! store's manifest has, and everything else from the store.

use std::io::{Cursor, Read};

use sealpack_format::reference::Reference;
use sealpack_node::seals;
use sealpack_oci::artifact::{Artifact, Part};
use sealpack_oci::environment::Environment;
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::registry::ClientOptions;
use sealpack_oci::source::Source;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{ImageRecord, Store};

use crate::Error;
use crate::publish::{artifact, subject};

/// An image of the store, whose layers are elsewhere.
#[derive(Debug)]
pub struct StoredImage {
    name: String,
    subject: Descriptor,
    /// What is in memory, by descriptor: manifest, config, and the seal with its parts.
    documents: Vec<(Descriptor, Vec<u8>)>,
    seal: Option<Descriptor>,
    layers: Box<dyn ImageSource>,
}

/// Where the layers of the store's image are, unless somebody says: the registry that it was pulled from.
///
/// # Errors
///
/// Of the store's record.
pub fn origin(record: &ImageRecord) -> Result<Source, Error> {
    let name: Reference = record.pulled_as.as_ref().unwrap_or(&record.name).parse()?;
    Ok(Source::Registry(format!("{}@{}", name.name(), record.manifest).parse()?))
}

impl StoredImage {
    /// The image of `record`, with its layers from `layers`, and with the seal that it has in the store.
    ///
    /// # Errors
    ///
    /// Of the store; when `layers` cannot be opened.
    pub fn new(
        store: &Store,
        record: &ImageRecord,
        layers: &Source,
        (client, environment): (&ClientOptions, &Environment),
    ) -> Result<Self, Error> {
        let subject = subject(store, record)?;
        let config = store.blob(&record.config)?;
        let mut documents =
            vec![(subject.clone(), store.blob(&record.manifest)?), (Descriptor::of("", &config), config)];
        let seal = seals::read(store, record)?.map(|seal| artifact(subject.clone(), &seal));
        if let Some(Artifact { config, layers, .. }) = &seal {
            let part = |part: &Part| (part.descriptor(), part.bytes.clone());
            documents.extend([config].into_iter().chain(layers).map(part));
        }
        documents.extend(seal.iter().map(|seal| (seal.descriptor(), seal.manifest())));
        let seal = seal.map(|seal| seal.descriptor());
        let layers = layers.open(client, environment)?;
        Ok(Self { name: record.name.clone(), subject, documents, seal, layers })
    }

    /// Its name in the store.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn document(&self, descriptor: &Descriptor) -> Option<&Vec<u8>> {
        self.documents.iter().find(|(held, _)| held.digest == descriptor.digest).map(|(_, bytes)| bytes)
    }
}

impl ImageSource for StoredImage {
    fn description(&self) -> String {
        format!("{} with layers from {}", self.name, self.layers.description())
    }

    fn root(&self) -> sealpack_oci::Result<(Descriptor, Vec<u8>)> {
        Ok((self.subject.clone(), self.fetch(&self.subject)?))
    }

    fn fetch(&self, descriptor: &Descriptor) -> sealpack_oci::Result<Vec<u8>> {
        match self.document(descriptor) {
            Some(bytes) => {
                descriptor.verify(&format!("{}: {}", self.name, descriptor.digest), bytes)?;
                Ok(bytes.clone())
            }
            None => self.layers.fetch(descriptor),
        }
    }

    fn open(&self, descriptor: &Descriptor, offset: u64) -> sealpack_oci::Result<Box<dyn Read + Send>> {
        match self.document(descriptor) {
            Some(_) => {
                let bytes = self.fetch(descriptor)?;
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                Ok(Box::new(Cursor::new(bytes.get(offset..).unwrap_or_default().to_vec())))
            }
            None => self.layers.open(descriptor, offset),
        }
    }

    /// Those of where the layers are, and the store's seal, which need not have been published.
    fn referrers(
        &self,
        subject: &Descriptor,
        artifact_type: Option<&str>,
    ) -> sealpack_oci::Result<Vec<Descriptor>> {
        let mut found = self.layers.referrers(subject, artifact_type)?;
        let is_asked_for = |seal: &&Descriptor| {
            subject.digest == self.subject.digest
                && artifact_type.is_none_or(|wanted| seal.artifact_type.as_deref() == Some(wanted))
                && !found.iter().any(|listed| listed.digest == seal.digest)
        };
        let seal = self.seal.as_ref().filter(is_asked_for).cloned();
        found.extend(seal);
        Ok(found)
    }

    fn reject(&self, descriptor: &Descriptor) -> bool {
        self.layers.reject(descriptor)
    }

    fn is_remote(&self) -> bool {
        self.layers.is_remote()
    }

    fn default_name(&self) -> Option<Reference> {
        self.name.parse().ok()
    }
}
