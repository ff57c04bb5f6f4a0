//! What is worth saying about something that went well.

use std::fmt;

use sealpack_format::BlobDigest;
use sealpack_trust::judge::PassedOver;

/// Where remarks go while something is done.
pub type Remarks<'a> = &'a mut dyn FnMut(Remark);

/// Something that whoever asked should know, and that is no error. Its text is a whole sentence for people.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Remark {
    /// Of what this machine does with its images.
    Node(sealpack_node::Remark),
    /// No list of seals could be had, of an image that needs none.
    SealsUnknown {
        /// What went wrong.
        why: String,
    },
    /// A seal is not used.
    PassedOver(PassedOver),
    /// No list of composefs artifacts could be had.
    ArtifactsUnknown {
        /// What went wrong.
        why: String,
    },
    /// There are more composefs artifacts than are looked at.
    MoreArtifacts {
        /// How many more.
        number: usize,
    },
    /// A composefs artifact is not about the image.
    NoArtifact {
        /// How that shows.
        why: String,
    },
    /// What somebody says about the composefs digests of a sealed image is not true.
    WrongClaim {
        /// Who says what.
        why: String,
    },
    /// The store had another seal of the image.
    SealReplaced,
    /// The store has no image of the name, and what a registry has is looked at instead.
    NotInStore {
        /// The name.
        name: String,
    },
    /// An image in a name's history is not what the name goes back to.
    NotBackTo {
        /// Its manifest.
        manifest: BlobDigest,
        /// Why not.
        why: String,
    },
    /// A seal that is published is for no name in the repository that it is put in.
    NoNameThere {
        /// The repository.
        place: String,
    },
    /// Something is published where the name means another image by now, on purpose.
    Stale {
        /// The place.
        target: String,
        /// What its name means.
        now: BlobDigest,
        /// The manifest of the image that it is for.
        manifest: BlobDigest,
    },
    /// Something that is listed as a UKI of an image is none that can be fetched.
    NoUki {
        /// Why not, with its digest.
        why: String,
    },
}

impl From<sealpack_node::Remark> for Remark {
    fn from(remark: sealpack_node::Remark) -> Self {
        Self::Node(remark)
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(remark) => remark.fmt(f),
            Self::SealsUnknown { why } => {
                write!(f, "warning: whether the image has seals is not known: {why}")
            }
            Self::PassedOver(seal) => seal.fmt(f),
            Self::ArtifactsUnknown { why } => {
                write!(f, "warning: whether the image has composefs artifacts is not known: {why}")
            }
            Self::MoreArtifacts { number } => {
                write!(f, "{number} more composefs artifacts are not looked at")
            }
            Self::NoUki { why } => write!(f, "remark: {why}; it is passed over"),
            Self::NoArtifact { why } => write!(f, "{why}; it is passed over"),
            Self::WrongClaim { why } => {
                write!(f, "warning: {why}; the image is as its seal says, which counts more")
            }
            Self::SealReplaced => {
                f.write_str("the seal that the store had of the image said something else, and is replaced")
            }
            Self::NotInStore { name } => {
                write!(
                    f,
                    "remark: the store has no image {name}: what the registry has is judged, by its seals there"
                )
            }
            Self::NotBackTo { manifest, why } => write!(f, "passing over {manifest}: {why}"),
            Self::NoNameThere { place } => write!(
                f,
                "remark: the seal is for no name in {place}; it counts there only for those whose rules call it a mirror"
            ),
            Self::Stale { target, now, manifest } => write!(
                f,
                "remark: {target} is another image there now, {now}; what is published is for {manifest}, which the store has"
            ),
        }
    }
}
