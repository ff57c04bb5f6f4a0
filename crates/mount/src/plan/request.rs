//! What is to be mounted.

use std::path::PathBuf;

use sealpack_format::digest::{ObjectId, RootHash};

use super::PlanError;
use crate::level::Level;

/// An image to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The metadata image.
    pub image: PathBuf,
    /// The fs-verity digest that it must have.
    pub image_id: ObjectId,
    /// Where the contents are.
    pub objects: Objects,
    /// Where changes go; without it the mount is read-only.
    pub writable: Option<Writable>,
    /// The directory to mount on.
    pub target: PathBuf,
    /// Mount read-only even with [`writable`](Self::writable), showing the changes so far.
    pub read_only: bool,
    /// Let nothing be executed from the mount.
    pub noexec: bool,
    /// Let set-user-ID bits have no effect, even where signatures would allow them.
    pub nosuid: bool,
    /// The least that the mount must be good for.
    pub required: Level,
    /// The most that is tried for.
    pub at_most: Level,
}

impl Request {
    /// That image read-only on `target`, at the best level that image and machine reach. Other wishes replace the fields.
    #[must_use]
    pub const fn read_only(image: PathBuf, image_id: ObjectId, objects: Objects, target: PathBuf) -> Self {
        Self {
            image,
            image_id,
            objects,
            writable: None,
            target,
            read_only: true,
            noexec: false,
            nosuid: false,
            required: Level::Plain,
            at_most: Level::Enforced,
        }
    }
}

/// Where the contents of an image are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objects {
    /// In files named by their fs-verity digests.
    Files {
        /// The directories with them, in the order in which they are searched.
        directories: Vec<PathBuf>,
        /// Whether fs-verity is enabled on all of them. If so, overlayfs is told to refuse any
        /// object that is not the one the metadata image means.
        have_verity: bool,
    },
    /// In packs.
    Packs {
        /// The hash area of the metadata image, which is on dm-verity as the packs are.
        metadata: MetadataHashArea,
        /// The packs in the order of the layers.
        packs: Vec<Pack>,
        /// Whether it is known that they have all that the metadata image refers to. Otherwise that is
        /// [looked for](crate::look_for_objects), which takes reading all their names.
        are_complete: bool,
    },
}

/// The hash area of a metadata image: dm-verity's superblock and tree, in a file of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataHashArea {
    /// The file.
    pub path: PathBuf,
    /// The number of blocks of 4096 bytes that the metadata image has.
    pub data_blocks: u64,
    /// The tree's root hash.
    pub root_hash: RootHash,
    /// Signatures of the root hash. One that the kernel accepts is enough.
    pub signatures: Vec<Signature>,
}

/// A pack: objects as a filesystem, and behind it the hash area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// The file.
    pub path: PathBuf,
    /// The number of blocks of 4096 bytes of the filesystem; the hash area begins behind them.
    pub filesystem_blocks: u64,
    /// The root hash of the filesystem.
    pub root_hash: RootHash,
    /// Signatures of the root hash. One that the kernel accepts is enough.
    pub signatures: Vec<Signature>,
}

/// A signature of a root hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Detached PKCS#7 in DER over the root hash in lowercase hex, 1 to 32767 bytes.
    pub der: Vec<u8>,
    /// Which certificate the kernel needs for it, in words for messages.
    pub signer: String,
}

/// The two directories of a writable overlay. They must be on the same filesystem, neither
/// inside the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writable {
    /// Has the changes.
    pub upper: PathBuf,
    /// overlayfs' own working space.
    pub work: PathBuf,
}

impl Writable {
    /// The two directories, or `None` when neither is given.
    ///
    /// # Errors
    /// When only one is given.
    pub fn new(upper: Option<PathBuf>, work: Option<PathBuf>) -> Result<Option<Self>, PlanError> {
        match (upper, work) {
            (Some(upper), Some(work)) => Ok(Some(Self { upper, work })),
            (None, None) => Ok(None),
            (Some(upper), None) => Err(PlanError::NoWork { upper }),
            (None, Some(work)) => Err(PlanError::NoUpper { work }),
        }
    }
}
