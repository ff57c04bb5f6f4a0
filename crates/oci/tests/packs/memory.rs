//! An image in memory, which counts how often its layers are read.

use std::collections::HashMap;
use std::io::{Cursor, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use sealpack_format::reference::Reference;
use sealpack_format::{Algorithm, BlobDigest, DiffId};
use sealpack_oci::error::{Error, Result};
use sealpack_oci::image::{Layer, ResolvedImage};
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::media_type::Compression;
use sealpack_oci::transport::ImageSource;

pub(crate) struct Memory {
    blobs: HashMap<BlobDigest, Vec<u8>>,
    opened: AtomicUsize,
    pub(crate) image: ResolvedImage,
}

impl Memory {
    /// The image of those layers.
    pub(crate) fn new(tars: &[Vec<u8>], compression: Compression) -> Self {
        let (mut blobs, mut layers) = (HashMap::new(), Vec::new());
        for tar in tars {
            let blob = compressed(tar, compression);
            let descriptor = Descriptor::of("application/vnd.oci.image.layer.v1.tar", &blob);
            layers.push(Layer { diff_id: diff_id_of(tar), compression, descriptor: descriptor.clone() });
            blobs.insert(descriptor.digest, blob);
        }
        let manifest_bytes = format!("manifest of {layers:?}").into_bytes();
        let config_bytes = format!("config of {layers:?}").into_bytes();
        let image = ResolvedImage {
            manifest: Descriptor::of("application/vnd.oci.image.manifest.v1+json", &manifest_bytes),
            manifest_bytes,
            config: Descriptor::of("application/vnd.oci.image.config.v1+json", &config_bytes),
            config_bytes,
            platform: None,
            layers,
            composefs: Vec::new(),
        };
        Self { blobs, opened: AtomicUsize::new(0), image }
    }

    /// How many layers were read since this was asked last.
    pub(crate) fn opened(&self) -> usize {
        self.opened.swap(0, Ordering::Relaxed)
    }
}

pub(crate) fn diff_id_of(tar: &[u8]) -> DiffId {
    DiffId::from_slice(Algorithm::Sha256, Descriptor::of("", tar).digest.as_bytes()).unwrap()
}

/// The blob of a layer.
pub(crate) fn compressed(tar: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::Gzip => gzip(tar),
        Compression::Zstd => zstd::encode_all(tar, 1).unwrap(),
        _ => tar.to_vec(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl ImageSource for Memory {
    fn description(&self) -> String {
        "memory".to_owned()
    }

    fn root(&self) -> Result<(Descriptor, Vec<u8>)> {
        Ok((self.image.manifest.clone(), self.image.manifest_bytes.clone()))
    }

    fn fetch(&self, _: &Descriptor) -> Result<Vec<u8>> {
        Ok(self.image.config_bytes.clone())
    }

    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>, Error> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let mut blob = Cursor::new(self.blobs[&descriptor.digest].clone());
        blob.set_position(offset);
        Ok(Box::new(blob))
    }

    fn default_name(&self) -> Option<Reference> {
        None
    }
}
