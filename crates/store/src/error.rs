//! What can go wrong, in words for the person at the terminal.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sealpack_format::digest::{Algorithm, BlobDigest, DiffId, ObjectId};
use sealpack_format::layer::LayerError;
use sealpack_format::limits::PACKS_MAX;
use sealpack_format::pack::PackWriteError;

use crate::holders::LockError;

/// The result of all that touches a store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call on a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at the path.
    #[error("there is no store at {}: the first pull makes one", path.display())]
    Missing {
        /// Where the store should be.
        path: PathBuf,
    },
    /// The directory is empty, or its making was interrupted.
    #[error("{} is empty, not a store: the first pull makes one there", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} is not a store, and not empty ({found:?} is in it): give another directory", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The name of something in it.
        found: String,
    },
    /// There is a store where one should be made.
    #[error("there is a store at {} already", path.display())]
    Exists {
        /// The store.
        path: PathBuf,
    },
    /// The store was made by a later version.
    #[error(
        "the store {} has format version {version}, and this program knows up to version {known}: \
         use a newer sealpack, or another directory",
        path.display()
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// The version that `meta.json` states.
        version: u64,
        /// The latest version that is known.
        known: u64,
    },
    /// The store uses something that must be understood to use it at all.
    #[error(
        "the store {} uses features that this program does not know ({}): use a newer sealpack, \
         or another directory",
        path.display(), features.join(", ")
    )]
    Features {
        /// The store.
        path: PathBuf,
        /// The unknown flags in `incompat`.
        features: Vec<String>,
    },
    /// `meta.json` is not what it should be.
    #[error("{} is damaged: {what}; the store cannot be used without it", path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The store belongs to another user.
    #[error(
        "the store {} belongs to user {owner}, and this is user {user}: run as user {owner}, or \
         give another directory",
        path.display()
    )]
    Owner {
        /// The store.
        path: PathBuf,
        /// The user id that owns it.
        owner: u32,
        /// The user id of the process.
        user: u32,
    },
    /// A store would be made in a directory of another user, who could put another one in its place.
    #[error(
        "no store of user {user} is made in {}, which belongs to user {owner}: run as user {owner}, or give another \
         directory, or make this one first",
        path.display()
    )]
    Place {
        /// The directory.
        path: PathBuf,
        /// The user id that owns it.
        owner: u32,
        /// The user id of the process.
        user: u32,
    },
    /// The store has another algorithm than the one asked for.
    #[error(
        "the store {} names objects by {has}, not {wanted}: the algorithm is chosen when a store is \
         made; give another directory for a {wanted} store",
        path.display()
    )]
    Algorithm {
        /// The store.
        path: PathBuf,
        /// The store's algorithm.
        has: Algorithm,
        /// The algorithm asked for.
        wanted: Algorithm,
    },
    /// The filesystem is full, or the user's quota is used up.
    #[error(
        "no space left to write {}",
        path.display()
    )]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// What is to be written cannot fit.
    #[error(
        "no space left in {} for {needed_bytes} bytes, where its filesystem has {free_bytes}",
        path.display()
    )]
    NoRoom {
        /// The store.
        path: PathBuf,
        /// How much is to be written.
        needed_bytes: u64,
        /// How much there is.
        free_bytes: u64,
    },
    /// The filesystem is mounted read-only.
    #[error("cannot {call} {}: its filesystem is read-only", path.display())]
    ReadOnly {
        /// What was tried.
        call: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The user may not do that.
    #[error("cannot {call} {}: permission denied", path.display())]
    Permission {
        /// What was tried.
        call: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// Any other failure of a system call.
    #[error("cannot {call} {}: {source}", path.display())]
    Io {
        /// What was tried.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// Somebody else is using the store.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The bytes are not those of the digest.
    #[error(transparent)]
    BlobMismatch(Box<BlobMismatch>),
    /// A blob in the store changed after it was written.
    #[error("{} is damaged: its content has the digest {found}", path.display())]
    BlobDamaged {
        /// The file.
        path: PathBuf,
        /// The digest of what it contains.
        found: BlobDigest,
    },
    /// A blob is larger than the store keeps.
    #[error("blob {digest} has {size_bytes} bytes, and the store keeps blobs of at most {limit_bytes}")]
    BlobTooLarge {
        /// The blob.
        digest: BlobDigest,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The store does not have the blob.
    #[error("the store has no blob {0}: pull the image again")]
    BlobMissing(BlobDigest),
    /// The store does not have the layer's record.
    #[error("the store has no layer {0}: pull the image again")]
    LayerMissing(DiffId),
    /// The store does not have the metadata image.
    #[error("the store has no metadata image {0}: pull the image again")]
    ImageMissing(ObjectId),
    /// A metadata image is not the one that its name says.
    #[error(
        "{} is damaged: its fs-verity digest is {}",
        path.display(),
        found.map_or_else(|| "unreadable".to_owned(), |found| found.to_string())
    )]
    ImageDamaged {
        /// The file.
        path: PathBuf,
        /// The digest of what it contains, or `None` when the kernel refused to read it.
        found: Option<ObjectId>,
    },
    /// A metadata image cannot be read as EROFS although its digest is right.
    #[error("cannot read {} as a metadata image: {what}", path.display())]
    ImageUnreadable {
        /// The file.
        path: PathBuf,
        /// What its reader says.
        what: String,
    },
    /// An image in files lacks one of its objects.
    #[error("{name} is incomplete: object {id} is missing")]
    ImageIncomplete {
        /// The image.
        name: String,
        /// The object, or one of those that are missing.
        id: ObjectId,
    },
    /// A layer's record cannot be read.
    #[error("{}: {source}", path.display())]
    LayerDamaged {
        /// The file, which the layer's diff_id names.
        path: PathBuf,
        /// What is wrong.
        source: LayerError,
    },
    /// It is not known what pack a layer has.
    #[error("no pack was made of layer {0} yet")]
    PackUnknown(DiffId),
    /// The record of a layer's pack cannot be read.
    #[error(
        "{} does not say what pack the layer has: {what}",
        path.display()
    )]
    PackRecordDamaged {
        /// The file, which the layer's diff_id names.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A pack is not that of its layer, or not there.
    #[error(
        "the pack {} of layer {layer} cannot be used: {what}",
        path.display()
    )]
    PackDamaged {
        /// The file, which the root hash names.
        path: PathBuf,
        /// The layer.
        layer: DiffId,
        /// What is wrong.
        what: String,
    },
    /// Packs are for stores with SHA-256 only.
    #[error(
        "the store {} names objects by {has}, and packs need sha256: keep objects as files here, or give \
         another directory for a sha256 store",
        path.display()
    )]
    PackAlgorithm {
        /// The store.
        path: PathBuf,
        /// The store's algorithm.
        has: Algorithm,
    },
    /// An object's bytes are not those of its name.
    #[error("object {id} is damaged in {}: pulling the image again replaces it", path.display())]
    ObjectDamaged {
        /// The object.
        id: ObjectId,
        /// The file: the object's own, or a pack.
        path: PathBuf,
    },
    /// A layer cannot be converted, as it is not whole in either form.
    #[error("layer {0} is incomplete or damaged: pull the image again")]
    LayerIncomplete(DiffId),
    /// An image has more packs than can be mounted.
    #[error(
        "{name} would have {packs} packs, and a mount takes at most {PACKS_MAX}: keep its objects as files, \
         or build it with fewer layers"
    )]
    TooManyPacks {
        /// The image.
        name: String,
        /// How many packs it has.
        packs: usize,
    },
    /// Somebody else gave the name to another image meanwhile.
    #[error("{0} was changed by somebody else meanwhile: try again")]
    NameChanged(String),
    /// A layer does not fit into a pack.
    #[error("{0}: keep the image's objects as files")]
    Pack(PackWriteError),
    /// A seal is larger than the store keeps.
    #[error("the seal {} has more than {limit_bytes} bytes", path.display())]
    SealTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// A text that cannot be the name of an image.
    #[error("{name:?} cannot be the name of an image: {why}")]
    Name {
        /// The text, at most 160 characters of it.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name with a digest was to be that of another image.
    #[error("{name} names the image of its digest, and this is {manifest}")]
    NameDigest {
        /// The name.
        name: String,
        /// The manifest of the image.
        manifest: BlobDigest,
    },
    /// A file of a name cannot be used.
    #[error(transparent)]
    RefDamaged(#[from] RefDamage),
    /// A name was seen with a seal of a higher epoch.
    #[error("{name} was seen with epoch {known} meanwhile, and this is epoch {epoch}: an older image")]
    EpochOlder {
        /// The name.
        name: String,
        /// The epoch that is remembered.
        known: u64,
        /// The lower one.
        epoch: u64,
    },
    /// A name was seen with another image of the same epoch.
    #[error(
        "{name} was seen with epoch {epoch} for {known} meanwhile, and {manifest} has the same and was not sealed later"
    )]
    EpochSame {
        /// The name.
        name: String,
        /// The epoch.
        epoch: u64,
        /// The manifest of the image that is remembered.
        known: BlobDigest,
        /// That of the other one.
        manifest: BlobDigest,
    },
    /// A name was seen with a seal, and this image has none.
    #[error("{name} was seen with a seal of epoch {known} meanwhile, and this image has none")]
    EpochUnsealed {
        /// The name.
        name: String,
        /// The epoch that is remembered.
        known: u64,
    },
    /// Nothing was collected, because it is not known what is still needed.
    #[error("nothing was removed, because it is not known what is still needed: {source}")]
    RootUnreadable {
        /// What could not be read.
        source: Box<Error>,
    },
    /// A commit failed before; what it did is undefined until the staging is dropped.
    #[error("an earlier commit of the same staging failed; start again")]
    StagingFailed,
}

/// The bytes given for a blob are not those of its digest.
#[derive(Debug, thiserror::Error)]
#[error("the content of blob {wanted} has the digest {found}")]
pub struct BlobMismatch {
    /// The digest that it should have.
    pub wanted: BlobDigest,
    /// The digest that it has.
    pub found: BlobDigest,
}

/// What is wrong with a file of one name.
#[derive(Debug, thiserror::Error)]
#[error("{} is not {of}: {what}", path.display())]
pub struct RefDamage {
    /// The file.
    pub path: PathBuf,
    /// What it should be: the record of an image, the history or the epoch of a name.
    pub of: &'static str,
    /// What is wrong.
    pub what: String,
}

impl Error {
    /// Sorts an error of the system that `call` ("open", "write") on `path` gave.
    pub(crate) fn io(call: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        let path = path.as_ref().to_owned();
        // What passed through an `io::Write` of ours is sorted already.
        let source = match source.into().downcast::<Self>() {
            Ok(sorted) => return sorted,
            Err(source) => source,
        };
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::NoSpace { path },
            Some(Errno::ROFS) => Self::ReadOnly { call, path },
            Some(Errno::ACCESS | Errno::PERM) => Self::Permission { call, path },
            _ => Self::Io { call, path, source },
        }
    }

    /// As [`io`](Self::io), to be the answer of an `io::Write`.
    pub(crate) fn io_error(call: &'static str, path: impl AsRef<Path>, source: io::Error) -> io::Error {
        let kind = source.kind();
        io::Error::new(kind, Self::io(call, path, source))
    }

    /// Whether something was refused because its bytes are not those that their name promises.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::BlobMismatch(_)
            | Self::ObjectDamaged { .. }
            | Self::BlobDamaged { .. }
            | Self::ImageDamaged { .. }
            | Self::PackDamaged { .. }
            | Self::NameDigest { .. }
            | Self::EpochOlder { .. }
            | Self::EpochSame { .. }
            | Self::EpochUnsealed { .. }
            | Self::LayerDamaged { source: LayerError::Magic | LayerError::Damaged { .. }, .. } => true,
            Self::RootUnreadable { source } => source.is_verification(),
            _ => false,
        }
    }
}
