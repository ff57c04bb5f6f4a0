//! Images to put into registries, layouts and archives.

use std::io::Write as _;

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// A layer: the blob, and the tar stream in it.
#[derive(Debug, Clone)]
pub struct ImageLayer {
    /// Its media type.
    pub media_type: &'static str,
    /// The bytes in the registry.
    pub blob: Vec<u8>,
    /// The uncompressed bytes.
    pub tar: Vec<u8>,
}

impl ImageLayer {
    /// `tar` as one gzip member.
    #[must_use]
    pub fn gzip(tar: &[u8]) -> Self {
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        Self { media_type, blob: gzip(tar), tar: tar.to_vec() }
    }

    /// `tar` as it is.
    #[must_use]
    pub fn plain(tar: &[u8]) -> Self {
        Self { media_type: "application/vnd.oci.image.layer.v1.tar", blob: tar.to_vec(), tar: tar.to_vec() }
    }
}

/// An image of one platform.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest's media type.
    pub manifest_type: &'static str,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The config's bytes.
    pub config: Vec<u8>,
    /// The layers, the base first.
    pub layers: Vec<ImageLayer>,
}

impl Image {
    /// An OCI image of `layers` for `platform` (`linux/amd64`, `linux/arm/v7`).
    #[must_use]
    pub fn new(platform: &str, layers: Vec<ImageLayer>) -> Self {
        let mut names = platform.split('/');
        let (os, architecture, variant) = (names.next(), names.next(), names.next());
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest_of(&layer.tar)).collect();
        let config = json!({
            "os": os, "architecture": architecture, "variant": variant,
            "config": {"Cmd": ["/bin/sh"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let manifest_type = "application/vnd.oci.image.manifest.v1+json";
        let described: Vec<_> =
            layers.iter().map(|layer| descriptor(layer.media_type, &layer.blob)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": manifest_type, "layers": described,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        });
        Self { manifest_type, manifest: manifest.to_string().into_bytes(), config, layers }
    }

    /// An OCI index of images with their platforms.
    #[must_use]
    pub fn index(images: &[(&str, &Self)]) -> Vec<u8> {
        let entry = |(platform, image): &(&str, &Self)| {
            let mut names = platform.split('/');
            let mut entry = descriptor(image.manifest_type, &image.manifest);
            entry["platform"] =
                json!({"os": names.next(), "architecture": names.next(), "variant": names.next()});
            entry
        };
        let entries: Vec<_> = images.iter().map(entry).collect();
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries,
        });
        index.to_string().into_bytes()
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len()})
}

/// `sha256:…` of `bytes`.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// `bytes` as one gzip member.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}
