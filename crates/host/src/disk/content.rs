//! What is on the data partition.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use sealpack_format::boot::data;
use sealpack_node::seals;
use sealpack_store::{FsckOptions, ImageRecord, ObjectForm, Store, objects_of_image};

use super::error::DiskError;
use super::uki::SealedImage;

/// The directories beside the store, and who may look into them. What others have to do with is `/var` and `/home`.
const DIRECTORIES: [(&str, u32); 5] =
    [(data::VAR, 0o755), (data::HOME, 0o755), (data::ETC, 0o700), (data::POLICIES, 0o700), ("boot", 0o700)];

/// An image as its seal has it.
///
/// # Errors
/// If a sealed host cannot start from it.
pub fn sealed(store: &Store, record: &ImageRecord) -> Result<SealedImage, DiskError> {
    if record.objects != ObjectForm::Packs {
        return Err(DiskError::NotInPacks(record.name.clone()));
    }
    let seal = seals::read(store, record)?.ok_or_else(|| DiskError::Unsealed(record.name.clone()))?;
    seals::check(store, record, &seal)?;
    let metadata = seal.statement().metadata_of(record.metadata_image.algorithm());
    let root_hash = metadata.ok_or_else(|| DiskError::Unsealed(record.name.clone()))?.root_hash;
    Ok(SealedImage { record: record.clone(), root_hash, created: seal.statement().created() })
}

/// Writes all of it below `target`, which must not be there. Every byte of the images is verified.
///
/// # Errors
/// If an image is not whole; if something cannot be written.
pub(super) fn write(store: &Store, images: &[SealedImage], target: &Path) -> Result<(), DiskError> {
    make(target, 0o755)?;
    for (name, mode) in DIRECTORIES {
        make(&target.join(name), mode)?;
    }
    let records: Vec<ImageRecord> = images.iter().map(|image| image.record.clone()).collect();
    let copy = store.copy_images_to(&records, &target.join(data::STORE))?;
    let report = copy.fsck(&FsckOptions::default(), &objects_of_image, &|_| Vec::new(), &())?;
    copy.forget_verified()?;
    match report.problems.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(DiskError::Damaged {
            name: problem.images.first().cloned().unwrap_or_else(|| "the image".into()),
            // Where it is in the store that it came from.
            path: problem
                .path
                .strip_prefix(copy.path())
                .map_or(problem.path.clone(), |path| store.path().join(path)),
            problem: problem.what,
        }),
    }
}

fn make(path: &Path, mode: u32) -> Result<(), DiskError> {
    DirBuilder::new().mode(mode).create(path).map_err(DiskError::io("make", path))
}

/// The sizes of all files below `directory`, in whole blocks.
///
/// # Errors
/// If it cannot be read.
pub(super) fn used_bytes(directory: &Path) -> Result<u64, DiskError> {
    fn sum(directory: &Path) -> io::Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            bytes +=
                if metadata.is_dir() { sum(&entry.path())? } else { metadata.len().next_multiple_of(4096) };
        }
        Ok(bytes)
    }
    sum(directory).map_err(DiskError::io("list", directory))
}
