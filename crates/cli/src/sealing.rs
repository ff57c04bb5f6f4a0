//! Seals of images, as the store keeps them.

use std::collections::BTreeMap;

use sealpack_format::digest::RootHash;
use sealpack_mount::{MetadataTree, Pack, Signature};
use sealpack_store::{ImageRecord, ObjectForm, PackDescriptor, Store};
use sealpack_trust::seal::{Seal, SealedMetadata, SealedPack, Statement, signer_of};

use crate::error::CommandError;

/// A pack of an image, with all layers that have it.
pub(crate) struct ImagePack {
    pub(crate) sealed: SealedPack,
    pub(crate) filesystem_blocks: u64,
}

/// The packs of an image, each once, in the order of their first layers. Their files need not be there.
pub(crate) fn packs_of(store: &Store, record: &ImageRecord) -> Result<Vec<ImagePack>, CommandError> {
    let mut packs: Vec<ImagePack> = Vec::new();
    let mut places: BTreeMap<RootHash, usize> = BTreeMap::new();
    for layer in store.image_packs(record)? {
        let PackDescriptor { root_hash, size_bytes, filesystem_blocks, .. } = layer.pack;
        if let Some(place) = places.get(&root_hash) {
            packs[*place].sealed.layers.push(layer.layer);
            continue;
        }
        places.insert(root_hash, packs.len());
        let sealed = SealedPack { layers: vec![layer.layer], size_bytes, root_hash };
        packs.push(ImagePack { sealed, filesystem_blocks });
    }
    Ok(packs)
}

/// What a seal has to say about an image whose metadata image has that root hash.
pub(crate) fn statement(
    record: &ImageRecord,
    root_hash: RootHash,
    packs: &[ImagePack],
) -> Result<Statement, CommandError> {
    let metadata = SealedMetadata { id: record.image, size_bytes: record.image_size_bytes, root_hash };
    let packs = packs.iter().map(|pack| pack.sealed.clone()).collect();
    Statement::new(record.manifest, metadata, packs)
        .map_err(|error| CommandError::failed(format_args!("{} cannot be sealed: {error}", record.name)))
}

/// The seal that the store has of an image.
pub(crate) fn read(store: &Store, record: &ImageRecord) -> Result<Option<Seal>, CommandError> {
    let Some(json) = store.read_seal(&record.manifest)? else { return Ok(None) };
    Seal::parse(&json).map(Some).map_err(|error| refused(store, record, &error))
}

/// Who sealed an image, in words, or what is wrong with its seal; `None` when it has none. What the signatures are
/// worth only the kernel says.
pub(crate) fn signers(
    store: &Store,
    record: &ImageRecord,
) -> Result<Option<Result<Vec<String>, String>>, CommandError> {
    let signers = || -> Result<_, CommandError> {
        let Some(seal) = read(store, record)? else { return Ok(None) };
        check(store, record, &seal)?;
        Ok(Some(seal.signers()))
    };
    match signers() {
        Ok(signers) => Ok(signers.map(Ok)),
        Err(error) if error.is_refusal() => Ok(Some(Err(error.message().to_owned()))),
        Err(error) => Err(error),
    }
}

/// That a seal is that of its image, as far as the store's records tell: the root hash of the metadata image itself
/// is computed where that is mounted.
pub(crate) fn check(store: &Store, record: &ImageRecord, seal: &Seal) -> Result<(), CommandError> {
    if record.objects != ObjectForm::Packs {
        return Ok(());
    }
    check_parts(store, record, seal, seal.statement().metadata().root_hash, &packs_of(store, record)?)
}

/// That a seal is that of an image whose metadata image has that root hash, with these packs.
fn check_parts(
    store: &Store,
    record: &ImageRecord,
    seal: &Seal,
    root_hash: RootHash,
    packs: &[ImagePack],
) -> Result<(), CommandError> {
    let image = statement(record, root_hash, packs)?;
    seal.check(&image).map_err(|error| refused(store, record, &error))
}

/// A seal that is none, or not that of its image.
fn refused(store: &Store, record: &ImageRecord, error: &dyn std::error::Error) -> CommandError {
    let path = store.seal_path(&record.manifest);
    CommandError::refused(format_args!("the seal {} of {}: {error}", path.display(), record.name))
        .hint("`sealpack seal --replace` makes a new one; `sealpack mount --at-most verified` does without")
}

/// What a mount of an image in packs is made of, with the signatures of `seal`, which must be this image's.
pub(crate) fn mount_parts(
    store: &Store,
    record: &ImageRecord,
    seal: Option<&Seal>,
) -> Result<(MetadataTree, Vec<Pack>), CommandError> {
    let packs = packs_of(store, record)?;
    let tree = store.image_tree_path(&record.image);
    // A tree that is there is checked when it is used; without a seal it is not known what to check for.
    let root_hash = match seal {
        Some(seal) if tree.exists() => seal.statement().metadata().root_hash,
        _ => store.ensure_image_tree(&record.image)?,
    };
    if let Some(seal) = seal {
        check_parts(store, record, seal, root_hash, &packs)?;
    }
    let signatures = |root_hash: &RootHash| -> Vec<Signature> {
        let signatures = seal.map(|seal| seal.signatures(root_hash)).unwrap_or_default();
        signatures.iter().map(|der| Signature { der: der.clone(), signer: signer_of(der) }).collect()
    };
    let metadata = MetadataTree {
        path: tree,
        data_blocks: record.image_size_bytes / sealpack_format::verity::BLOCK_BYTES as u64,
        root_hash,
        signatures: signatures(&root_hash),
    };
    let pack = |pack: ImagePack| {
        let root_hash = pack.sealed.root_hash;
        let path = store.pack_path(&root_hash);
        if !path.exists() {
            let layers: Vec<String> = pack.sealed.layers.iter().map(ToString::to_string).collect();
            return Err(CommandError::failed(format_args!(
                "{} is incomplete: the pack {} of layer {} is missing",
                record.name,
                path.display(),
                layers.join(", ")
            ))
            .hint("pull the image again"));
        }
        let filesystem_blocks = pack.filesystem_blocks;
        Ok(Pack { path, filesystem_blocks, root_hash, signatures: signatures(&root_hash) })
    };
    Ok((metadata, packs.into_iter().map(pack).collect::<Result<_, _>>()?))
}
