//! From a source to one platform's image: index, manifest and config, all verified.

use sealpack_format::DiffId;

use crate::composefs::Claim;
use crate::error::{Error, Result};
use crate::manifest::{Config, Descriptor, Document, Index, Manifest};
use crate::media_type::{Compression, MediaKind, is_some_layer, says_no_use};
use crate::platform::{Fit, Platform, StatedPlatform};
use crate::transport::ImageSource;

#[cfg(test)]
mod tests;

/// Deepest nesting of indexes that is followed.
pub(crate) const NESTING_MAX: usize = 4;
/// Most entries of an index without a platform that are opened to see what they are.
const UNLABELLED_MAX: usize = 16;

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The blob. In a docker-archive, an uncompressed layer's blob digest *is* its diff_id.
    pub descriptor: Descriptor,
    /// What the media type says of the blob; whoever reads it compares that with the blob's first bytes.
    pub compression: Compression,
    /// The digest of the uncompressed tar stream.
    pub diff_id: DiffId,
}

/// An image of one platform: everything but the layers' bytes, verified.
#[derive(Debug, Clone)]
pub struct ResolvedImage {
    /// The manifest. For a docker-archive, the one that stands for what the archive says.
    pub manifest: Descriptor,
    /// Its bytes.
    pub manifest_bytes: Vec<u8>,
    /// The config.
    pub config: Descriptor,
    /// Its bytes.
    pub config_bytes: Vec<u8>,
    /// What the image runs on: the config's word, or the index's where the config has none.
    pub platform: Option<Platform>,
    /// The layers, the base first.
    pub layers: Vec<Layer>,
    /// What the image says about its own composefs digests; a [pull](crate::pull::pull) checks it. Those who have
    /// more, of an artifact, add it; those who do not want to know clear it.
    pub composefs: Vec<Claim>,
}

/// Finds the image for `platform` in `source`, and reads all of it but the layers.
///
/// # Errors
/// The source's own, [`Error::NoPlatform`], [`Error::WrongPlatform`], and one for every way in
/// which an index, manifest or config can be wrong.
pub fn resolve(source: &dyn ImageSource, platform: &Platform) -> Result<ResolvedImage> {
    let (descriptor, bytes) = source.root()?;
    resolve_root(source, descriptor, bytes, platform)
}

/// [`resolve`] from a manifest or index on that was fetched before: the source's [root](ImageSource::root).
///
/// # Errors
/// As [`resolve`].
pub fn resolve_root(
    source: &dyn ImageSource,
    descriptor: Descriptor,
    bytes: Vec<u8>,
    platform: &Platform,
) -> Result<ResolvedImage> {
    let mut seen = Vec::new();
    match descend(source, platform, descriptor, Some(bytes), 0, &mut seen)? {
        Some(image) => Ok(image),
        None => {
            seen.sort();
            seen.dedup();
            Err(Error::NoPlatform { what: source.description(), wanted: platform.clone(), available: seen })
        }
    }
}

/// The image below `descriptor`, or `None` when an index there lacks the platform; the
/// platforms it has instead are added to `seen`.
fn descend(
    source: &dyn ImageSource,
    platform: &Platform,
    mut descriptor: Descriptor,
    bytes: Option<Vec<u8>>,
    depth: usize,
    seen: &mut Vec<Platform>,
) -> Result<Option<ResolvedImage>> {
    let what = format!("{} ({})", source.description(), descriptor.digest);
    if depth > NESTING_MAX {
        return Err(Error::malformed(what, format!("indexes are nested deeper than {NESTING_MAX}")));
    }
    let bytes = bytes.map_or_else(|| source.fetch(&descriptor), Ok)?;
    let document = Document::parse(&what, Some(&descriptor.media_type), &bytes)?;
    descriptor.learn_media_type(&bytes);
    match document {
        Document::Index(index) => {
            for entry in candidates(&index, platform, seen) {
                check_entry(&what, entry)?;
                if let Some(image) = descend(source, platform, entry.clone(), None, depth + 1, seen)? {
                    return Ok(Some(image));
                }
            }
            Ok(None)
        }
        Document::Manifest(manifest) => {
            let entry = descriptor.platform.clone().unwrap_or_default();
            let (image, stated) = read_image(source, &what, *manifest, descriptor, bytes)?;
            if platform.fit(&stated) != Fit::Other {
                return Ok(Some(image));
            }
            let actual = stated.or(&platform.clone().into()).platform().unwrap_or_else(|| platform.clone());
            // An entry that left its platform open was only opened to see what it is.
            if depth > 0 && platform.fit(&entry) == Fit::Open {
                seen.push(actual);
                return Ok(None);
            }
            Err(Error::WrongPlatform { what, wanted: platform.clone(), actual })
        }
    }
}

/// Whether an entry of an index is no image, as BuildKit's attestations are none.
#[must_use]
pub fn is_attestation(entry: &Descriptor) -> bool {
    entry.annotations.contains_key("vnd.docker.reference.type")
        || entry.platform.as_ref().is_some_and(StatedPlatform::is_unknown)
}

/// The entries that may lead to an image for `platform`, the best first.
fn candidates<'a>(index: &'a Index, platform: &Platform, seen: &mut Vec<Platform>) -> Vec<&'a Descriptor> {
    let mut labelled = Vec::new();
    let mut unlabelled = Vec::new();
    for entry in index.manifests.iter().filter(|entry| !is_attestation(entry)) {
        let offered = entry.platform.clone().unwrap_or_default();
        match platform.fit(&offered) {
            Fit::Distance(distance) => labelled.push((distance, entry)),
            Fit::Open => unlabelled.push(entry),
            Fit::Other => seen.extend(offered.platform()),
        }
    }
    labelled.sort_by_key(|(distance, _)| *distance);
    let images = unlabelled.into_iter().filter(|entry| entry.names_manifest()).take(UNLABELLED_MAX);
    // The best labelled entry is the answer; there is no looking further when it is broken.
    match labelled.first() {
        Some((_, best)) => vec![*best],
        None => images.collect(),
    }
}

pub(crate) fn check_entry(what: &str, entry: &Descriptor) -> Result<()> {
    match entry.kind() {
        MediaKind::Index | MediaKind::Manifest => Ok(()),
        MediaKind::Other if entry.names_manifest() => Ok(()),
        MediaKind::Schema1 => Err(Error::Schema1 { what: format!("{what}: {}", entry.digest) }),
        _ => Err(Error::MediaType {
            what: format!("{what}: the entry {}", entry.digest),
            media_type: entry.media_type.chars().take(160).collect(),
            supported: "supported are OCI and Docker schema 2 manifests and indexes",
        }),
    }
}

/// Reads what a manifest names but the layers, and gives all that is said of the platform, too.
fn read_image(
    source: &dyn ImageSource,
    what: &str,
    manifest: Manifest,
    descriptor: Descriptor,
    manifest_bytes: Vec<u8>,
) -> Result<(ResolvedImage, StatedPlatform)> {
    let is_artifact = || Error::MediaType {
        what: format!("the config of {what}"),
        media_type: manifest.config.media_type.chars().take(160).collect(),
        supported: "so this is an artifact, not a container image",
    };
    let is_named = manifest.config.kind() == MediaKind::Config;
    if !is_named && !says_no_use(&manifest.config.media_type) {
        return Err(is_artifact());
    }
    let compressions = check_layers(what, &manifest.layers)?;
    let config_bytes = source.fetch(&manifest.config.as_config())?;
    if !is_named && !Config::is_one(&config_bytes) {
        return Err(is_artifact());
    }
    let config = Config::parse(&format!("the config of {what}"), &config_bytes)?;
    if config.diff_ids.len() != manifest.layers.len() {
        return Err(Error::malformed(
            what,
            format!("its config has {} diff_ids for {} layers", config.diff_ids.len(), manifest.layers.len()),
        ));
    }
    let composefs = Claim::in_image(&descriptor.annotations, &manifest, &config_bytes);
    let layers = manifest.layers.into_iter().zip(compressions).zip(config.diff_ids);
    let stated = match &descriptor.platform {
        Some(entry) => config.platform.or(entry),
        None => config.platform,
    };
    let image = ResolvedImage {
        platform: stated.platform(),
        manifest: descriptor,
        manifest_bytes,
        config: manifest.config,
        config_bytes,
        layers: layers
            .map(|((descriptor, compression), diff_id)| Layer { descriptor, compression, diff_id })
            .collect(),
        composefs,
    };
    Ok((image, stated))
}

/// The compressions that the layers' types speak of. What is in a layer is seen when it is read: types that name no use,
/// and those of layers in an unknown packing, leave it open, and the blob of one that is usually kept elsewhere may be
/// there.
fn check_layers(what: &str, layers: &[Descriptor]) -> Result<Vec<Compression>> {
    let check = |(index, layer): (usize, &Descriptor)| match layer.kind() {
        MediaKind::Layer(compression) | MediaKind::ForeignLayer(compression) => Ok(compression),
        _ if says_no_use(&layer.media_type) || is_some_layer(&layer.media_type) => Ok(Compression::Plain),
        _ => Err(Error::MediaType {
            what: format!("layer {} of {what}", index + 1),
            media_type: layer.media_type.chars().take(160).collect(),
            supported: "supported are OCI and Docker layers: tar, plain or with gzip or zstd",
        }),
    };
    layers.iter().enumerate().map(check).collect()
}
