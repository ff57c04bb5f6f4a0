//! Writes packs in one pass over the contents.

mod blocks;
mod chunks;
mod object;

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use blocks::Blocks;
pub use object::{AddedObject, ObjectWriter};

use super::block0::Block0;
use super::inode::{Inode, InodeData, InodeKind};
use super::layout::Directories;
use super::placement::{ClosedBlocks, Placement};
use super::region::{Lazy, Region};
use super::{BLOCK_BYTES, OBJECT_MAX_BYTES, to_usize};
use crate::digest::{ObjectId, RootHash};
use crate::limits::INLINE_MAX_BYTES;
use crate::verity::dmverity::{DmVerityError, TreeShape, TreeWriter};
use crate::verity::{LeafHash, hash_blocks_portably};

/// The most blocks of a pack, its tree included.
const BLOCKS_MAX: u64 = 0xffff_ffff;

/// The most objects: with 257 directories, their numbers are 32-bit ones.
const OBJECTS_MAX: usize = 0xffff_0000;

/// Where a pack is written, from offset 0 on.
///
/// Data that turns out to be there already is written over, so the end can move back.
pub trait PackOutput: Write + Seek {
    /// Makes `size_bytes` the size; what is behind is forgotten.
    ///
    /// # Errors
    /// Those of the file.
    fn set_size(&mut self, size_bytes: u64) -> io::Result<()>;
}

impl PackOutput for std::fs::File {
    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        self.set_len(size_bytes)
    }
}

impl PackOutput for Cursor<Vec<u8>> {
    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        let size = usize::try_from(size_bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.get_mut().resize(size, 0);
        Ok(())
    }
}

impl<W: PackOutput> PackOutput for &mut W {
    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        (**self).set_size(size_bytes)
    }
}

/// How a pack is made; none of it changes its bytes.
#[derive(Debug, Clone, Copy)]
pub struct PackOptions {
    /// Hashes blocks.
    pub hash: LeafHash,
    /// Beyond about this many bytes, the inodes and tails, and the hashes of blocks, each go into
    /// a temporary file. Of the data, at most as much and never more than 1 MiB is in memory.
    pub memory_bytes: usize,
}

impl Default for PackOptions {
    /// The portable hash, and 32 MiB.
    fn default() -> Self {
        Self { hash: hash_blocks_portably, memory_bytes: 32 * 1024 * 1024 }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pack {
    /// The root hash of its dm-verity tree: its name.
    pub root_hash: RootHash,
    /// Its size, the tree included.
    pub size_bytes: u64,
    /// The blocks of its filesystem: the data blocks of the dm-verity device. The dm-verity
    /// superblock is in the block with this number, the tree begins in the next.
    pub filesystem_blocks: u64,
    /// The number of objects.
    pub objects: u64,
    /// Their sizes, summed up.
    pub object_bytes: u64,
}

/// A limit of packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackLimit {
    /// [`OBJECT_MAX_BYTES`].
    #[error("an object has more than {OBJECT_MAX_BYTES} bytes (1 TiB)")]
    ObjectBytes,
    /// The number of objects.
    #[error("there are more than {OBJECTS_MAX} objects")]
    Objects,
    /// The number of blocks.
    #[error("there are 2^32 blocks (16 TiB) or more, the hash tree included")]
    Blocks,
}

/// Why a pack cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackWriteError {
    /// The output fails.
    #[error("cannot write the pack: {0}")]
    Output(#[source] io::Error),
    /// A temporary file fails.
    #[error("cannot use a temporary file for the pack: {0}")]
    Scratch(#[source] io::Error),
    /// The layer is too large.
    #[error("the layer does not fit into a pack: {0}")]
    TooLarge(PackLimit),
    /// A content that metadata images have inside of them, so that no pack has it.
    #[error(
        "a content of {0} bytes cannot be in a pack: up to {INLINE_MAX_BYTES} bytes are kept in metadata images"
    )]
    TooSmall(u64),
    /// There was an error before, since which the pack is of no use.
    #[error("the pack cannot be finished: writing it failed before")]
    Failed,
}

impl From<DmVerityError> for PackWriteError {
    fn from(error: DmVerityError) -> Self {
        match error {
            DmVerityError::Io(error) => Self::Output(error),
            // The amounts are right by construction, up to the limit on blocks.
            _ => Self::TooLarge(PackLimit::Blocks),
        }
    }
}

/// Writes a pack to `W`; `F` makes temporary files `S` when memory does not suffice.
///
/// A pack of a layer has the contents of all its regular files of more than 64 bytes, given in
/// the order of the layer's tar. A content that occurs again is recognised.
///
/// After an error there is no pack: everything else answers [`PackWriteError::Failed`].
pub struct PackWriter<W, F, S> {
    blocks: Blocks<W, F, S>,
    /// The blocks before an object that is not finished.
    finished_blocks: u64,
    placement: Placement,
    inodes: Region<Lazy<F, S>>,
    /// The number of each object in the order of appearance.
    objects: BTreeMap<[u8; 32], u32>,
    /// The slot of each object's inode, in the same order; known when its block is closed.
    slots: Vec<u64>,
    object_bytes: u64,
    hash: LeafHash,
    failed: bool,
}

impl<W: PackOutput, F: Fn() -> io::Result<S> + Clone, S: Read + Write + Seek> PackWriter<W, F, S> {
    /// A pack without objects. `out` is written from its start on, whatever is in it.
    /// `scratch` makes an empty temporary file; it is called at most twice.
    pub fn new(out: W, scratch: F, options: PackOptions) -> Self {
        Self {
            blocks: Blocks::new(out, scratch.clone(), options.memory_bytes),
            finished_blocks: 1,
            placement: Placement::default(),
            inodes: Region::new(Lazy::new(scratch), 0, options.memory_bytes),
            objects: BTreeMap::new(),
            slots: Vec::new(),
            object_bytes: 0,
            hash: options.hash,
            failed: false,
        }
    }

    /// Whether the pack has that object already.
    #[must_use]
    pub fn contains(&self, id: &ObjectId) -> bool {
        <[u8; 32]>::try_from(id.as_bytes()).is_ok_and(|digest| self.objects.contains_key(&digest))
    }

    /// Begins the next object. One that was begun and not finished leaves no trace.
    pub fn object(&mut self) -> ObjectWriter<'_, W, F, S> {
        self.blocks.truncate(self.finished_blocks);
        ObjectWriter::new(self)
    }

    /// Refuses to go on after an error.
    const fn check(&self) -> Result<(), PackWriteError> {
        if self.failed { Err(PackWriteError::Failed) } else { Ok(()) }
    }

    /// Adds an object whose blocks are written; `rest` is what lies behind the inode.
    fn add(
        &mut self,
        digest: [u8; 32],
        size_bytes: u64,
        data: InodeData,
        rest: &[u8],
    ) -> Result<(), PackWriteError> {
        if self.slots.len() >= OBJECTS_MAX {
            return Err(PackWriteError::TooLarge(PackLimit::Objects));
        }
        let ordinal = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let inode = Inode { number: ordinal.saturating_add(1), size_bytes, kind: InodeKind::File, data };
        self.objects.insert(digest, ordinal);
        self.slots.push(0);
        self.object_bytes = self.object_bytes.saturating_add(size_bytes);
        self.finished_blocks = self.blocks.next();
        self.placement.place(ordinal, &inode.to_disk(), rest).map_or(Ok(()), |closed| self.keep(&closed))
    }

    /// Puts inode blocks behind the others, now that no more is added to them.
    fn keep(&mut self, closed: &ClosedBlocks) -> Result<(), PackWriteError> {
        for (ordinal, slot) in &closed.items {
            if let Some(place) = self.slots.get_mut(to_usize((*ordinal).into())) {
                *place = *slot;
            }
        }
        self.inodes.append(&closed.bytes).map_err(PackWriteError::Scratch)
    }

    /// Writes the directories, inodes and tails, the hash tree, and at last the first block.
    ///
    /// # Errors
    /// A failing output or temporary file, now or before, or a limit; the output is of no use then.
    pub fn finish(mut self) -> Result<Pack, PackWriteError> {
        self.check()?;
        self.blocks.truncate(self.finished_blocks);
        while let Some(closed) = self.placement.close_next() {
            self.keep(&closed)?;
        }
        let Self { mut blocks, inodes, objects, slots, object_bytes, hash, .. } = self;
        let files = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let slot = |ordinal: u32| slots.get(to_usize(ordinal.into())).copied().unwrap_or(0);
        let placed = objects.iter().map(|(digest, ordinal)| (*digest, slot(*ordinal)));
        let first_block = blocks.address()?;
        let directories =
            Directories::lay_out(placed, first_block, files, |data| blocks.append_all(hash, data))?;
        // They may be a million.
        drop((objects, slots));
        let meta_block = blocks.address()?.saturating_sub(1);
        blocks.append_all(hash, &directories.inodes)?;
        let inode_count = u64::from(files).saturating_add(directories.count.into());
        drop(directories);
        inodes.read_back(BLOCK_BYTES, PackWriteError::Scratch, |piece| blocks.append_all(hash, piece))?;
        let block0 = Block0 { inodes: inode_count, blocks: blocks.address()?, meta_block };
        let (out, leaves) = blocks.finish()?;
        let (root_hash, size_bytes) = end(out, leaves, block0, hash)?;
        Ok(Pack {
            root_hash,
            size_bytes,
            filesystem_blocks: block0.blocks.into(),
            objects: files.into(),
            object_bytes,
        })
    }
}

/// Writes the hash area and the first block; returns the root hash and the size.
fn end<W: PackOutput, F: Fn() -> io::Result<S>, S: Read + Write + Seek>(
    mut out: W,
    leaves: Region<Lazy<F, S>>,
    block0: Block0,
    hash: LeafHash,
) -> Result<(RootHash, u64), PackWriteError> {
    let shape = TreeShape::of(block0.blocks.into())?;
    if shape.area_blocks().saturating_add(block0.blocks.into()) > BLOCKS_MAX {
        return Err(PackWriteError::TooLarge(PackLimit::Blocks));
    }
    let first = block0.to_bytes();
    let mut tree = TreeWriter::new(&mut out, block0.filesystem_bytes(), block0.blocks.into(), hash)?;
    let mut leaf = [[0; 32]];
    hash(&first, &mut leaf);
    leaf.iter().try_for_each(|leaf| tree.push(leaf))?;
    leaves.read_back(size_of_val(&leaf), PackWriteError::Scratch, |piece| {
        let (leaves, _) = piece.as_chunks();
        leaves.iter().try_for_each(|leaf| Ok(tree.push(leaf)?))
    })?;
    let (root_hash, _) = tree.finish()?;
    let size_bytes = block0.filesystem_bytes().saturating_add(shape.area_bytes());
    let mut end = || {
        out.set_size(size_bytes)?;
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&first)?;
        out.flush()
    };
    end().map_err(PackWriteError::Output)?;
    Ok((root_hash, size_bytes))
}
