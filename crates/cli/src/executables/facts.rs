//! What the kernel would know of an image's files.

use sealpack_format::digest::RootHash;
use sealpack_format::tree::Content;
use sealpack_trust::policy::{Dmverity, FileFacts, Fsverity};

/// How an image is taken to be mounted, where it is not to be judged as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Assumption {
    /// Objects are files with fs-verity.
    Files,
    /// Objects are in packs; nothing is signed.
    Packs,
    /// Objects are in packs, and the kernel accepted the signatures of all of them and of the metadata image.
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
            Self::Metadata => "metadata",
            Self::ObjectFile => "object-file",
            Self::Pack => "pack",
        }
    }
}

/// What the kernel would know of all files of an image.
pub(crate) struct Facts {
    /// The metadata image's device, if it is on one.
    pub(crate) metadata: Option<Dmverity>,
    pub(crate) objects: Objects,
}

/// Where the objects are.
pub(crate) enum Objects {
    /// In files; whether fs-verity is enabled on each is asked.
    Files { has_verity: bool },
    /// In packs, all of the same standing.
    Packs(Dmverity),
}

const fn device(signed: bool) -> Dmverity {
    Dmverity { root_hash: None, signed }
}

impl Facts {
    /// Those of an image that is mounted as `assumption` says.
    pub(crate) const fn assumed(assumption: Assumption) -> Self {
        match assumption {
            Assumption::Files => Self { metadata: None, objects: Objects::Files { has_verity: true } },
            Assumption::Packs => {
                Self { metadata: Some(device(false)), objects: Objects::Packs(device(false)) }
            }
            Assumption::Sealed => {
                Self { metadata: Some(device(true)), objects: Objects::Packs(device(true)) }
            }
        }
    }

    /// Those of one file.
    pub(crate) fn of(&self, content: &Content) -> (Place, FileFacts) {
        let on = |dmverity| FileFacts { dmverity, ..FileFacts::default() };
        match (content, &self.objects) {
            (Content::Inline(_), _) => (Place::Metadata, on(self.metadata)),
            (Content::Object { id, .. }, Objects::Files { has_verity }) => {
                let fsverity = has_verity.then_some(Fsverity { digest: *id, signed: false });
                (Place::ObjectFile, FileFacts { fsverity, ..FileFacts::default() })
            }
            (Content::Object { .. }, Objects::Packs(device)) => (Place::Pack, on(Some(*device))),
            (Content::External { .. }, _) => (Place::ObjectFile, FileFacts::default()),
        }
    }
}
