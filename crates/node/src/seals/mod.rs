//! Seals of images, as the store keeps them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use sealpack_format::digest::RootHash;
use sealpack_mount::{MetadataHashArea, Pack, Signature};
use sealpack_oci::reference::Reference;
use sealpack_store::{ImageRecord, LayerPack, ObjectForm, PackDescriptor, Store};
use sealpack_trust::seal::{
    Devices, ImageName, Seal, SealedMetadata, SealedPack, Statement, StatementContents, signer_of,
};
use sealpack_trust::timestamp::Timestamp;

use crate::error::{CommandError, CommandResult};

/// A pack of an image, with all layers that have it.
pub(crate) struct ImagePack {
    pub(crate) sealed: SealedPack,
    pub(crate) filesystem_blocks: u64,
}

/// The packs of an image, each once, in the order of their first layers. Their files need not be there.
pub(crate) fn packs_of(store: &Store, record: &ImageRecord) -> Result<Vec<ImagePack>, CommandError> {
    Ok(grouped(&store.image_packs(record)?))
}

/// The packs of layers, each once, in the order of their first layers.
pub(crate) fn grouped(layers: &[LayerPack]) -> Vec<ImagePack> {
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
pub(crate) fn devices(record: &ImageRecord, root_hash: RootHash, packs: &[ImagePack]) -> Devices {
    let metadata =
        SealedMetadata { id: record.metadata_image, size_bytes: record.metadata_image_size_bytes, root_hash };
    let packs = packs.iter().map(|pack| pack.sealed.clone()).collect();
    Devices { manifest: record.manifest, metadata, packs }
}

/// What is said of an image besides its devices.
#[derive(Debug, clap::Args)]
pub(crate) struct StatementArgs {
    /// A name that the seal may be used for, a whole reference such as docker.io/library/debian:12; may be given
    /// several times [default: the name that the image was pulled under]. Must be given for what is from no registry
    /// and not in the store.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<Reference>,
    /// The number that tells an earlier seal of a name from a later one [default: the seconds since 1970, of this time
    /// or of $SOURCE_DATE_EPOCH].
    #[arg(long, value_name = "NUMBER")]
    epoch: Option<u64>,
    /// When all statements of this command are made, where that is not when each is.
    #[arg(skip)]
    created: Option<Timestamp>,
}

impl StatementArgs {
    /// Has all statements that follow be made at this time.
    pub(crate) fn fix_time(&mut self) -> CommandResult {
        self.created = Some(source_date()?);
        Ok(())
    }

    /// Whether names were given.
    pub(crate) const fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// The statement about an image with these devices.
    pub(crate) fn statement(
        &self,
        record: &ImageRecord,
        devices: Devices,
    ) -> Result<Statement, CommandError> {
        let created = self.created.map_or_else(source_date, Ok)?;
        let Devices { manifest, metadata, packs } = devices;
        let contents = StatementContents {
            created,
            epoch: self.epoch.unwrap_or_else(|| created.unix_seconds()),
            manifest,
            platform: record.platform.clone(),
            metadata: vec![metadata],
            names: self.names(record)?,
            packs,
        };
        Statement::new(contents)
            .map_err(|error| CommandError::failed(format_args!("{} cannot be sealed: {error}", record.name)))
    }

    /// That a statement says what was asked for; without names, that it is for the one that a new seal would be for.
    pub(crate) fn check(&self, statement: &Statement, record: &ImageRecord) -> Result<(), CommandError> {
        let sealed: Vec<&str> = statement.names().iter().map(ImageName::as_str).collect();
        if let Some(epoch) = self.epoch.filter(|epoch| *epoch != statement.epoch()) {
            return Err(CommandError::failed(format_args!(
                "the seal of {} is for another epoch, {}, not {epoch}",
                record.name,
                statement.epoch()
            ))
            .hint(
                "another signature is over the same statement: leave --epoch out; or --replace makes a new seal, \
                 without the signatures of others",
            ));
        }
        let is_meant = match self.names.is_empty() {
            // A signature counts for all names of the statement, whoever thought of them.
            true => self.names(record).is_ok_and(|names| names == statement.names()),
            false => self.names(record)? == statement.names(),
        };
        if is_meant {
            return Ok(());
        }
        let is_for = sealed.join(" and ");
        Err(CommandError::failed(format_args!("the seal of {} is for other names: {is_for}", record.name)).hint(
            format_args!(
                "`--name {}` adds a signature to it; --replace makes a new seal, without the signatures of others, for \
                 each --name that is given",
                sealed.join(" --name ")
            ),
        ))
    }

    fn names(&self, record: &ImageRecord) -> Result<Vec<ImageName>, CommandError> {
        if self.names.is_empty() {
            let pulled: Reference =
                record.pulled_as.as_ref().unwrap_or(&record.name).parse().map_err(CommandError::failed)?;
            return Ok(vec![image_name(&pulled).map_err(|error| error.hint("give a name with --name"))?]);
        }
        self.names
            .iter()
            .map(|name| match name.digest() {
                Some(_) => {
                    Err(CommandError::usage(format_args!("--name {name}: a seal is for names, not digests")))
                }
                None => image_name(name),
            })
            .collect()
    }
}

/// A reference without its digest, as a name in a seal.
fn image_name(reference: &Reference) -> Result<ImageName, CommandError> {
    let none = || CommandError::failed(format_args!("{reference} has no tag, so that no seal can be for it"));
    let tag = reference.tag().ok_or_else(none)?;
    ImageName::new(&reference.name(), tag).map_err(CommandError::failed)
}

/// This time, or the one that builds are to use in its stead (reproducible-builds.org, SOURCE_DATE_EPOCH).
pub(crate) fn source_date() -> Result<Timestamp, CommandError> {
    const VARIABLE: &str = "SOURCE_DATE_EPOCH";
    let (seconds, from) = match std::env::var_os(VARIABLE) {
        Some(text) => (text.to_str().and_then(|text| text.parse().ok()), VARIABLE),
        None => (SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()), "the clock"),
    };
    seconds.and_then(Timestamp::from_unix_seconds).ok_or_else(|| {
        CommandError::failed(format_args!("{from} is not at a number of seconds between 1970 and 9999"))
    })
}

/// The seal that the store has of an image.
pub(crate) fn read(store: &Store, record: &ImageRecord) -> Result<Option<Seal>, CommandError> {
    let Some(json) = store.read_seal(&record.manifest)? else { return Ok(None) };
    Seal::parse(&json).map(Some).map_err(|error| refused(store, record, &error))
}

/// The epoch of the seal that the store has of an image, if that can be read.
pub(crate) fn epoch_of(store: &Store, record: &ImageRecord) -> Option<u64> {
    read(store, record).ok().flatten().map(|seal| seal.statement().epoch())
}

/// The seal of an image, or what is wrong with it; `None` when it has none. What the signatures are worth only the kernel
/// and the trust store say.
pub(crate) fn checked(
    store: &Store,
    record: &ImageRecord,
) -> Result<Option<Result<Seal, String>>, CommandError> {
    let checked = || -> Result<_, CommandError> {
        let Some(seal) = read(store, record)? else { return Ok(None) };
        check(store, record, &seal)?;
        Ok(Some(seal))
    };
    match checked() {
        Ok(seal) => Ok(seal.map(Ok)),
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
    let metadata = seal.statement().metadata_of(record.metadata_image.algorithm());
    // Without one, whatever root hash there is differs.
    let root_hash = metadata.map_or(RootHash::new([0; 32]), |metadata| metadata.root_hash);
    check_parts(store, record, seal, root_hash, &packs_of(store, record)?)
}

/// That a seal is that of an image whose metadata image has that root hash, with these packs.
fn check_parts(
    store: &Store,
    record: &ImageRecord,
    seal: &Seal,
    root_hash: RootHash,
    packs: &[ImagePack],
) -> Result<(), CommandError> {
    let checked = seal.statement().check(&devices(record, root_hash, packs));
    checked.map_err(|error| refused(store, record, &error))
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
) -> Result<(MetadataHashArea, Vec<Pack>), CommandError> {
    let packs = packs_of(store, record)?;
    let area = store.hash_area_path(&record.metadata_image);
    // A hash area that is there is checked when it is used; without a seal it is not known what to check for.
    let sealed = seal.and_then(|seal| seal.statement().metadata_of(record.metadata_image.algorithm()));
    let root_hash = match sealed {
        Some(sealed) if area.exists() => sealed.root_hash,
        _ => store.ensure_hash_area(&record.metadata_image)?,
    };
    if let Some(seal) = seal {
        check_parts(store, record, seal, root_hash, &packs)?;
    }
    let signatures = |root_hash: &RootHash| -> Vec<Signature> {
        let signatures = seal.map(|seal| seal.signatures(root_hash)).unwrap_or_default();
        signatures.iter().map(|der| Signature { der: der.clone(), signer: signer_of(der) }).collect()
    };
    let metadata = MetadataHashArea {
        path: area,
        data_blocks: record.metadata_image_size_bytes / sealpack_format::verity::BLOCK_BYTES as u64,
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
