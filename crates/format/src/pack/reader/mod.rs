//! Reads packs, safe on any bytes.

mod content;
mod error;
mod source;
mod verify;

use std::cell::RefCell;
use std::io::{Read, Seek};

pub use error::{PackError, PackPart};

use self::source::Source;
use super::block0::Block0;
use super::inode::{Inode, InodeData, InodeKind};
use super::{BLOCK_BYTES, BLOCK_STEP, OBJECT_MAX_BYTES, directory, inode, to_u64};
use crate::digest::{Algorithm, ObjectId, RootHash};
use crate::erofs::SLOT_BYTES;
use crate::erofs::inode::FileType;
use crate::limits::INLINE_MAX_BYTES;
use crate::verity::LeafHash;
use crate::verity::dmverity::{Superblock, TreeShape};

/// How much of a directory or a content is read at a time, in bytes: what stays in the processor's
/// cache until it is hashed.
const READ_BYTES: usize = 64 * 1024;

/// A pack whose superblocks, directories and inodes have been read.
///
/// That makes reading contents safe, and no more: what they are worth, [`read`](Self::read) and
/// [`verify`](Self::verify) find out.
pub struct PackReader<R> {
    source: RefCell<Source<R>>,
    block0: Block0,
    shape: TreeShape,
    objects: Vec<PackObject>,
}

/// An object in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackObject {
    /// Its name.
    pub id: ObjectId,
    /// Its size, holes included.
    pub size_bytes: u64,
    data: InodeData,
    /// Where in the file its tail or its table of chunks is.
    rest_offset: u64,
}

impl<R: Read + Seek> PackReader<R> {
    /// Reads everything but the contents.
    ///
    /// # Errors
    /// What cannot be a pack is refused: EROFS with device slots, compression or other features,
    /// names that are not digests, inodes other than a pack's, a missing or ill-fitting hash area.
    pub fn open(source: R) -> Result<Self, PackError> {
        let mut source = Source::new(source)?;
        let PackSuperblocks { block0, shape } = PackSuperblocks::in_source(&mut source)?;
        source.limit_to(block0.filesystem_bytes());
        let objects = Walk { source: &mut source, block0, directory_end: None }.objects()?;
        Ok(Self { source: RefCell::new(source), block0, shape, objects })
    }

    /// The objects in the order of their first appearance in the layer.
    #[must_use]
    pub fn objects(&self) -> &[PackObject] {
        &self.objects
    }

    /// The number of blocks of the filesystem: the data blocks of the dm-verity device, and the
    /// number of the block with its superblock.
    #[must_use]
    pub fn filesystem_blocks(&self) -> u64 {
        self.block0.blocks.into()
    }

    /// The size of the pack, the hash tree included.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.block0.filesystem_bytes().saturating_add(self.shape.area_bytes())
    }

    /// The root hash that the top of the hash tree has; the rest of the tree is not looked at.
    ///
    /// # Errors
    /// A failing source.
    pub fn root_hash(&self, hash: LeafHash) -> Result<RootHash, PackError> {
        let superblocks = PackSuperblocks { block0: self.block0, shape: self.shape.clone() };
        superblocks.root_hash_in(&mut self.source.borrow_mut(), hash)
    }
}

/// What the superblocks of a pack say, EROFS's and dm-verity's: as much as a mount has to know of a pack whose objects are
/// known.
#[derive(Debug, Clone)]
pub struct PackSuperblocks {
    block0: Block0,
    shape: TreeShape,
}

impl PackSuperblocks {
    /// Reads the superblocks of the pack in `source`.
    ///
    /// # Errors
    /// What cannot be a pack, as far as these tell, as [`PackReader::open`] refuses it.
    pub fn read(source: impl Read + Seek) -> Result<Self, PackError> {
        Self::in_source(&mut Source::new(source)?)
    }

    fn in_source<R: Read + Seek>(source: &mut Source<R>) -> Result<Self, PackError> {
        let block0 = Block0::parse(&source.read(0, BLOCK_BYTES)?)?;
        let superblock = Superblock::parse(&source.read(block0.filesystem_bytes(), BLOCK_BYTES)?)?;
        let stated = superblock.data_blocks;
        let blocks = u64::from(block0.blocks);
        let shape = TreeShape::of(blocks).ok().filter(|_| stated == blocks);
        let shape = shape.ok_or(PackError::DataBlocks { stated, filesystem: blocks })?;
        let needed = block0.filesystem_bytes().saturating_add(shape.area_bytes());
        if needed != source.size_bytes() {
            return Err(PackError::Size { needed, actual: source.size_bytes() });
        }
        Ok(Self { block0, shape })
    }

    /// As [`PackReader::filesystem_blocks`].
    #[must_use]
    pub fn filesystem_blocks(&self) -> u64 {
        self.block0.blocks.into()
    }

    /// As [`PackReader::root_hash`], of the pack in `source`, which these were read of.
    ///
    /// # Errors
    /// A failing source.
    pub fn root_hash(&self, source: impl Read + Seek, hash: LeafHash) -> Result<RootHash, PackError> {
        self.root_hash_in(&mut Source::new(source)?, hash)
    }

    fn root_hash_in<R: Read + Seek>(
        &self,
        source: &mut Source<R>,
        hash: LeafHash,
    ) -> Result<RootHash, PackError> {
        let area = |block: u64| u64::from(self.block0.blocks).saturating_add(block);
        let top = self.shape.levels().last().map_or(0, |top| area(top.first_block));
        let block = source.read_anywhere(top.saturating_mul(BLOCK_STEP), BLOCK_BYTES)?;
        let mut digest = [[0; 32]];
        hash(&block, &mut digest);
        let [digest] = digest;
        Ok(RootHash::new(digest))
    }
}

/// A walk through the directories.
struct Walk<'a, R> {
    source: &'a mut Source<R>,
    block0: Block0,
    /// The block behind the directory data so far. Directories lie one behind the other, so what
    /// they say in memory is not more than what they are in the file.
    directory_end: Option<u64>,
}

impl<R: Read + Seek> Walk<'_, R> {
    fn objects(&mut self) -> Result<Vec<PackObject>, PackError> {
        let mut names = Vec::new();
        let mut directories = 1_u64;
        for (directory, nid) in self.root()? {
            directories = directories.saturating_add(1);
            self.directory(&directory, nid, &mut names)?;
        }
        let end = u64::from(self.block0.meta_block).saturating_add(1);
        if self.directory_end.is_some_and(|actual| actual != end) {
            return Err(PackError::Directory { path: "/".to_owned() });
        }
        let inodes = to_u64(names.len()).saturating_add(directories);
        if inodes != self.block0.inodes {
            return Err(PackError::InodeCount { stated: self.block0.inodes, actual: inodes });
        }
        // In this order, the inodes are read from the first to the last.
        names.sort_unstable_by_key(|(_, nid)| *nid);
        let mut objects = Vec::with_capacity(names.len());
        for (id, nid) in names {
            objects.push(self.object(id, nid)?);
        }
        objects.sort_unstable_by_key(|(number, _)| *number);
        if objects.iter().zip(1..).any(|((number, _), expected)| *number != expected) {
            return Err(PackError::Numbers);
        }
        Ok(objects.into_iter().map(|(_, object)| object).collect())
    }

    /// The directories in the root directory, with their nids.
    fn root(&mut self) -> Result<Vec<(String, u64)>, PackError> {
        let mut directories = Vec::new();
        self.entries("/", inode::FIRST_NID.into(), |name, nid, file_type| {
            let is_hex = |name: &str| name.len() == 2 && name.bytes().all(is_hex_digit);
            let name = str::from_utf8(name).ok().filter(|name| is_hex(name))?;
            (file_type == FileType::Directory).then(|| directories.push((name.to_owned(), nid)))
        })?;
        Ok(directories)
    }

    /// The names of the files in a directory, with their nids.
    fn directory(
        &mut self,
        directory: &str,
        nid: u64,
        names: &mut Vec<(ObjectId, u64)>,
    ) -> Result<(), PackError> {
        self.entries(directory, nid, |name, nid, file_type| {
            let id: ObjectId = format!("{directory}{}", str::from_utf8(name).ok()?).parse().ok()?;
            (file_type == FileType::Regular && id.algorithm() == Algorithm::Sha256)
                .then(|| names.push((id, nid)))
        })
    }

    /// Gives the entries of a directory to `each`, which answers `None` to a name that it refuses.
    fn entries(
        &mut self,
        path: &str,
        nid: u64,
        mut each: impl FnMut(&[u8], u64, FileType) -> Option<()>,
    ) -> Result<(), PackError> {
        let bad = || PackError::Directory { path: path.to_owned() };
        let (inode, rest_offset) = self.inode(path, nid)?;
        let (InodeKind::Directory { .. }, InodeData::Flat { first_block, .. }) = (inode.kind, inode.data)
        else {
            return Err(bad());
        };
        let (blocks, tail_bytes) = Inode::split(inode.size_bytes);
        if blocks > 0 {
            let first = self.directory_end.unwrap_or(first_block.into());
            self.directory_end = (first == first_block.into()).then(|| first.saturating_add(blocks));
            self.directory_end.ok_or_else(bad)?;
        }
        let blocks_bytes = blocks.saturating_mul(BLOCK_STEP).min(inode.size_bytes);
        let mut last = Vec::new();
        let start = u64::from(first_block).saturating_mul(BLOCK_STEP);
        let pieces = pieces(start, blocks_bytes).chain(pieces(rest_offset, to_u64(tail_bytes)));
        for (offset, length) in pieces {
            for block in self.source.read(offset, length)?.chunks(BLOCK_BYTES) {
                for entry in directory::decode(block).ok_or_else(bad)? {
                    if entry.name <= last {
                        return Err(bad());
                    }
                    last.clone_from(&entry.name);
                    let is_dots = entry.name == b"." || entry.name == b"..";
                    if !is_dots && each(&entry.name, entry.nid, entry.file_type).is_none() {
                        let name = entry.name.get(..80).unwrap_or(&entry.name).escape_ascii().to_string();
                        return Err(PackError::Name { path: path.to_owned(), name });
                    }
                }
            }
        }
        Ok(())
    }

    /// The object with its number.
    fn object(&mut self, id: ObjectId, nid: u64) -> Result<(u32, PackObject), PackError> {
        let (inode, rest_offset) = self.inode(&id, nid)?;
        if inode.kind != InodeKind::File {
            return Err(PackError::Inode { path: id.to_string(), problem: inode::BadInode::Fields });
        }
        if inode.size_bytes <= to_u64(INLINE_MAX_BYTES) || inode.size_bytes > OBJECT_MAX_BYTES {
            return Err(PackError::ObjectSize { id, size_bytes: inode.size_bytes });
        }
        let object = PackObject { id, size_bytes: inode.size_bytes, data: inode.data, rest_offset };
        Ok((inode.number, object))
    }

    /// The inode with that nid, and where in the file what is behind it begins.
    fn inode(&mut self, path: &(impl ToString + ?Sized), nid: u64) -> Result<(Inode, u64), PackError> {
        let meta = u64::from(self.block0.meta_block).saturating_mul(BLOCK_STEP);
        let offset = meta.saturating_add(nid.saturating_mul(SLOT_BYTES));
        let in_block = offset % BLOCK_STEP;
        let block = self.source.block(offset.saturating_sub(in_block))?;
        let bytes = block.get(super::to_usize(in_block)..).unwrap_or_default();
        let inode =
            Inode::parse(bytes).map_err(|problem| PackError::Inode { path: path.to_string(), problem })?;
        Ok((inode, offset.saturating_add(to_u64(Inode::bytes_of(inode.size_bytes)))))
    }
}

/// `length` bytes at `start`, in pieces of at most [`READ_BYTES`].
fn pieces(start: u64, length: u64) -> impl Iterator<Item = (u64, usize)> {
    let step = to_u64(READ_BYTES);
    (0..length.div_ceil(step)).map(move |piece| {
        let offset = piece.saturating_mul(step);
        let bytes = length.saturating_sub(offset).min(step);
        (start.saturating_add(offset), super::to_usize(bytes))
    })
}

const fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}
