//! Packs and hash areas: checked before anything is mounted, through the descriptors that then
//! are used.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sealpack_format::digest::{ObjectId, RootHash};
use sealpack_format::erofs::inode::FileType;
use sealpack_format::erofs::reader::FileContent;
use sealpack_format::erofs::{Image, ImageError};
use sealpack_format::pack::{PackError, PackReader};
use sealpack_format::verity::BLOCK_BYTES;
use sealpack_format::verity::dmverity::{DmVerityError, HashAreaWriter, Superblock, TreeShape};

use crate::error::Error;
use crate::metadata::open_file;
use crate::plan::Device;

const PACK: &str = "the pack";
const TREE: &str = "the hash tree of the metadata image";

/// Opens the pack at `path`, adds its objects to `objects`, and checks that it has the root hash
/// and the size that are planned. Reads no contents.
pub(crate) fn open_pack(
    path: &Path,
    device: Option<&Device>,
    objects: &mut HashSet<ObjectId>,
) -> Result<File, Error> {
    let file = open_file(PACK, path)?;
    let bad = |error| Error::BadPack { path: path.to_owned(), error };
    let reader = PackReader::open(&file).map_err(bad)?;
    if let Some(device) = device {
        let actual = reader.root_hash(sealpack_kernel::sha256::leaf_hash()).map_err(bad)?;
        check_root_hash(PACK, path, device, actual)?;
        let (stated, filesystem) = (device.data_blocks, reader.filesystem_blocks());
        if stated != filesystem {
            return Err(bad(PackError::DataBlocks { stated, filesystem }));
        }
    }
    objects.extend(reader.objects().iter().map(|object| object.id));
    Ok(file)
}

/// Opens the hash area at `path` of the metadata image with the bytes `image`, and checks that it is
/// the one planned: the root hash is that of the image, and every block of the tree is what it should be.
///
/// A seal states the root hash beside the image's digest, but only the root hash is signed. That both are
/// of the same image is certain only once it was computed.
pub(crate) fn open_tree(path: &Path, device: &Device, image: &[u8]) -> Result<File, Error> {
    let bad = |problem: String| Error::BadTree { path: path.to_owned(), problem };
    let failed = |error| Error::Io { what: TREE, path: path.to_owned(), error };
    let file = open_file(TREE, path)?;
    let shape = TreeShape::of(device.data_blocks).map_err(|error| bad(error.to_string()))?;
    let image_blocks = u64::try_from(image.len() / BLOCK_BYTES).unwrap_or(u64::MAX);
    if image_blocks != device.data_blocks || !image.len().is_multiple_of(BLOCK_BYTES) {
        let blocks = device.data_blocks;
        return Err(bad(format!("it is for {blocks} blocks, but the image has {} bytes", image.len())));
    }
    let size_bytes = file.metadata().map_err(failed)?.len();
    if size_bytes != shape.area_bytes() {
        return Err(bad(format!("it has {size_bytes} bytes, not {}", shape.area_bytes())));
    }
    let block_at = |number: u64| {
        let mut block = vec![0; BLOCK_BYTES];
        file.read_exact_at(&mut block, number * BLOCK_BYTES as u64).map_err(failed)?;
        Ok(block)
    };
    let superblock = Superblock::parse(&block_at(0)?).map_err(|error| bad(error.to_string()))?;
    if superblock.data_blocks != device.data_blocks {
        return Err(bad(format!("it says that it is for {} blocks", superblock.data_blocks)));
    }
    let top = match shape.levels().last() {
        Some(top) => block_at(top.first_block)?,
        // Of a single block there is no tree.
        None => image.to_vec(),
    };
    let mut digest = [[0; 32]];
    sealpack_kernel::sha256::leaf_hash()(&top, &mut digest);
    check_root_hash(TREE, path, device, RootHash::new(digest[0]))?;
    let (root_hash, area) = hash_area_of(image).map_err(|error| bad(error.to_string()))?;
    if root_hash != device.root_hash {
        return Err(bad(format!("it is that of another image: this one has the root hash {root_hash}")));
    }
    // The first block is the superblock, which was looked at; the kernel does not.
    for (number, expected) in (0..).zip(area.chunks(BLOCK_BYTES)).skip(1) {
        if block_at(number)? != expected {
            return Err(bad(format!("its block {number} is damaged")));
        }
    }
    Ok(file)
}

/// The root hash and the hash area of a metadata image.
fn hash_area_of(image: &[u8]) -> Result<(RootHash, Vec<u8>), DmVerityError> {
    let size_bytes = u64::try_from(image.len()).unwrap_or(u64::MAX);
    let out = Cursor::new(Vec::new());
    let mut writer = HashAreaWriter::new(out, size_bytes, sealpack_kernel::sha256::leaf_hash())?;
    writer.update(image)?;
    let (root_hash, area) = writer.finish()?;
    Ok((root_hash, area.into_inner()))
}

fn check_root_hash(what: &'static str, path: &Path, device: &Device, actual: RootHash) -> Result<(), Error> {
    if actual == device.root_hash {
        return Ok(());
    }
    let (expected, actual) = (Box::new(device.root_hash), Box::new(actual));
    Err(Error::WrongRootHash { what, path: path.to_owned(), expected, actual })
}

/// Checks that everything the metadata image at `path` refers to is among `objects`: overlayfs
/// shows files whose contents are missing, and fails only when they are opened.
pub(crate) fn check_objects(path: &Path, image: &[u8], objects: &HashSet<ObjectId>) -> Result<(), Error> {
    match find_missing(image, objects) {
        Ok(None) => Ok(()),
        Ok(Some(Missing { object, file, count })) => {
            Err(Error::MissingObject { object, file, others: count - 1 })
        }
        Err(error) => Err(Error::BadImage { path: path.to_owned(), error }),
    }
}

struct Missing {
    /// The path of the first object that is missing.
    object: String,
    /// The path of its file.
    file: Vec<u8>,
    /// How many are missing.
    count: usize,
}

fn find_missing(image: &[u8], objects: &HashSet<ObjectId>) -> Result<Option<Missing>, ImageError> {
    let image = Image::open(image)?;
    let mut missing = HashSet::new();
    let mut first = None;
    let mut directories = HashMap::from([(image.root()?.nid(), Vec::new())]);
    for found in image.walk() {
        let found = found?;
        let path = || {
            let mut path = directories.get(&found.directory).cloned().unwrap_or_default();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(found.name);
            path
        };
        if found.inode.file_type() == FileType::Directory {
            let path = path();
            directories.insert(found.inode.nid(), path);
        } else if found.inode.is_external()
            && !found.again
            && let FileContent::External(external) = found.inode.content()?
            && !ObjectId::from_object_path(external.path).is_some_and(|object| objects.contains(&object))
        {
            first.get_or_insert_with(|| (external.path.escape_ascii().to_string(), path()));
            missing.insert(external.path);
        }
    }
    Ok(first.map(|(object, path)| Missing { object, file: path, count: missing.len() }))
}
