//! Where everything in a store lies, and back: the table of `docs/formats/store.md`. Paths are relative to the
//! store's root, file names to their directory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sealpack_format::digest::{BlobDigest, DiffId, ObjectId, RootHash};

/// What kind of store this is; its presence makes the directory a store.
pub(crate) const META: &str = "meta.json";

/// What is locked.
pub(crate) const LOCK: &str = "lock";

/// What is locked, besides, while names, histories and epochs change.
pub(crate) const NAMES_LOCK: &str = "names.lock";

/// What is locked, besides, while the store is made and gets features.
pub(crate) const MAKING_LOCK: &str = "making.lock";

/// What was verified, where fs-verity does not tell.
pub(crate) const VERIFIED: &str = "verified";

/// What was found out and need not be found out again.
pub(crate) const FACTS: &str = "facts";

/// Contents of files, in a directory for each of the first two digits of their names.
pub(crate) const OBJECTS: &str = "objects";

/// Metadata images and their hash areas.
pub(crate) const IMAGES: &str = "images";

/// Manifests, indexes and configurations, in a directory for each algorithm.
pub(crate) const BLOBS: &str = "blobs";

/// Records of layers and of their packs, in a directory for each algorithm.
pub(crate) const LAYERS: &str = "layers";

/// The images that names stand for.
pub(crate) const REFS: &str = "refs";

/// The images that names stood for before.
pub(crate) const HISTORY: &str = "history";

/// The highest epochs of names.
pub(crate) const EPOCHS: &str = "epochs";

/// What has the directory of packs.
pub(crate) const PACKS_PARENT: &str = "packs";

/// The directory of packs, all of them named by SHA-256.
pub(crate) const PACKS: &str = "packs/sha256";

/// The seals of images.
pub(crate) const SEALS: &str = "seals";

/// Where everything is written before it is renamed to its place.
pub(crate) const TMP: &str = "tmp";

/// How the directories of stagings in [`TMP`] begin.
pub(crate) const STAGING_PREFIX: &str = "stage-";

/// How small files that are being written begin, in [`TMP`].
pub(crate) const DOCUMENT_PREFIX: &str = "file-";

/// The directory in [`TMP`] of downloads that were interrupted.
pub(crate) const PARTIAL: &str = "partial";

/// Where damaged files go. Nothing in it is ever used again; it is the user's to look at and to delete.
pub(crate) const QUARANTINE: &str = "quarantine";

/// The chains that are held.
pub(crate) const CHAINS: &str = "chains";

/// What containers change of their images, in a directory for each container.
pub(crate) const CONTAINERS: &str = "containers";

/// The directory of the snapshotter's snapshots. Nothing else looks into it.
pub(crate) const SNAPSHOTTER: &str = "snapshotter";

/// What a filesystem has at its root, which may be a store's.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";

/// The directories of each algorithm, in [`BLOBS`] and [`LAYERS`].
pub(crate) const ALGORITHMS: [&str; 2] = ["sha256", "sha512"];

/// The directories of every store, without [`TMP`].
pub(crate) const OF_EVERY_STORE: [&str; 9] =
    [OBJECTS, IMAGES, BLOBS, "blobs/sha256", "blobs/sha512", LAYERS, "layers/sha256", "layers/sha512", REFS];

/// The files that a store may have at its root.
pub(crate) const FILES_AT_ROOT: [&str; 6] = [LOCK, NAMES_LOCK, MAKING_LOCK, META, VERIFIED, FACTS];

/// The directories that a store may have at its root.
pub(crate) const DIRECTORIES_AT_ROOT: [&str; 15] = [
    OBJECTS,
    PACKS_PARENT,
    IMAGES,
    BLOBS,
    LAYERS,
    SEALS,
    REFS,
    HISTORY,
    EPOCHS,
    TMP,
    QUARANTINE,
    CHAINS,
    CONTAINERS,
    SNAPSHOTTER,
    LOST_AND_FOUND,
];

/// The names that directories in [`OBJECTS`] may have, sorted.
pub(crate) fn fans() -> impl Iterator<Item = String> {
    (0..=u8::MAX).map(|number| format!("{number:02x}"))
}

/// Whether a directory in [`OBJECTS`] has such a name.
pub(crate) fn is_fan(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The object that a file in `objects/FAN/` is named for.
pub(crate) fn object_of(fan: &str, name: &OsStr) -> Option<ObjectId> {
    [fan, name.to_str()?].concat().parse().ok()
}

/// The file of a metadata image in [`IMAGES`].
pub(crate) fn metadata_image_file_name(id: &ObjectId) -> String {
    format!("{id}.erofs")
}

/// Where a metadata image is in the store.
pub(crate) fn metadata_image_path(id: &ObjectId) -> PathBuf {
    Path::new(IMAGES).join(metadata_image_file_name(id))
}

/// The metadata image that a file in [`IMAGES`] is named for.
pub(crate) fn metadata_image_of_file_name(name: &str) -> Option<ObjectId> {
    name.strip_suffix(".erofs")?.parse().ok()
}

/// The file of a metadata image's hash area in [`IMAGES`].
pub(crate) fn hash_area_file_name(id: &ObjectId) -> String {
    format!("{id}.verity")
}

/// Where the hash area of a metadata image is in the store.
pub(crate) fn hash_area_path(id: &ObjectId) -> PathBuf {
    Path::new(IMAGES).join(hash_area_file_name(id))
}

/// The metadata image that a hash area in [`IMAGES`] is named for.
pub(crate) fn metadata_image_of_hash_area_file_name(name: &str) -> Option<ObjectId> {
    name.strip_suffix(".verity")?.parse().ok()
}

/// Where a blob is in the store.
pub(crate) fn blob_path(digest: &BlobDigest) -> PathBuf {
    PathBuf::from(format!("{BLOBS}/{}/{}", digest.algorithm(), digest.hex()))
}

/// The blob that a file in `blobs/ALGORITHM/` is named for.
pub(crate) fn blob_of_file_name(algorithm: &str, name: &str) -> Option<BlobDigest> {
    format!("{algorithm}:{name}").parse().ok()
}

/// Where the record of a layer is in the store.
pub(crate) fn layer_path(diff_id: &DiffId) -> PathBuf {
    PathBuf::from(format!("{LAYERS}/{}/{}", diff_id.algorithm(), diff_id.hex()))
}

/// Where the record of a layer's pack is in the store.
pub(crate) fn pack_record_path(diff_id: &DiffId) -> PathBuf {
    PathBuf::from(format!("{LAYERS}/{}/{}.pack", diff_id.algorithm(), diff_id.hex()))
}

/// What a file in `layers/ALGORITHM/` is.
pub(crate) enum OfLayer {
    Record(DiffId),
    PackRecord(DiffId),
}

/// What a file in `layers/ALGORITHM/` is by its name.
pub(crate) fn of_layer_file_name(algorithm: &str, name: &str) -> Option<OfLayer> {
    let known = |hex: &str| format!("{algorithm}:{hex}").parse().ok();
    match name.strip_suffix(".pack") {
        Some(hex) => known(hex).map(OfLayer::PackRecord),
        None => known(name).map(OfLayer::Record),
    }
}

/// Where a pack is in the store.
pub(crate) fn pack_path(root_hash: &RootHash) -> PathBuf {
    PathBuf::from(format!("{PACKS}/{root_hash}.pack"))
}

/// The pack that a file in [`PACKS`] is named for.
pub(crate) fn pack_of_file_name(name: &str) -> Option<RootHash> {
    name.strip_suffix(".pack")?.parse().ok()
}

/// What a file in [`SEALS`] is named for: an image's manifest and the statement of the seal. Before there was
/// [`Feature::Seals`](crate::meta::Feature), an image had one seal, named for its manifest alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SealName {
    pub(crate) manifest: BlobDigest,
    pub(crate) statement: Option<BlobDigest>,
}

impl SealName {
    /// The file. The digests of the two algorithms differ in length, so none is another's; that of a statement is SHA-256.
    pub(crate) fn file_name(&self) -> String {
        match &self.statement {
            Some(statement) => format!("{}-{}.json", self.manifest.hex(), statement.hex()),
            None => format!("{}.json", self.manifest.hex()),
        }
    }

    /// Where it is in the store.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new(SEALS).join(self.file_name())
    }

    /// What a file is named for.
    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".json")?;
        let (manifest, statement) =
            name.split_once('-').map_or((name, None), |(one, other)| (one, Some(other)));
        let algorithm = if manifest.len() > 64 { "sha512" } else { "sha256" };
        let statement = statement.map(|hex| format!("sha256:{hex}").parse()).transpose().ok()?;
        Some(Self { manifest: format!("{algorithm}:{manifest}").parse().ok()?, statement })
    }
}

/// The file in [`CHAINS`] of the chain with that SHA-256.
pub(crate) fn chain_file_name(hex: &str) -> String {
    format!("{hex}.json")
}

/// The chain that a file in [`CHAINS`] is named for.
pub(crate) fn chain_of_file_name(name: &str) -> Option<BlobDigest> {
    format!("sha256:{}", name.strip_suffix(".json")?).parse().ok()
}

/// The file in [`PARTIAL`] of a blob.
pub(crate) fn partial_file_name(digest: &BlobDigest) -> String {
    format!("{}-{}", digest.algorithm(), digest.hex())
}
