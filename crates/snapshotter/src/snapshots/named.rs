//! What images containerd knows by name, for layers of which nobody said what image they are.
//!
//! Clients say it when a layer comes in, and not when a container is made. Layers that came in without a name, as those of `ctr`
//! do, or with another image that has more of them, are known to containerd all the same: the image's manifest and config
//! are in its content store.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::{MutexGuard, PoisonError};

use sealpack_format::DiffId;
use sealpack_format::digest::BlobDigest;
use sealpack_format::reference::Reference;
use sealpack_oci::Error as OciError;
use sealpack_oci::image::resolve;
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::platform::Platform;
use sealpack_oci::transport::ImageSource;
use sealpack_store::ChainId;

use super::Snapshotter;
use crate::error::Error;
use crate::rules::{ImageOf, name};

/// What a containerd calls images.
pub trait Images: Send + Sync {
    /// The images of a namespace.
    ///
    /// # Errors
    /// When containerd does not say.
    fn named(&self, namespace: &str) -> io::Result<Vec<Named>>;

    /// The name of the image that a container is of whose own snapshot a client calls `key`; `None` where there is no such
    /// container, or not yet: clients make it after its snapshot.
    ///
    /// # Errors
    /// When containerd does not say.
    fn of_container(&self, namespace: &str, key: &str) -> io::Result<Option<String>>;

    /// Begins to read a manifest or a config.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, namespace: &str, blob: &BlobDigest) -> io::Result<Box<dyn Read + Send>>;
}

impl std::fmt::Debug for dyn Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Images")
    }
}

/// An image by one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub reference: String,
    /// Its manifest, or an index.
    pub target: Descriptor,
}

/// What images consist of, by the namespace and the digest of what their names mean: the manifest for this machine, and the chain
/// of its layers.
pub(super) type Known = HashMap<(String, BlobDigest), (BlobDigest, ChainId)>;

impl Snapshotter {
    /// Has `images` asked for the names of layers that came without. Only the first one is asked.
    pub fn ask_of_images(&self, images: impl Images + 'static) {
        _ = self.images.set(Box::new(images));
    }

    /// The images that consist of exactly the layers of a chain: those with a tag first, as they have most to say for themselves.
    pub(super) fn images_of(&self, namespace: &str, chain: &ChainId) -> Result<Vec<ImageOf>, Error> {
        let Some(images) = self.images.get() else { return Ok(Vec::new()) };
        let named = images.named(namespace).map_err(Error::Content)?;
        let targets: HashSet<BlobDigest> = named.iter().map(|named| named.target.digest).collect();
        self.known().retain(|(of, target), _| of != namespace || targets.contains(target));
        let mut found = Vec::new();
        for named in &named {
            let Some(reference) = name(&named.reference) else { continue };
            // Of what is not there, or is no image for this machine, no container is made.
            let Some((manifest, _)) =
                self.made_of(images.as_ref(), namespace, named).filter(|it| it.1 == *chain)
            else {
                continue;
            };
            let image = ImageOf { reference: named.reference.clone(), manifest };
            found.push((reference.tag().is_none(), image));
        }
        found.sort_by_key(|(is_without_tag, _)| *is_without_tag);
        Ok(found.into_iter().map(|(_, image)| image).collect())
    }

    /// What an image consists of, which is read once: its digest says it for good. Nobody waits for another's reading.
    fn made_of(&self, images: &dyn Images, namespace: &str, named: &Named) -> Option<(BlobDigest, ChainId)> {
        let target = (namespace.to_owned(), named.target.digest);
        let known = self.known().get(&target).copied();
        known.or_else(|| {
            let made_of = consists(images, namespace, named)?;
            self.known().insert(target, made_of);
            Some(made_of)
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known_images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The manifest of an image for this machine, and the chain of its layers; `None` for what is none.
fn consists(images: &dyn Images, namespace: &str, named: &Named) -> Option<(BlobDigest, ChainId)> {
    let image = resolve(&InContainerd { images, namespace, named }, &Platform::host()).ok()?;
    let layers: Vec<DiffId> = image.layers.iter().map(|layer| layer.diff_id).collect();
    Some((image.manifest.digest, ChainId::of(&layers)?))
}

/// An image in containerd's content store, without its layers, which need not be there.
struct InContainerd<'a> {
    images: &'a dyn Images,
    namespace: &'a str,
    named: &'a Named,
}

impl ImageSource for InContainerd<'_> {
    fn description(&self) -> String {
        format!("containerd's {}", self.named.reference)
    }

    fn root(&self) -> Result<(Descriptor, Vec<u8>), OciError> {
        Ok((self.named.target.clone(), self.fetch(&self.named.target)?))
    }

    fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>, OciError> {
        let what = format!("{} of {}", descriptor.digest, self.description());
        descriptor.check_fits_memory(&what)?;
        let mut bytes = Vec::new();
        let read = self.images.read(self.namespace, &descriptor.digest);
        // One more shows that it is longer.
        let read = read.and_then(|blob| blob.take(descriptor.size_bytes + 1).read_to_end(&mut bytes));
        if read.is_err() {
            return Err(self.without(descriptor));
        }
        descriptor.verify(&what, &bytes)?;
        Ok(bytes)
    }

    fn open(&self, descriptor: &Descriptor, _: u64) -> Result<Box<dyn Read + Send>, OciError> {
        Err(self.without(descriptor))
    }

    fn default_name(&self) -> Option<Reference> {
        None
    }
}

impl InContainerd<'_> {
    fn without(&self, descriptor: &Descriptor) -> OciError {
        OciError::NoBlob { what: self.description(), name: descriptor.digest.to_string() }
    }
}
