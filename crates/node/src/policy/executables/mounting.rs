//! What the kernel would know of an image's files.

use std::collections::HashSet;
use std::fmt;

use sealpack_format::digest::RootHash;
use sealpack_format::tree::Content;
use sealpack_store::{ImageRecord, Integrity, ObjectForm, Store};
use sealpack_trust::policy::{Dmverity, FileFacts, Fsverity};

use super::{ExecutablesError, StoredObjects};

/// How an image is taken to be mounted, where it is not to be judged as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumption {
    /// The objects are files with fs-verity.
    Files,
    /// The objects are in packs, and nothing is signed.
    Packs,
    /// The objects are in packs, and the kernel accepted all signatures.
    Sealed,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesIn {
    /// In the metadata image: files of up to 64 bytes.
    Metadata,
    /// In a file of the store.
    ObjectFile,
    /// In the pack of a layer.
    Pack,
}

impl BytesIn {
    /// The word that machines get for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata-image",
            Self::ObjectFile => "object-file",
            Self::Pack => "pack",
        }
    }
}

/// As what an image is judged, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JudgedAs {
    /// Its objects are files, taken to have fs-verity.
    FilesTakenToHaveVerity,
    /// Its objects are files with fs-verity.
    FilesWithVerity,
    /// Its objects are files, on a filesystem without fs-verity.
    FilesWithoutVerity,
    /// Its objects are in packs.
    Packs(SignedBy),
}

/// What of an image in packs is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedBy {
    /// Nothing.
    Nobody,
    /// Everything, since it is to be taken so.
    Assumption,
    /// What its seal has signatures of.
    Seal,
}

impl fmt::Display for JudgedAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FilesTakenToHaveVerity => "objects in files, taken to have fs-verity",
            Self::FilesWithVerity => "objects in files with fs-verity",
            Self::FilesWithoutVerity => "objects in files, without fs-verity on this filesystem",
            Self::Packs(SignedBy::Nobody) => "objects in packs, nothing signed",
            Self::Packs(SignedBy::Assumption) => "objects in packs, all signatures taken to be accepted",
            Self::Packs(SignedBy::Seal) => {
                "objects in packs, signed by its seal, whose signer is taken to be trusted"
            }
        })
    }
}

/// An image as it is taken to be mounted: what the kernel would know of its files.
pub struct AsMounted<'s> {
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

impl<'s> AsMounted<'s> {
    /// An image as the store has it, but for what is assumed. `sealed` are the root hashes that its seal has
    /// signatures of, which count where nothing is assumed.
    ///
    /// # Errors
    /// If the metadata image has to be hashed, and cannot be.
    pub fn new(
        store: &'s Store,
        record: &ImageRecord,
        objects: &'s StoredObjects<'s>,
        assumption: Option<Assumption>,
        sealed: HashSet<RootHash>,
    ) -> Result<Self, ExecutablesError> {
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
            None => Signed::These(sealed),
        };
        let assume_verity = assumption == Some(Assumption::Files);
        Ok(Self { store, objects, form, metadata, signed, assume_verity })
    }

    /// Where a file's bytes are, and what the kernel would know of it.
    ///
    /// # Errors
    /// If the store cannot tell whether an object has fs-verity.
    pub fn of(&self, content: &Content) -> Result<(BytesIn, FileFacts), ExecutablesError> {
        let on = |dmverity| FileFacts { dmverity, ..FileFacts::default() };
        Ok(match (content, self.form) {
            (Content::Inline(_), ObjectForm::Files) => (BytesIn::Metadata, on(None)),
            (Content::Inline(_), ObjectForm::Packs) => {
                (BytesIn::Metadata, on(Some(self.device(self.metadata))))
            }
            (Content::Object { id, .. }, ObjectForm::Files) => {
                let has_verity =
                    self.assume_verity || self.store.object_integrity(id)? == Some(Integrity::FsVerity);
                let fsverity = has_verity.then_some(Fsverity { digest: *id, signed: false });
                (BytesIn::ObjectFile, FileFacts { fsverity, ..FileFacts::default() })
            }
            (Content::Object { id, .. }, ObjectForm::Packs) => {
                (BytesIn::Pack, on(Some(self.device(self.objects.pack_of(id)))))
            }
            (Content::External { .. }, _) => (BytesIn::ObjectFile, FileFacts::default()),
        })
    }

    /// As what the image is judged.
    #[must_use]
    pub fn judged_as(&self) -> JudgedAs {
        match (self.form, &self.signed) {
            (ObjectForm::Files, _) if self.assume_verity => JudgedAs::FilesTakenToHaveVerity,
            (ObjectForm::Files, _) if self.store.integrity() == Integrity::FsVerity => {
                JudgedAs::FilesWithVerity
            }
            (ObjectForm::Files, _) => JudgedAs::FilesWithoutVerity,
            (ObjectForm::Packs, Signed::All) => JudgedAs::Packs(SignedBy::Assumption),
            (ObjectForm::Packs, Signed::These(these)) if these.is_empty() => {
                JudgedAs::Packs(SignedBy::Nobody)
            }
            (ObjectForm::Packs, Signed::These(_)) => JudgedAs::Packs(SignedBy::Seal),
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
