//! What the kernel would know of an image's files.

use std::collections::HashSet;

use sealpack_format::digest::RootHash;
use sealpack_format::tree::Content;
use sealpack_store::{ImageRecord, Integrity, ObjectForm, Store};
use sealpack_trust::policy::{Dmverity, FileFacts, Fsverity};

use super::StoredObjects;
use crate::error::CommandError;
use sealpack_node::seals;

/// How an image is taken to be mounted, where it is not to be judged as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Assumption {
    /// The objects are files with fs-verity
    Files,
    /// The objects are in packs, and nothing is signed
    Packs,
    /// The objects are in packs, and the kernel accepted all signatures
    Sealed,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the metadata image: files of up to 64 bytes.
    Metadata,
    /// In a file of the store.
    ObjectFile,
    /// In the pack of a layer.
    Pack,
}

impl Place {
    /// The word that machines get for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata-image",
            Self::ObjectFile => "object-file",
            Self::Pack => "pack",
        }
    }
}

/// What the kernel would know of the files of an image.
pub(crate) struct Facts<'s> {
    store: &'s Store,
    objects: &'s StoredObjects<'s>,
    form: ObjectForm,
    /// The root hash of the metadata image, where that is on a device.
    metadata: Option<RootHash>,
    signed: Signed,
    /// Whether object files are taken to have fs-verity whatever the store's have.
    assume_verity: bool,
}

/// Of which devices there are signatures. Whether the kernel trusts who made them is not known here.
enum Signed {
    All,
    These(HashSet<RootHash>),
}

impl<'s> Facts<'s> {
    /// Those of an image as the store has it, but for what is assumed.
    pub(crate) fn new(
        store: &'s Store,
        record: &ImageRecord,
        objects: &'s StoredObjects<'s>,
        assumption: Option<Assumption>,
    ) -> Result<Self, CommandError> {
        let form = match assumption {
            Some(Assumption::Files) => ObjectForm::Files,
            // Without any objects, there is nothing but the metadata image, which is not put on a device then.
            _ if record.objects == ObjectForm::Packs && !objects.has_packs() => ObjectForm::Files,
            Some(Assumption::Packs | Assumption::Sealed) => ObjectForm::Packs,
            None => record.objects,
        };
        let metadata = match form {
            ObjectForm::Files => None,
            ObjectForm::Packs => Some(store.metadata_image_root_hash(&record.metadata_image)?),
        };
        let signed = match assumption {
            Some(Assumption::Sealed) => Signed::All,
            Some(Assumption::Files | Assumption::Packs) => Signed::These(HashSet::new()),
            None => Signed::These(sealed(store, record)?),
        };
        let assume_verity = assumption == Some(Assumption::Files);
        Ok(Self { store, objects, form, metadata, signed, assume_verity })
    }

    /// Those of one file.
    pub(crate) fn of(&self, content: &Content) -> Result<(Place, FileFacts), CommandError> {
        let on = |dmverity| FileFacts { dmverity, ..FileFacts::default() };
        Ok(match (content, self.form) {
            (Content::Inline(_), ObjectForm::Files) => (Place::Metadata, on(None)),
            (Content::Inline(_), ObjectForm::Packs) => {
                (Place::Metadata, on(Some(self.device(self.metadata))))
            }
            (Content::Object { id, .. }, ObjectForm::Files) => {
                let has_verity =
                    self.assume_verity || self.store.object_integrity(id)? == Some(Integrity::FsVerity);
                let fsverity = has_verity.then_some(Fsverity { digest: *id, signed: false });
                (Place::ObjectFile, FileFacts { fsverity, ..FileFacts::default() })
            }
            (Content::Object { id, .. }, ObjectForm::Packs) => {
                (Place::Pack, on(Some(self.device(self.objects.pack_of(id)))))
            }
            (Content::External { .. }, _) => (Place::ObjectFile, FileFacts::default()),
        })
    }

    /// As what the image is judged, for people.
    pub(crate) fn description(&self) -> String {
        let form = match (self.form, self.assume_verity) {
            (ObjectForm::Files, true) => "objects in files, taken to have fs-verity",
            (ObjectForm::Files, false) if self.store.integrity() == Integrity::FsVerity => {
                "objects in files with fs-verity"
            }
            (ObjectForm::Files, false) => "objects in files, without fs-verity on this filesystem",
            (ObjectForm::Packs, _) => "objects in packs",
        };
        let signed = match (&self.signed, self.form) {
            (_, ObjectForm::Files) => "",
            (Signed::All, _) => ", all signatures taken to be accepted",
            (Signed::These(these), _) if these.is_empty() => ", nothing signed",
            (Signed::These(_), _) => ", signed by its seal, whose signer is taken to be trusted",
        };
        format!("{form}{signed}")
    }

    /// What to do where something would be denied.
    pub(crate) fn advice(&self) -> &'static str {
        match (self.form, &self.signed) {
            (ObjectForm::Packs, Signed::These(these)) if these.is_empty() => {
                "`sealpack seal` the image, or see what --assume sealed gives"
            }
            (ObjectForm::Packs, _) => {
                "pull a newer version of the image, or change the rule that denies them"
            }
            (ObjectForm::Files, _)
                if !self.assume_verity && self.store.integrity() != Integrity::FsVerity =>
            {
                "digest rules need a store on a filesystem with fs-verity; or `sealpack seal` the image, which puts it \
                 into packs; --assume shows what either gives"
            }
            (ObjectForm::Files, _) => {
                "allow the files' digests with `sealpack policy new --digests`, or keep the image in packs and seal it; \
                 --assume shows what either gives"
            }
        }
    }

    fn device(&self, root_hash: Option<RootHash>) -> Dmverity {
        let signed = match &self.signed {
            Signed::All => true,
            Signed::These(these) => root_hash.is_some_and(|root_hash| these.contains(&root_hash)),
        };
        Dmverity { root_hash, signed }
    }
}

/// The root hashes that the image's seal has signatures of.
fn sealed(store: &Store, record: &ImageRecord) -> Result<HashSet<RootHash>, CommandError> {
    let Some(seal) = seals::read(store, record)? else { return Ok(HashSet::new()) };
    seals::check(store, record, &seal)?;
    Ok(seal.statement().root_hashes().copied().collect())
}
