//! What goes wrong, and what kind of answer that is.

use std::io;
use std::path::{Path, PathBuf};

use sealpack_oci::ingest::{IngestError, ScanError};

/// The kinds of answers that containerd tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request makes no sense, whatever there is.
    InvalidArgument,
    /// There is no such snapshot.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// Not as things are: the state of a snapshot, or a rule, is against it.
    FailedPrecondition,
    /// What was kept is damaged.
    DataLoss,
    /// There is no room.
    ResourceExhausted,
    /// Somebody else is to do it.
    Unimplemented,
    /// Later, perhaps.
    Unavailable,
    /// Anything else.
    Internal,
}

impl Code {
    /// As gRPC calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::DataLoss => "DATA_LOSS",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// Why a call was refused, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key or name is in use.
    #[error("snapshot {0} already exists")]
    Exists(String),
    /// Nothing has the key or name.
    #[error("snapshot {0} does not exist")]
    NotFound(String),
    /// Nothing has the name that is to be the parent.
    #[error("parent snapshot {0} does not exist")]
    ParentNotFound(String),
    /// What is to be the parent can still change.
    #[error("parent snapshot {0} is not committed")]
    ParentNotCommitted(String),
    /// A committed snapshot, or a view, where an active one is needed.
    #[error("snapshot {name} is {is}, not {wanted}")]
    Kind {
        /// Its name.
        name: String,
        /// What it is.
        is: &'static str,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// Others are based on it.
    #[error("cannot remove snapshot {0}: it has children, remove them first")]
    HasChildren(String),
    /// A field of a snapshot that cannot change.
    #[error("field {field:?} of snapshot {name} cannot be changed, only its labels can")]
    Immutable {
        /// The snapshot.
        name: String,
        /// The field.
        field: String,
    },
    /// A request that lacks what it is about.
    #[error("the request has no {0}")]
    Lacks(&'static str),
    /// A parent was given for a snapshot that has another.
    #[error("snapshot {name} has parent {parent:?} and cannot be committed onto {other:?}")]
    OtherParent {
        /// The snapshot.
        name: String,
        /// Its parent.
        parent: String,
        /// The one that was asked for.
        other: String,
    },
    /// A filter that cannot be read.
    #[error(transparent)]
    Filter(#[from] crate::filter::FilterError),
    /// What is kept of a snapshot cannot be read.
    #[error("what is kept of snapshot {name} is damaged: {why}; remove it, and pull its image again")]
    Broken {
        /// The snapshot.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The database of the snapshots.
    #[error("{}: {problem}", path.display())]
    State {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Another process has the database.
    #[error("{} is in use: another snapshotter works on this store", .0.display())]
    StateInUse(PathBuf),
    /// A directory that overlayfs cannot be told.
    #[error("{}: a store for containerd must have a path in UTF-8 without colon, comma and backslash", .0.display())]
    Path(PathBuf),
    /// A call of the system.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `make`.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store has the layers that a snapshot was to be prepared for.
    #[error("target snapshot {0} already exists: the store has its layers")]
    TargetExists(String),
    /// The store lost what a snapshot consists of.
    #[error(
        "the store has lost layers of {0}, which come back in a moment if containerd still has their blobs; else remove the \
         image, and pull it again"
    )]
    ChainLost(String),
    /// A layer that is to be applied to something else than a snapshot of this snapshotter.
    #[error("these mounts are not those of a snapshot of sealpack's")]
    NotOurs,
    /// A layer that is to be applied to what containerd has unpacked itself.
    #[error("snapshot {0} is based on what is no layer of the store")]
    OnDirectory(String),
    /// A layer that cannot be read.
    #[error(
        "layers of type {0:?} cannot be read; they are tar, plain or with gzip or zstd, and not encrypted"
    )]
    MediaType(String),
    /// A descriptor that is none.
    #[error("the layer's descriptor: {0}")]
    Descriptor(String),
    /// A layer that is not taken in.
    #[error("layer {blob}: {source}")]
    Layer {
        /// Its blob.
        blob: sealpack_format::BlobDigest,
        /// Why not.
        source: sealpack_oci::ingest::IngestError,
    },
    /// A layer that is another than containerd says.
    #[error("layer {blob} is unpacked {is}, and containerd says {said}")]
    OtherLayer {
        /// Its blob.
        blob: sealpack_format::BlobDigest,
        /// What it is.
        is: sealpack_format::DiffId,
        /// What it is said to be.
        said: sealpack_format::DiffId,
    },
    /// containerd does not say what it has.
    #[error("cannot find out which layers there are: {0}")]
    Content(io::Error),
    /// The layers do not fit together.
    #[error("the layers cannot be put together: {0}")]
    Merge(#[from] Box<sealpack_oci::pull::PullError>),
    /// An image cannot be mounted.
    #[error("the layers cannot be mounted: {0}")]
    Mounting(#[from] sealpack_node::mounting::MountingError),
    /// Of what this machine does with images.
    #[error(transparent)]
    Node(#[from] sealpack_node::Error),
    /// The rules of the trust store are against an image.
    #[error("the rules here refuse image {image}: {source}")]
    Refused {
        /// Its name.
        image: String,
        /// The reason.
        source: Box<sealpack_gate::Error>,
    },
    /// It cannot be found out whether the rules are against an image.
    #[error("image {image} needs a seal, and that cannot be had: {source}")]
    Rules {
        /// Its name.
        image: String,
        /// Why not.
        source: Box<sealpack_gate::Error>,
    },
    /// Too many wait for registries already.
    #[error(
        "image {image} needs a seal, and too many wait for what {registry} and others say already; try again"
    )]
    Busy {
        /// Its name.
        image: String,
        /// The registry that it would have to be asked of.
        registry: String,
    },
    /// Every image needs a seal, and nobody said which image this is.
    #[error(
        "every image needs a seal here, the store has no sealed one of these layers, and the client does not say \
         which image they are of"
    )]
    Nameless,
    /// A container of an image that must have a seal, and is not what containerd calls so.
    #[error(
        "image {0} must be sealed, and the container has other layers than what containerd calls {0} now, or what that is \
         cannot be read; pull the image, and make the container anew"
    )]
    OtherImage(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] sealpack_store::Error),
}

impl Error {
    /// An error of the system.
    pub(crate) fn io(doing: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.as_ref().to_owned(), source: source.into() }
    }

    /// In a word, why an image or a layer was refused, where that is what happened.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Refused { .. } => Some("rules"),
            Self::Rules { .. } | Self::Busy { .. } => Some("seal_unavailable"),
            Self::Nameless => Some("nameless"),
            Self::OtherImage(_) => Some("other_image"),
            Self::MediaType(_) => Some("media_type"),
            Self::Layer { .. } if self.code() == Code::FailedPrecondition => Some("layer"),
            Self::Merge(_) => Some("layers"),
            _ => None,
        }
    }

    /// What kind of answer it is.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Exists(_) | Self::TargetExists(_) => Code::AlreadyExists,
            Self::NotFound(_) | Self::ParentNotFound(_) => Code::NotFound,
            Self::ParentNotCommitted(_)
            | Self::Kind { .. }
            | Self::HasChildren(_)
            | Self::OtherParent { .. } => Code::FailedPrecondition,
            Self::Immutable { .. } | Self::Lacks(_) | Self::Filter(_) | Self::Descriptor(_) => {
                Code::InvalidArgument
            }
            Self::NotOurs | Self::OnDirectory(_) => Code::Unimplemented,
            Self::MediaType(_) | Self::Refused { .. } | Self::Nameless | Self::OtherImage(_) => {
                Code::FailedPrecondition
            }
            Self::Rules { .. } | Self::Busy { .. } => Code::Unavailable,
            Self::ChainLost(_) => Code::DataLoss,
            Self::Layer { source, .. } => of_layer(source),
            Self::Merge(_) | Self::OtherLayer { .. } => Code::FailedPrecondition,
            Self::Content(_) => Code::Unavailable,
            Self::Mounting(_) | Self::Node(_) => Code::Internal,
            Self::Broken { .. } => Code::DataLoss,
            Self::StateInUse(_) => Code::Unavailable,
            Self::Io { source, .. } if is_full(source) => Code::ResourceExhausted,
            Self::State { .. } | Self::Path(_) | Self::Io { .. } => Code::Internal,
            Self::Store(error) => of_store(error),
        }
    }
}

fn of_store(error: &sealpack_store::Error) -> Code {
    use sealpack_store::Error as Store;
    match error {
        Store::NoSpace { .. } | Store::NoRoom { .. } => Code::ResourceExhausted,
        Store::Locked(_) => Code::Unavailable,
        error if error.is_verification() => Code::DataLoss,
        _ => Code::Internal,
    }
}

/// A layer that is not what it should be is the image's fault.
fn of_layer(error: &IngestError) -> Code {
    match error {
        IngestError::Read(_) => Code::Unavailable,
        IngestError::Layer(ScanError::Store(error)) => of_store(error),
        IngestError::Layer(ScanError::Record(source) | ScanError::Content(source)) => {
            let inner = source.get_ref().and_then(|inner| inner.downcast_ref());
            inner.map_or_else(
                || if is_full(source) { Code::ResourceExhausted } else { Code::Internal },
                of_store,
            )
        }
        _ => Code::FailedPrecondition,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
