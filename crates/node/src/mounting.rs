//! What a mount of an image is made of.

use std::path::{Path, PathBuf};

use sealpack_format::digest::RootHash;
use sealpack_kernel::Kernel;
use sealpack_mount::{
    Achieved, Broker, Level, MetadataHashArea, Objects, Pack, Plan, PlanError, Request, Signature, Writable,
};
use sealpack_store::{ImageRecord, ObjectForm, Store};
use sealpack_trust::seal::{Seal, signer_of};

use crate::Error;
use crate::mounts::{NOTES, Note};
use crate::seals::{self, ImagePack, SealingError, check_parts, packs_of};

/// How an image is to be mounted.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory to mount on.
    pub target: PathBuf,
    /// Where changes go; without one the mount is read-only.
    pub writable: Option<Writable>,
    /// Read-only even so.
    pub read_only: bool,
    /// Nothing can be executed from the mount.
    pub noexec: bool,
    /// Set-user-ID bits have no effect.
    pub nosuid: bool,
    /// The level below which nothing is mounted.
    pub required: Level,
    /// The level above which nothing is tried.
    pub at_most: Level,
    /// Whether each object is looked for in the packs before anything is mounted. Without that, one that no pack has is an
    /// error when it is read; the kernel checks what is there either way.
    pub look_for_objects: bool,
}

impl Options {
    /// On `target`, read-only, at the best level that image and machine reach, but none below `required`.
    #[must_use]
    pub const fn read_only(target: PathBuf, required: Level) -> Self {
        Self {
            target,
            writable: None,
            read_only: true,
            noexec: false,
            nosuid: false,
            required,
            at_most: Level::Enforced,
            look_for_objects: true,
        }
    }
}

/// What is to be mounted, and how: the request for a plan. The seal that the store has counts where it is of the image and
/// the options allow signatures.
///
/// # Errors
///
/// Of the store; [`SealingError`] where the seal is not the image's, or a pack is missing.
pub fn request(store: &Store, record: &ImageRecord, options: Options) -> Result<Request, Error> {
    Ok(Request {
        image: store.metadata_image_path(&record.metadata_image),
        image_id: record.metadata_image,
        objects: objects(store, record, &options)?,
        writable: options.writable,
        target: options.target,
        read_only: options.read_only,
        noexec: options.noexec,
        nosuid: options.nosuid,
        required: options.required,
        at_most: options.at_most,
    })
}

/// What is done to mount an image.
///
/// # Errors
///
/// As [`request`]; of planning.
pub fn plan(store: &Store, record: &ImageRecord, options: Options) -> Result<Plan, MountingError> {
    Ok(Plan::new(request(store, record, options).map_err(Box::new)?)?)
}

/// Does what was planned for an image of the store, by the broker where this process may not make devices, and notes for
/// [`mounts`](crate::mounts) what was mounted, where this process may write such notes.
///
/// # Errors
///
/// Of mounting.
pub fn apply(store: &Store, record: &ImageRecord, plan: &Plan) -> Result<Achieved, MountingError> {
    let achieved = sealpack_mount::apply_with(&Kernel::default(), plan, Some(&Broker::default()));
    let achieved = achieved.map_err(|error| Box::new(Error::from(error)))?;
    // A mount without a note is as good as one with it; less is told of it.
    _ = Note::of(store, record, plan, &achieved).and_then(|note| note.write(Path::new(NOTES)));
    Ok(achieved)
}

/// Mounts an image: [`plan`] and [`apply`] together.
///
/// # Errors
///
/// As these two.
pub fn mount(store: &Store, record: &ImageRecord, options: Options) -> Result<Achieved, MountingError> {
    apply(store, record, &plan(store, record, options)?)
}

/// Unmounts an image from `target`, at once: what still uses it keeps it. Devices that nobody uses any more go.
///
/// # Errors
///
/// Of unmounting. Devices that stay are no error: the next one who looks removes them.
pub fn unmount(target: &Path) -> Result<(), Error> {
    let kernel = Kernel::default();
    sealpack_mount::unmount(&kernel, target, true)?;
    _ = sealpack_mount::remove_leftovers(&kernel);
    Ok(())
}

/// Why an image was not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountingError {
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It cannot be done.
    #[error(transparent)]
    Node(#[from] Box<Error>),
}

impl MountingError {
    /// Whether image and machine do not reach the level that is required.
    #[must_use]
    pub fn is_of_level(&self) -> bool {
        match self {
            Self::Plan(error) => matches!(error, PlanError::Level { .. }),
            Self::Node(error) => matches!(
                **error,
                Error::Mount(sealpack_mount::Error::Level { .. } | sealpack_mount::Error::NotEnforced { .. })
            ),
        }
    }
}

/// Where the contents are, and the signatures if they are to be tried.
fn objects(store: &Store, record: &ImageRecord, options: &Options) -> Result<Objects, Error> {
    if record.objects == ObjectForm::Packs {
        let seal = if options.at_most >= Level::Signed { seals::read(store, record)? } else { None };
        let (metadata, packs) = mount_parts(store, record, seal.as_ref())?;
        // overlayfs wants two layers, and an image without objects has no pack.
        if !packs.is_empty() {
            if options.look_for_objects {
                look_for_objects(store, record, &packs)?;
            }
            return Ok(Objects::Packs { metadata, packs, are_complete: true });
        }
    }
    Ok(Objects::Files {
        directories: vec![store.objects_path().to_path_buf()],
        have_verity: store.all_have_verity(record)?,
    })
}

/// That the packs have all objects of the image. What was found out once, of these very files, is remembered.
fn look_for_objects(store: &Store, record: &ImageRecord, packs: &[Pack]) -> Result<(), Error> {
    let root_hashes: Vec<RootHash> = packs.iter().map(|pack| pack.root_hash).collect();
    let complete = store.packs_are_complete(&record.metadata_image, &root_hashes)?;
    if !store.remembers(&complete) {
        let image = store.metadata_image_path(&record.metadata_image);
        sealpack_mount::look_for_objects(&Kernel::default(), &image, &record.metadata_image, packs)?;
        store.remember(&complete);
    }
    Ok(())
}

/// What a mount of an image in packs is made of, with the signatures of `seal`, which must be this image's.
fn mount_parts(
    store: &Store,
    record: &ImageRecord,
    seal: Option<&Seal>,
) -> Result<(MetadataHashArea, Vec<Pack>), Error> {
    let packs = packs_of(store, record)?;
    let area = store.hash_area_path(&record.metadata_image);
    // A hash area that is there is checked when it is used; without a seal it is not known what to check for.
    let sealed = seal.and_then(|seal| seal.statement().metadata_of(record.metadata_image.algorithm()));
    let root_hash = match sealed {
        Some(sealed) if area.exists() => sealed.root_hash,
        _ => match store.proved_root_hash(&record.metadata_image)? {
            Some(root_hash) => root_hash,
            None => store.ensure_hash_area(&record.metadata_image)?,
        },
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
            let (name, layers) = (record.name.clone(), pack.sealed.layers);
            return Err(SealingError::PackMissing { name, path, layers });
        }
        let filesystem_blocks = pack.filesystem_blocks;
        Ok(Pack { path, filesystem_blocks, root_hash, signatures: signatures(&root_hash) })
    };
    Ok((metadata, packs.into_iter().map(pack).collect::<Result<_, SealingError>>()?))
}
