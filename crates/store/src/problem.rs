//! What fsck finds wrong.

use std::path::PathBuf;

use crate::refs::ImageRecord;

/// Something wrong in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing it is about.
    pub kind: ProblemKind,
    /// The file that is damaged, missing or superfluous.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// The names of the images that need it, sorted; with `(earlier)` behind it, that of an image that had the name
    /// before.
    pub images: Vec<String>,
    /// Where it was moved to.
    pub quarantined: Option<PathBuf>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)?;
        if !self.images.is_empty() {
            write!(f, "; needed by {}", self.images.join(", "))?;
        }
        if let Some(path) = &self.quarantined {
            write!(f, "; moved to {}", path.display())?;
        }
        Ok(())
    }
}

/// What of an image contradicts the rest of it, where each part is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// [`ProblemKind::DamagedSeal`] where it is the seal, else [`ProblemKind::WrongRecord`].
    pub kind: ProblemKind,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = if self.kind == ProblemKind::DamagedSeal { "the seal" } else { "the record" };
        write!(f, "{part}: {}", self.what)
    }
}

/// Says what of an image contradicts the rest of it. Manifests, configs, indexes and seals are bytes to the store; whoever
/// reads them tells. Asked by several threads.
pub type MisfitsOf<'a> = &'a (dyn Fn(&ImageRecord) -> Vec<Misfit> + Sync);

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The file of a name is not a record.
    DamagedName,
    /// The file of a name's history is none.
    DamagedHistory,
    /// The file of a name's epoch is none.
    DamagedEpoch,
    /// An object's content is not the one of its name.
    DamagedObject,
    /// A pack is not the one of its name, or no pack.
    DamagedPack,
    /// A metadata image's content is not the one of its name, or not a metadata image.
    DamagedImage,
    /// A layer's record is damaged.
    DamagedLayer,
    /// The record of a layer's pack is damaged, or wrong.
    DamagedPackRecord,
    /// A hash area is not that of its metadata image.
    DamagedImageTree,
    /// A blob's content is not the one of its name.
    DamagedBlob,
    /// A seal cannot be one, or is not that of its image.
    DamagedSeal,
    /// The record of an image has what its manifest, config or index does not, or the other way round.
    WrongRecord,
    /// A layer's record names objects that are missing or damaged, and its pack does not have them either.
    IncompleteLayer,
    /// A metadata image refers to objects that are missing or damaged in the form that the image is kept in.
    IncompleteImage,
    /// A named image has no metadata image.
    MissingImage,
    /// A named image lacks the record of a layer.
    MissingLayer,
    /// An image in packs lacks the pack of a layer, or the record of it.
    MissingPack,
    /// A named image lacks a blob.
    MissingBlob,
    /// A named image lacks the seal that it has.
    MissingSeal,
    /// Something that no store has there.
    Stray,
    /// Others than its owner could get into the store.
    LooseMode,
}

impl ProblemKind {
    /// The word for it, which machines may rely upon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DamagedName => "damaged_name",
            Self::DamagedHistory => "damaged_history",
            Self::DamagedEpoch => "damaged_epoch",
            Self::DamagedObject => "damaged_object",
            Self::DamagedPack => "damaged_pack",
            Self::DamagedImage => "damaged_metadata_image",
            Self::DamagedLayer => "damaged_layer",
            Self::DamagedPackRecord => "damaged_pack_record",
            Self::DamagedImageTree => "damaged_hash_area",
            Self::DamagedBlob => "damaged_blob",
            Self::DamagedSeal => "damaged_seal",
            Self::WrongRecord => "wrong_record",
            Self::IncompleteLayer => "incomplete_layer",
            Self::IncompleteImage => "incomplete_metadata_image",
            Self::MissingImage => "missing_metadata_image",
            Self::MissingLayer => "missing_layer",
            Self::MissingPack => "missing_pack",
            Self::MissingBlob => "missing_blob",
            Self::MissingSeal => "missing_seal",
            Self::LooseMode => "loose_mode",
            Self::Stray => "stray",
        }
    }
}
