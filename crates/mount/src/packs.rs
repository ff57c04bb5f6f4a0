//! Packs and hash areas: checked before anything is mounted, through the descriptors that then
//! are used.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sealpack_format::digest::{Algorithm, ObjectId, RootHash};
use sealpack_format::erofs::inode::FileType;
use sealpack_format::erofs::reader::FileContent;
use sealpack_format::erofs::{Image, ImageError};
use sealpack_format::pack::{PackError, PackReader, PackSuperblocks};
use sealpack_format::verity::dmverity::{Superblock, TreeShape, verify_area};
use sealpack_format::verity::{BLOCK_BYTES, Leaves, MerkleRoot, fsverity_digest_of_device};

use sealpack_kernel::Kernel;

use crate::error::Error;
use crate::metadata::{CheckedImage, open_file};
use crate::plan::{Device, Pack};

const PACK: &str = "the pack";
const TREE: &str = "the hash tree of the metadata image";

/// Opens the pack at `path`, adds its objects to `objects` where those are to be looked for, and checks that it has the root
/// hash and the size that are planned. Reads no contents.
pub(crate) fn open_pack(
    path: &Path,
    device: Option<&Device>,
    objects: Option<&mut HashSet<ObjectId>>,
) -> Result<File, Error> {
    let file = open_file(PACK, path)?;
    let bad = |error| Error::BadPack { path: path.to_owned(), error };
    let superblocks = PackSuperblocks::read(&file).map_err(bad)?;
    if let Some(device) = device {
        let actual = superblocks.root_hash(&file, sealpack_kernel::sha256::leaf_hash()).map_err(bad)?;
        check_root_hash(PACK, path, device, actual)?;
        let (stated, filesystem) = (device.data_blocks, superblocks.filesystem_blocks());
        if stated != filesystem {
            return Err(bad(PackError::DataBlocks { stated, filesystem }));
        }
    }
    if let Some(objects) = objects {
        let reader = PackReader::open(&file).map_err(bad)?;
        objects.extend(reader.objects().iter().map(|object| object.id));
    }
    Ok(file)
}

/// Checks that the packs at `packs` have everything that the metadata image at `image`, whose digest is `id`, refers to:
/// overlayfs shows files whose contents are missing, and fails only when they are opened.
///
/// # Errors
/// [`Error::MissingObject`]; a metadata image or a pack that is another one, or none; failures of the system.
pub fn look_for_objects(kernel: &Kernel, image: &Path, id: &ObjectId, packs: &[Pack]) -> Result<(), Error> {
    let checked = CheckedImage::open(kernel, image, id, true)?;
    let mut objects = HashSet::new();
    for pack in packs {
        open_pack(&pack.path, Some(&Device::of_pack(pack)), Some(&mut objects))?;
    }
    check_objects(image, &checked.bytes.unwrap_or_default(), &objects)
}

/// Whether a metadata image must be in memory for [`open_tree`]: where its digest does not prove the root hash, and where there
/// is no tree.
pub(crate) fn wants_bytes(device: &Device, id: &ObjectId) -> bool {
    id.algorithm() != Algorithm::Sha256 || device.data_blocks <= 1
}

/// Opens the hash area at `path` of the metadata image `id`, and checks that it is the one planned: the root hash is that of the
/// image, and every block of the tree is what it should be.
///
/// A seal states the root hash beside the image's digest, but only the root hash is signed. That both are of the same image
/// the digest itself proves where it is SHA-256; otherwise it is certain only once the root hash was computed.
pub(crate) fn open_tree(
    path: &Path,
    device: &Device,
    id: &ObjectId,
    image: &CheckedImage,
) -> Result<File, Error> {
    let bad = |problem: String| Error::BadTree { path: path.to_owned(), problem };
    let failed = |error| Error::Io { what: TREE, path: path.to_owned(), error };
    let hash = sealpack_kernel::sha256::leaf_hash();
    let file = open_file(TREE, path)?;
    let shape = TreeShape::of(device.data_blocks).map_err(|error| bad(error.to_string()))?;
    let (image_bytes, bytes) = (image.size_bytes, image.bytes.as_deref());
    if device.data_blocks.checked_mul(BLOCK_BYTES as u64) != Some(image_bytes) {
        let blocks = device.data_blocks;
        return Err(bad(format!("it is for {blocks} blocks, but the image has {image_bytes} bytes")));
    }
    let size_bytes = file.metadata().map_err(failed)?.len();
    if size_bytes != shape.area_bytes() {
        return Err(bad(format!("it has {size_bytes} bytes, not {}", shape.area_bytes())));
    }
    let mut area = Vec::new();
    (&file).read_to_end(&mut area).map_err(failed)?;
    let block_at = |number: u64| {
        let start = usize::try_from(number).ok().and_then(|number| number.checked_mul(BLOCK_BYTES))?;
        area.get(start..)?.get(..BLOCK_BYTES)
    };
    Superblock::parse(block_at(0).unwrap_or_default()).map_err(|error| bad(error.to_string()))?;
    // Of a single block there is no tree.
    let top = shape.levels().last().map_or(bytes, |top| block_at(top.first_block));
    let mut digest = [[0; 32]];
    hash(top.unwrap_or_default(), &mut digest);
    check_root_hash(TREE, path, device, RootHash::new(digest[0]))?;
    let is_of_image = match id.algorithm() {
        Algorithm::Sha256 => fsverity_digest_of_device(image_bytes, &device.root_hash) == *id,
        Algorithm::Sha512 => bytes.map(root_hash_of) == Some(device.root_hash),
    };
    if !is_of_image {
        return Err(bad(format!("it is that of another image than {id}")));
    }
    match verify_area(hash, image_bytes, &area, &device.root_hash) {
        Ok(()) => Ok(file),
        Err(damage) => Err(bad(damage.to_string())),
    }
}

/// The root hash of a metadata image.
fn root_hash_of(image: &[u8]) -> RootHash {
    let hash = sealpack_kernel::sha256::leaf_hash();
    let (mut leaves, mut root) =
        (Leaves::new(Algorithm::Sha256, hash), MerkleRoot::new(Algorithm::Sha256, hash));
    leaves.update(image, &mut |_, digest| root.push(digest));
    leaves.finish(&mut |_, digest| root.push(digest));
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(root.finish()).for_each(|(place, byte)| *place = byte);
    RootHash::new(bytes)
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
