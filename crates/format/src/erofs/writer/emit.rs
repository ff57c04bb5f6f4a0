//! Writes an image from its first byte to its last.

use std::io::{self, Write};

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, IntoBytes};

use super::Layout;
use super::layout::{data_size, dirent_bytes, xattr_bytes, xattr_count};
use super::order::{Slot, to_usize};
use super::rewrite::{Attribute, Data, InodeFields};
use super::shared::{References, Shared};
use crate::erofs::dirent::{DIRENT_BYTES, Dirent};
use crate::erofs::inode::{Chunks, DataLayout, Format, InodeCompact, InodeExtended, NULL_ADDRESS};
use crate::erofs::superblock::{
    COMPAT_MTIME, COMPAT_XATTR_FILTER, SUPER_BYTES, SUPER_MAGIC, SUPER_OFFSET, SuperBlock,
};
use crate::erofs::xattr::{XattrEntry, XattrIbodyHeader, filter_bit, split_key};
use crate::erofs::{BLOCK_BITS, BLOCK_BYTES, CHUNKS_MAX, SLOT_BYTES, round_up, to_u64};

/// The image's bytes on their way out, in large writes.
struct Output<'w, W> {
    sink: &'w mut W,
    buffer: Vec<u8>,
    position: u64,
}

impl<W: Write> Output<'_, W> {
    const BUFFER_BYTES: usize = 256 * 1024;

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len().saturating_add(bytes.len()) > Self::BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        self.position = self.position.saturating_add(to_u64(bytes.len()));
        Ok(())
    }

    /// Writes zeros up to `position`.
    fn pad_to(&mut self, position: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.position < position {
            let missing = usize::try_from(position.saturating_sub(self.position)).unwrap_or(usize::MAX);
            self.put(ZEROS.get(..missing).unwrap_or(&ZEROS))?;
        }
        Ok(())
    }

    fn align(&mut self, step: u64) -> io::Result<()> {
        self.pad_to(round_up(self.position, step))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<'t> Layout<'t> {
    /// Writes the image to `out`: [`size_bytes`](Self::size_bytes) bytes.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let buffer = Vec::with_capacity(256 * 1024);
        let mut out = Output { sink: out, buffer, position: 0 };
        out.put(self.header.to_disk().as_bytes())?;
        out.pad_to(SUPER_OFFSET)?;
        out.put(self.superblock().as_bytes())?;
        debug_assert_eq!(out.position, SUPER_OFFSET.saturating_add(SUPER_BYTES));

        let mut attributes = Vec::new();
        let mut references = self.shared.references();
        let mut next_block = self.data_start_block;
        for (place, slot) in (0..).zip(&self.order.slots) {
            self.order.attributes(slot, self.header.version, &mut attributes);
            self.put_inode(&mut out, place, slot, &attributes, &mut references, next_block)?;
            next_block = next_block.saturating_add(slot.blocks);
        }
        out.align(SLOT_BYTES)?;
        debug_assert_eq!(out.position, self.inodes_end);
        for (key, value) in self.shared.entries() {
            put_xattr(&mut out, key, value)?;
        }
        out.align(BLOCK_BYTES)?;
        for (place, slot) in (0..).zip(&self.order.slots).filter(|(_, slot)| slot.blocks > 0) {
            self.put_blocks(&mut out, place, slot)?;
        }
        debug_assert_eq!(out.position, self.size_bytes());
        out.flush()
    }

    fn superblock(&self) -> SuperBlock {
        let root_nid = self.order.slots.first().map_or(0, |root| root.nid);
        SuperBlock {
            magic: SUPER_MAGIC.into(),
            feature_compat: (COMPAT_MTIME | COMPAT_XATTR_FILTER).into(),
            blkszbits: BLOCK_BITS,
            root_nid: u16::try_from(root_nid)
                .expect("the root is the first inode, at most one attribute area's padding in")
                .into(),
            inos: to_u64(self.order.slots.len()).into(),
            build_time: self.oldest.seconds.cast_unsigned().into(),
            build_time_nsec: self.oldest.nanoseconds.into(),
            blocks: self.blocks.into(),
            xattr_blkaddr: u32::try_from(self.inodes_end / BLOCK_BYTES).unwrap_or(u32::MAX).into(),
            ..SuperBlock::new_zeroed()
        }
    }

    fn put_inode<W: Write>(
        &self,
        out: &mut Output<'_, W>,
        place: u32,
        slot: &Slot,
        attributes: &[Attribute<'t>],
        references: &mut References<'_>,
        block: u32,
    ) -> io::Result<()> {
        let facts = self.order.facts(place, slot).map_err(io::Error::other)?;
        let shared = references.of(place);
        out.pad_to(u64::from(slot.nid).saturating_mul(SLOT_BYTES))?;
        self.put_inode_head(out, place, slot, &facts, xattr_bytes(attributes, shared), block)?;
        if !attributes.is_empty() {
            self.put_xattrs(out, attributes, shared)?;
        }
        let tail_bytes = usize::from(slot.tail_bytes);
        match facts.data {
            Data::Directory if tail_bytes > 0 => {
                let mut last = Vec::new();
                self.for_each_group(place, slot, |group| {
                    last.clear();
                    last.extend_from_slice(group);
                    Ok(())
                })?;
                self.put_entries(out, &last)
            }
            Data::Inline(bytes) | Data::Target(bytes) => {
                let start = bytes.len().saturating_sub(tail_bytes);
                out.put(bytes.get(start..).unwrap_or_default())
            }
            Data::External { chunks, .. } if tail_bytes > 0 => put_null_chunks(out, chunks.count),
            _ => Ok(()),
        }
    }

    fn put_inode_head<W: Write>(
        &self,
        out: &mut Output<'_, W>,
        place: u32,
        slot: &Slot,
        facts: &InodeFields<'_>,
        xattr_bytes: u64,
        block: u32,
    ) -> io::Result<()> {
        let layout = match facts.data {
            Data::External { .. } => DataLayout::ChunkBased,
            _ if slot.tail_bytes > 0 => DataLayout::FlatInline,
            _ => DataLayout::FlatPlain,
        };
        let format = U16::new(Format { compact: slot.compact, layout }.to_disk());
        let xattr_count = U16::new(xattr_count(xattr_bytes).unwrap_or(u16::MAX));
        let mode = U16::new(facts.file_type.mode_bits() | facts.permissions);
        let size = data_size(facts, slot.blocks.into(), slot.tail_bytes.into());
        let i_u = U32::new(match facts.data {
            Data::None { rdev } => rdev,
            Data::External { chunks, .. } => chunk_format(chunks, slot, block),
            _ if slot.blocks > 0 => block,
            _ => 0,
        });
        let links = self.order.links(slot);
        if slot.compact {
            let narrow = |number: u32| {
                U16::new(u16::try_from(number).expect("compact inodes are those whose numbers fit"))
            };
            let inode = InodeCompact {
                i_format: format,
                i_xattr_icount: xattr_count,
                i_mode: mode,
                i_nlink: narrow(links),
                i_size: u32::try_from(size).expect("compact inodes are those whose size fits").into(),
                i_reserved: U32::ZERO,
                i_u,
                i_ino: place.into(),
                i_uid: narrow(facts.uid),
                i_gid: narrow(facts.gid),
                i_reserved2: U32::ZERO,
            };
            return out.put(inode.as_bytes());
        }
        let inode = InodeExtended {
            i_format: format,
            i_xattr_icount: xattr_count,
            i_mode: mode,
            i_reserved: U16::ZERO,
            i_size: size.into(),
            i_u,
            i_ino: place.into(),
            i_uid: facts.uid.into(),
            i_gid: facts.gid.into(),
            i_mtime: facts.mtime.seconds.cast_unsigned().into(),
            i_mtime_nsec: facts.mtime.nanoseconds.into(),
            i_nlink: links.into(),
            i_reserved2: [0; 16],
        };
        out.put(inode.as_bytes())
    }

    fn put_xattrs<W: Write>(
        &self,
        out: &mut Output<'_, W>,
        attributes: &[Attribute<'t>],
        shared: Shared<'_>,
    ) -> io::Result<()> {
        let present = attributes.iter().fold(0, |bits, attribute| {
            let (index, suffix) = split_key(&attribute.key);
            bits | filter_bit(index, suffix)
        });
        let header = XattrIbodyHeader {
            h_name_filter: (!present).into(),
            h_shared_count: u8::try_from(shared.count()).expect("at most 128 attributes are shared"),
            h_reserved2: [0; 7],
        };
        out.put(header.as_bytes())?;
        for offset in shared.offsets() {
            // From the start of the block in which the inodes end, in words.
            let word = (self.inodes_end % BLOCK_BYTES).saturating_add(offset) / 4;
            out.put(&u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes())?;
        }
        shared.others(attributes).try_for_each(|attribute| put_xattr(out, &attribute.key, &attribute.value))
    }

    /// Writes the whole blocks of an inode's data.
    fn put_blocks<W: Write>(&self, out: &mut Output<'_, W>, place: u32, slot: &Slot) -> io::Result<()> {
        match self.order.facts(place, slot).map_err(io::Error::other)?.data {
            Data::Directory => {
                let mut blocks = slot.blocks;
                self.for_each_group(place, slot, |group| {
                    if blocks == 0 {
                        return Ok(());
                    }
                    blocks = blocks.saturating_sub(1);
                    self.put_entries(out, group)?;
                    out.align(BLOCK_BYTES)
                })
            }
            Data::Inline(bytes) | Data::Target(bytes) => {
                let end = bytes.len().saturating_sub(slot.tail_bytes.into());
                out.put(bytes.get(..end).unwrap_or_default())?;
                out.align(BLOCK_BYTES)
            }
            Data::External { .. } => put_null_chunks(out, CHUNKS_MAX),
            Data::None { .. } => Ok(()),
        }
    }

    /// Calls `put` with the entries of each directory block, and last with those of the tail.
    fn for_each_group<'a>(
        &'a self,
        place: u32,
        slot: &Slot,
        mut put: impl FnMut(&[(&'a [u8], u32)]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut group = Vec::new();
        let mut bytes: u64 = 0;
        for child in self.order.children(place, slot) {
            let entry = dirent_bytes(child.0);
            if bytes.saturating_add(entry) > BLOCK_BYTES {
                put(&group)?;
                group.clear();
                bytes = 0;
            }
            group.push(child);
            bytes = bytes.saturating_add(entry);
        }
        put(&group)
    }

    fn put_entries<W: Write>(&self, out: &mut Output<'_, W>, group: &[(&[u8], u32)]) -> io::Result<()> {
        let mut name_offset = to_u64(group.len()).saturating_mul(DIRENT_BYTES);
        for (name, place) in group {
            let nid = self.order.slots.get(to_usize(*place)).map_or(0, |slot| slot.nid);
            let entry = Dirent {
                nid: u64::from(nid).into(),
                nameoff: u16::try_from(name_offset).expect("a group fits into a block").into(),
                file_type: self.order.file_type(*place).entry_number(),
                reserved: 0,
            };
            out.put(entry.as_bytes())?;
            name_offset = name_offset.saturating_add(to_u64(name.len()));
        }
        group.iter().try_for_each(|(name, _)| out.put(name))
    }
}

/// The chunk format in the lower half of `i_u`. Where the table has gone into a block, the upper
/// half is that of the block's address: C writes the two into one union.
fn chunk_format(chunks: Chunks, slot: &Slot, block: u32) -> u32 {
    let block = if slot.blocks > 0 { block & 0xffff_0000 } else { 0 };
    block | u32::from(chunks.to_disk())
}

fn put_xattr<W: Write>(out: &mut Output<'_, W>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let (index, suffix) = split_key(key);
    let entry = XattrEntry {
        e_name_len: u8::try_from(suffix.len()).expect("the layout has checked names"),
        e_name_index: index,
        e_value_size: u16::try_from(value.len()).expect("the layout has checked values").into(),
    };
    out.put(entry.as_bytes())?;
    out.put(suffix)?;
    out.put(value)?;
    out.align(4)
}

fn put_null_chunks<W: Write>(out: &mut Output<'_, W>, count: u64) -> io::Result<()> {
    (0..count).try_for_each(|_| out.put(&NULL_ADDRESS.to_le_bytes()))
}
