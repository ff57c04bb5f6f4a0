//! Seals of images, as the store keeps them.

mod attach;
mod draft;
mod error;

use std::collections::BTreeMap;
use std::path::PathBuf;

use sealpack_format::digest::RootHash;
use sealpack_store::{ImageRecord, KeptSeal, LayerPack, ObjectForm, PackDescriptor, Store};
use sealpack_trust::seal::{Devices, Seal, SealedMetadata, SealedPack};

pub use attach::{Attached, certificates, check_is_free, write_prepared};
pub use draft::{Draft, Wanted, draft};
pub use error::{NotItsSeal, NotItsStatement, SealingError};

use crate::remark::Remarks;
use crate::trust_store::TrustStore;
use crate::{Error, naming};

/// A pack of an image, with all layers that have it.
#[derive(Debug, Clone)]
pub struct ImagePack {
    /// What a seal says of it.
    pub sealed: SealedPack,
    /// The size of its EROFS image, in blocks of 4 KiB: the hash area begins behind it.
    pub filesystem_blocks: u64,
}

/// The packs of an image, each once, in the order of their first layers. Their files need not be there.
pub fn packs_of(store: &Store, record: &ImageRecord) -> Result<Vec<ImagePack>, Error> {
    Ok(grouped(&store.image_packs(record)?))
}

/// The packs of layers, each once, in the order of their first layers.
pub fn grouped(layers: &[LayerPack]) -> Vec<ImagePack> {
    let mut packs: Vec<ImagePack> = Vec::new();
    let mut places: BTreeMap<RootHash, usize> = BTreeMap::new();
    for layer in layers {
        let PackDescriptor { root_hash, size_bytes, filesystem_blocks, .. } = layer.pack;
        if let Some(place) = places.get(&root_hash) {
            packs[*place].sealed.layers.push(layer.layer);
            continue;
        }
        places.insert(root_hash, packs.len());
        let sealed = SealedPack { layers: vec![layer.layer], size_bytes, root_hash };
        packs.push(ImagePack { sealed, filesystem_blocks });
    }
    packs
}

/// The devices of an image whose metadata image has that root hash: what a seal has to say of it.
pub fn devices(record: &ImageRecord, root_hash: RootHash, packs: &[ImagePack]) -> Devices {
    let metadata =
        SealedMetadata { id: record.metadata_image, size_bytes: record.metadata_image_size_bytes, root_hash };
    let packs = packs.iter().map(|pack| pack.sealed.clone()).collect();
    Devices { manifest: record.manifest, metadata, packs }
}

/// The seal that the store has of an image, under the name in its record.
pub fn read(store: &Store, record: &ImageRecord) -> Result<Option<Seal>, Error> {
    let Some(json) = store.read_seal(record)? else { return Ok(None) };
    let seal = Seal::parse(&json).map_err(|error| not_its_seal(store, record, error.into()))?;
    if Some(to_be_kept(&seal).statement) != record.statement {
        // What it says is of more use than that it is not the one that was there.
        check(store, record, &seal)?;
        return Err(not_its_seal(store, record, NotItsSeal::AnotherStatement).into());
    }
    Ok(Some(seal))
}

/// A seal, as the store keeps it.
#[must_use]
pub fn to_be_kept(seal: &Seal) -> KeptSeal {
    KeptSeal::new(seal.statement().bytes(), seal.to_json())
}

/// Keeps a seal as that of an image under the name in its record, and remembers its epoch where it counts in the trust
/// store. Answers with the record that the name has then.
///
/// # Errors
///
/// Of the store and the trust store.
pub fn keep(
    store: &Store,
    record: &ImageRecord,
    seal: &Seal,
    trust: &TrustStore,
    remarks: Remarks<'_>,
) -> Result<ImageRecord, Error> {
    let record = store.write_seal(record, &to_be_kept(seal))?;
    if draft::is_by_somebody_trusted(&trust.read(remarks)?, seal) {
        naming::remember(store, &record, seal.statement())?;
    }
    Ok(record)
}

/// Where the store has the seal that an image has under the name in its record.
#[must_use]
pub fn path_of(store: &Store, record: &ImageRecord) -> PathBuf {
    store.seal_path(record).unwrap_or_else(|| store.path().to_owned())
}

/// Whether an image has a seal under the name in its record, whatever it is worth.
#[must_use]
pub fn is_there(store: &Store, record: &ImageRecord) -> bool {
    store.seal_path(record).is_some_and(|path| path.exists())
}

/// The epoch of the seal that the store has of an image, if that can be read.
pub fn epoch_of(store: &Store, record: &ImageRecord) -> Option<u64> {
    read(store, record).ok().flatten().map(|seal| seal.statement().epoch())
}

/// The seal of an image, or what is wrong with it; `None` when it has none. What the signatures are worth only the kernel
/// and the trust store say.
pub fn checked(store: &Store, record: &ImageRecord) -> Result<Option<Result<Seal, SealingError>>, Error> {
    let checked = || -> Result<_, Error> {
        let Some(seal) = read(store, record)? else { return Ok(None) };
        check(store, record, &seal)?;
        Ok(Some(seal))
    };
    match checked() {
        Ok(seal) => Ok(seal.map(Ok)),
        Err(Error::Sealing(error)) if error.is_verification() => Ok(Some(Err(error))),
        Err(error) => Err(error),
    }
}

/// That a seal is that of its image, as far as the store's records tell: the root hash of the metadata image itself
/// is computed where that is mounted, and those of packs are compared where the image is kept in these.
pub fn check(store: &Store, record: &ImageRecord, seal: &Seal) -> Result<(), Error> {
    let metadata = seal.statement().metadata_of(record.metadata_image.algorithm());
    if record.objects == ObjectForm::Files {
        return match metadata {
            Some(metadata) => check_parts(store, record, seal, metadata.root_hash, &[]),
            // Files can have other digests than those that devices have.
            None if *seal.statement().manifest() == record.manifest => Ok(()),
            None => check_parts(store, record, seal, RootHash::new([0; 32]), &[]),
        };
    }
    // Without one, whatever root hash there is differs.
    let root_hash = metadata.map_or(RootHash::new([0; 32]), |metadata| metadata.root_hash);
    let packs = match record.objects {
        ObjectForm::Packs => packs_of(store, record)?,
        ObjectForm::Files => Vec::new(),
    };
    check_parts(store, record, seal, root_hash, &packs)
}

/// That a seal is that of an image whose metadata image has that root hash, with these packs.
pub(crate) fn check_parts(
    store: &Store,
    record: &ImageRecord,
    seal: &Seal,
    root_hash: RootHash,
    packs: &[ImagePack],
) -> Result<(), Error> {
    let checked = seal.statement().check(&devices(record, root_hash, packs));
    checked.map_err(|mismatch| not_its_seal(store, record, mismatch.into()).into())
}

/// A seal that is none, or not that of its image.
fn not_its_seal(store: &Store, record: &ImageRecord, problem: NotItsSeal) -> SealingError {
    SealingError::Kept { path: path_of(store, record), name: record.name.clone(), problem }
}
