//! What `docker save` and `podman save` write: `manifest.json`, a config, and layers, mostly bare tars.
//!
//! Such an archive has no manifest of a registry's kind. One is made that says the same: Docker
//! schema 2, compact JSON, the config's digest and each layer as it lies in the archive. A bare
//! layer's blob digest is its diff_id by definition, so all of it is verified, and equal images
//! get equal manifests.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use sealpack_format::reference::Reference;
use sealpack_format::{Algorithm, BlobDigest, DiffId};
use serde::{Deserialize, Serialize};

use super::members::{Extent, Members};
use crate::error::{Error, Result};
use crate::hash::BlobHasher;
use crate::json;
use crate::manifest::{CONFIG_MAX_BYTES, Config, Descriptor, LAYERS_MAX, MANIFEST_MAX_BYTES};
use crate::media_type::{
    Compression, DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD, DOCKER_MANIFEST,
};
use crate::transport::ImageSource;

/// Which image of a docker-archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveChoice {
    /// The only one.
    Only,
    /// The one with this name.
    Name(Reference),
    /// The one at this position in manifest.json, from 0.
    Number(usize),
}

impl fmt::Display for ArchiveChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Name(reference) => write!(f, ":{reference}"),
            Self::Number(number) => write!(f, ":@{number}"),
        }
    }
}

/// One image of a docker-archive.
#[derive(Debug)]
pub struct DockerArchive {
    what: String,
    members: Members,
    manifest_bytes: Vec<u8>,
    config_bytes: Vec<u8>,
    layers: HashMap<BlobDigest, Extent>,
    default_name: Option<Reference>,
}

/// An entry of manifest.json.
#[derive(Deserialize)]
pub(super) struct SavedImage {
    #[serde(rename = "Config", default, deserialize_with = "json::text")]
    config: Option<String>,
    #[serde(rename = "RepoTags", default, deserialize_with = "json::or_empty")]
    pub(super) names: Vec<String>,
    #[serde(rename = "Layers", default, deserialize_with = "json::or_empty")]
    layers: Vec<String>,
}

/// The manifest that is made, its fields in the order in which docker writes them.
#[derive(Serialize)]
struct MadeManifest<'a> {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    #[serde(rename = "mediaType")]
    media_type: &'a str,
    config: MadeDescriptor<'a>,
    layers: Vec<MadeDescriptor<'a>>,
}

#[derive(Serialize)]
struct MadeDescriptor<'a> {
    #[serde(rename = "mediaType")]
    media_type: &'a str,
    size: u64,
    digest: BlobDigest,
}

impl<'a> From<&'a Descriptor> for MadeDescriptor<'a> {
    fn from(descriptor: &'a Descriptor) -> Self {
        Self { media_type: &descriptor.media_type, size: descriptor.size_bytes, digest: descriptor.digest }
    }
}

impl DockerArchive {
    /// Reads the archive's headers and finds the image that `choice` means.
    ///
    /// # Errors
    /// When the file is no tar, is compressed, has no manifest.json, or has no such image, or several.
    pub fn open(path: &Path, choice: ArchiveChoice) -> Result<Self> {
        let what = format!("docker-archive:{}{choice}", path.display());
        let members = Members::read(path)?;
        if !members.has("manifest.json") {
            let problem = match (members.has("oci-layout"), members.has("repositories")) {
                (true, _) => {
                    format!("it has no manifest.json, but is an OCI archive: oci-archive:{}", path.display())
                }
                (_, true) => {
                    "it has no manifest.json: docker before 1.10 wrote it; load and save it again".to_owned()
                }
                _ => "it has no manifest.json, so it is no archive of docker's".to_owned(),
            };
            return Err(Error::malformed(path.display().to_string(), problem));
        }
        let listing = members.read_small("manifest.json", MANIFEST_MAX_BYTES)?;
        let images = read_listing(&what, &listing)?;
        let image = choose(&what, &images, &choice)?;
        let config_name = image.config.as_deref().ok_or_else(|| {
            Error::malformed(format!("{what}: manifest.json"), "the image has no config there")
        })?;
        let config_bytes = members.read_small(config_name, CONFIG_MAX_BYTES)?;
        let config = Config::parse(&format!("{what}: {config_name}"), &config_bytes)?;
        let names = &image.layers;
        if names.len() != config.diff_ids.len() || names.len() > LAYERS_MAX {
            let (layers, diff_ids) = (names.len(), config.diff_ids.len());
            let problem =
                format!("it has {layers} layers (the limit is {LAYERS_MAX}) and {diff_ids} diff_ids");
            return Err(Error::malformed(what, problem));
        }
        let mut layers = HashMap::new();
        let mut descriptors = Vec::new();
        for (name, diff_id) in names.iter().zip(&config.diff_ids) {
            let extent = members.find(name)?;
            let descriptor = describe_layer(path, &members, name, extent, diff_id)?;
            layers.insert(descriptor.digest, extent);
            descriptors.push(descriptor);
        }
        let config = Descriptor::of(DOCKER_CONFIG, &config_bytes);
        let manifest = MadeManifest {
            schema_version: 2,
            media_type: DOCKER_MANIFEST,
            config: MadeDescriptor::from(&config),
            layers: descriptors.iter().map(MadeDescriptor::from).collect(),
        };
        let manifest_bytes = serde_json::to_vec(&manifest).map_err(|error| Error::malformed(&what, error))?;
        let default_name = default_name(path, image, &choice);
        Ok(Self { what, members, manifest_bytes, config_bytes, layers, default_name })
    }
}

/// The images that `manifest.json` lists.
pub(super) fn read_listing(what: &str, listing: &[u8]) -> Result<Vec<SavedImage>> {
    let malformed = |error: &dyn fmt::Display| Error::malformed(format!("{what}: manifest.json"), error);
    let images: Option<Vec<Option<SavedImage>>> =
        serde_json::from_slice(listing).map_err(|error| malformed(&error))?;
    let no_image = |problem: &str| Error::NoImage { what: what.to_owned(), problem: problem.to_owned() };
    let images =
        images.ok_or_else(|| no_image("its manifest.json is null, so that it has no image at all"))?;
    let numbered = images.into_iter().enumerate();
    numbered
        .map(|(number, image)| image.ok_or_else(|| malformed(&format!("image @{number} is null"))))
        .collect()
}

/// A bare layer is described by its diff_id, without reading it; a compressed one by the digest
/// in its name, or by reading it. Whether the digest is right is seen when the layer is read.
fn describe_layer(
    path: &Path,
    members: &Members,
    name: &str,
    extent: Extent,
    diff_id: &DiffId,
) -> Result<Descriptor> {
    let failed = |error| Error::from_read(error).unwrap_or_else(|source| Error::file("read", path, source));
    let mut start = Vec::new();
    members.open(extent, 0).take(4).read_to_end(&mut start).map_err(failed)?;
    let media_type = match Compression::of_magic(&start) {
        Compression::Plain => {
            let digest = BlobDigest::from_slice(diff_id.algorithm(), diff_id.as_bytes())
                .expect("a diff_id has the length of its algorithm");
            return Ok(Descriptor::new(DOCKER_LAYER, digest, extent.size_bytes));
        }
        Compression::Gzip => DOCKER_LAYER_GZIP,
        Compression::Zstd => DOCKER_LAYER_ZSTD,
    };
    let named = name.strip_prefix("blobs/").and_then(|rest| rest.replacen('/', ":", 1).parse().ok());
    let digest = match named {
        Some(digest) => digest,
        None => {
            let mut hasher = BlobHasher::new(Algorithm::Sha256);
            let mut reader = members.open(extent, 0);
            let mut chunk = vec![0; 256 * 1024];
            loop {
                match reader.read(&mut chunk).map_err(failed)? {
                    0 => break hasher.finish_blob(),
                    count => hasher.update(&chunk[..count]),
                }
            }
        }
    };
    Ok(Descriptor::new(media_type, digest, extent.size_bytes))
}

fn choose<'a>(what: &str, images: &'a [SavedImage], choice: &ArchiveChoice) -> Result<&'a SavedImage> {
    let no_image = |problem: String| Error::NoImage { what: what.to_owned(), problem };
    let has_name = |image: &SavedImage, wanted: &Reference| {
        let mut names = image.names.iter();
        names.any(|name| name.parse::<Reference>().is_ok_and(|name| name == *wanted))
    };
    match (choice, images) {
        (ArchiveChoice::Only, [only]) => Ok(only),
        (ArchiveChoice::Only, []) => Err(no_image("it has no image at all".to_owned())),
        (ArchiveChoice::Only, _) => {
            Err(no_image(format!("it has {} images; say which one: {}", images.len(), names(images))))
        }
        (ArchiveChoice::Number(number), _) => images
            .get(*number)
            .ok_or_else(|| no_image(format!("it has {} images, counted from @0", images.len()))),
        (ArchiveChoice::Name(wanted), _) => images
            .iter()
            .find(|image| has_name(image, wanted))
            .ok_or_else(|| no_image(format!("it has no image of that name; it has {}", names(images)))),
    }
}

fn names(images: &[SavedImage]) -> String {
    let name = |(number, image): (usize, &SavedImage)| match &image.names[..] {
        [first, ..] => format!(":{}", first.chars().take(300).collect::<String>().escape_debug()),
        _ => format!(":@{number}"),
    };
    let names: Vec<String> = images.iter().enumerate().map(name).take(20).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The name that was chosen or the first that the archive gives; else `localhost/FILE`.
fn default_name(path: &Path, image: &SavedImage, choice: &ArchiveChoice) -> Option<Reference> {
    if let ArchiveChoice::Name(name) = choice {
        return Some(name.clone());
    }
    let own = image.names.iter().find_map(|name| name.parse().ok());
    let file = path.file_name().and_then(|name| name.to_str()).map(str::to_ascii_lowercase);
    own.or_else(|| {
        let file = file?;
        format!("localhost/{}", file.strip_suffix(".tar").unwrap_or(&file)).parse().ok()
    })
}

impl ImageSource for DockerArchive {
    fn description(&self) -> String {
        self.what.clone()
    }

    fn root(&self) -> Result<(Descriptor, Vec<u8>)> {
        Ok((Descriptor::of(DOCKER_MANIFEST, &self.manifest_bytes), self.manifest_bytes.clone()))
    }

    fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let what = format!("{}: {}", self.what, descriptor.digest);
        for bytes in [&self.config_bytes, &self.manifest_bytes] {
            if descriptor.verify(&what, bytes).is_ok() {
                return Ok(bytes.clone());
            }
        }
        Err(Error::NoBlob { what: self.what.clone(), name: descriptor.digest.to_string() })
    }

    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        match self.layers.get(&descriptor.digest) {
            Some(extent) => Ok(Box::new(self.members.open(*extent, offset))),
            None => Err(Error::NoBlob { what: self.what.clone(), name: descriptor.digest.to_string() }),
        }
    }

    fn default_name(&self) -> Option<Reference> {
        self.default_name.clone()
    }
}
