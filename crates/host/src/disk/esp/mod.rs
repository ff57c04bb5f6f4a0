//! The EFI system partition: a FAT32 filesystem with what the firmware starts, written once and in order, so that the same
//! files give the same bytes. Source of the format: Microsoft's "FAT32 File System Specification", version 1.03, which
//! the UEFI specification refers to (2.10, section 13.3).

mod directory;
mod names;
mod tree;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::number::Number;
use tree::{Node, Tree};

/// What fstab calls it, and FAT pads with blanks.
const LABEL: [u8; 11] = *b"ESP        ";

const SECTOR_BYTES: u64 = 512;

/// Small, so that small partitions have the clusters without which they would be FAT16.
const CLUSTER_BYTES: u64 = 1024;

/// The sectors in front of the tables, the copy of the first ones included.
const RESERVED_SECTORS: u16 = 32;

/// The fewest clusters that make a FAT32.
const CLUSTERS_MIN: u64 = 65_525;

/// The numbers that no cluster has.
const FIRST_CLUSTER: u32 = 2;

/// The end of a file, in the table.
const END: u32 = 0x0FFF_FFFF;

/// A file on the partition.
#[derive(Debug, Clone)]
pub(super) struct EspFile {
    /// Its path, the parts separated by slashes.
    pub(super) path: String,
    /// What is in it.
    pub(super) content: Vec<u8>,
}

/// Where the partition is on the disk, which reads as zeros there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) start_bytes: u64,
    pub(super) size_bytes: u64,
}

/// Writes the filesystem with the files in it.
///
/// # Errors
/// If the disk cannot be written. A partition that is too small for the files is [`io::ErrorKind::StorageFull`]; a name
/// that FAT does not have, and a file in the place of a directory, are [`io::ErrorKind::InvalidInput`].
pub(super) fn write(disk: &File, place: Place, number: Number, files: &[EspFile]) -> io::Result<()> {
    let tree = Tree::of(files)?;
    let shape = Shape::of(place.size_bytes)?;
    let mut writer = Writer { disk, place, shape, table: vec![0x0FFF_FFF8, END] };
    // Directories refer to the clusters of what is in them, so those are known first.
    let clusters = tree.nodes().map(|node| writer.allocate(node)).collect::<io::Result<Vec<u32>>>()?;
    for (index, node) in tree.nodes().enumerate() {
        match node {
            Node::File(content) => writer.put(clusters[index], content)?,
            Node::Directory(_) => writer.put(clusters[index], &tree.directory(index, &clusters, LABEL))?,
        }
    }
    writer.finish(number)
}

/// How large the parts of the filesystem are.
#[derive(Debug, Clone, Copy)]
struct Shape {
    sectors: u32,
    table_sectors: u32,
    clusters: u32,
}

impl Shape {
    fn of(size_bytes: u64) -> io::Result<Self> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "no size of a FAT32 filesystem");
        // Not more than what the tables of all clusters that would fit take.
        let table_sectors = (size_bytes / CLUSTER_BYTES + 2).div_ceil(SECTOR_BYTES / 4);
        let in_front = (u64::from(RESERVED_SECTORS) + 2 * table_sectors) * SECTOR_BYTES;
        let clusters = size_bytes.saturating_sub(in_front) / CLUSTER_BYTES;
        if clusters < CLUSTERS_MIN {
            return Err(invalid());
        }
        let number = |number: u64| u32::try_from(number).map_err(|_| invalid());
        Ok(Self {
            sectors: number(size_bytes / SECTOR_BYTES)?,
            table_sectors: number(table_sectors)?,
            clusters: number(clusters)?,
        })
    }
}

struct Writer<'d> {
    disk: &'d File,
    place: Place,
    shape: Shape,
    /// For each cluster, beginning with the two numbers that no cluster has, the one that follows it in its file.
    table: Vec<u32>,
}

impl Writer<'_> {
    /// Gives a node the clusters that it needs, one behind the other. An empty file has none, and 0 for it.
    fn allocate(&mut self, node: &Node<'_>) -> io::Result<u32> {
        let clusters = node.size_bytes().div_ceil(CLUSTER_BYTES);
        let first = self.table.len() as u64;
        if first + clusters > u64::from(self.shape.clusters + FIRST_CLUSTER) {
            let full = "the files are larger than the EFI system partition";
            return Err(io::Error::new(io::ErrorKind::StorageFull, full));
        }
        if clusters == 0 {
            return Ok(0);
        }
        // They are no more than the clusters that there are, which are fewer than 2^32.
        let (first, clusters) = (first as u32, clusters as u32);
        self.table.extend((first + 1)..(first + clusters));
        self.table.push(END);
        Ok(first)
    }

    /// Writes what is in clusters from `cluster` on.
    fn put(&self, cluster: u32, content: &[u8]) -> io::Result<()> {
        if content.is_empty() {
            return Ok(());
        }
        let in_front = u64::from(RESERVED_SECTORS) + 2 * u64::from(self.shape.table_sectors);
        let offset = in_front * SECTOR_BYTES + u64::from(cluster - FIRST_CLUSTER) * CLUSTER_BYTES;
        self.write(offset, content)
    }

    /// Writes the tables and what is in front of them.
    fn finish(self, number: Number) -> io::Result<()> {
        let table: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        let table_bytes = u64::from(self.shape.table_sectors) * SECTOR_BYTES;
        let first = u64::from(RESERVED_SECTORS) * SECTOR_BYTES;
        self.write(first, &table)?;
        self.write(first + table_bytes, &table)?;
        let (boot, information) = (self.boot_sector(number), self.information());
        for copy in [0, 6] {
            self.write(copy * SECTOR_BYTES, &boot)?;
            self.write((copy + 1) * SECTOR_BYTES, &information)?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_all_at(bytes, self.place.start_bytes + offset)
    }

    /// The first sector, with what describes the rest.
    fn boot_sector(&self, number: Number) -> [u8; SECTOR_BYTES as usize] {
        let hidden = u32::try_from(self.place.start_bytes / SECTOR_BYTES).unwrap_or(0);
        let mut head = Vec::with_capacity(90);
        head.extend(b"\xEB\x58\x90SEALPACK");
        head.extend((SECTOR_BYTES as u16).to_le_bytes());
        head.push((CLUSTER_BYTES / SECTOR_BYTES) as u8);
        head.extend(RESERVED_SECTORS.to_le_bytes());
        // Two tables; no root directory of fixed size, no 16-bit number of sectors; a fixed disk.
        head.extend([2, 0, 0, 0, 0, 0xF8]);
        // No 16-bit size of a table; 63 sectors and 255 heads, which nobody asks for.
        head.extend([0, 0, 63, 0, 255, 0]);
        head.extend(hidden.to_le_bytes());
        head.extend(self.shape.sectors.to_le_bytes());
        head.extend(self.shape.table_sectors.to_le_bytes());
        // Both tables are kept; version 0; the root directory, the sector with information, the copy of both sectors.
        head.extend([0, 0, 0, 0]);
        head.extend(FIRST_CLUSTER.to_le_bytes());
        head.extend([1, 0, 6, 0]);
        head.extend([0; 12]);
        head.extend([0x80, 0, 0x29]);
        head.extend(number.short().to_le_bytes());
        head.extend(LABEL);
        head.extend(b"FAT32   ");
        let mut sector = [0; SECTOR_BYTES as usize];
        sector[..head.len()].copy_from_slice(&head);
        sector[510..].copy_from_slice(&[0x55, 0xAA]);
        sector
    }

    /// How many clusters are free, and where to look for one.
    fn information(&self) -> [u8; SECTOR_BYTES as usize] {
        // As many as were allocated, which are no more than there are.
        let next = self.table.len() as u32;
        let free = self.shape.clusters + FIRST_CLUSTER - next;
        let mut sector = [0; SECTOR_BYTES as usize];
        sector[..4].copy_from_slice(b"RRaA");
        sector[484..488].copy_from_slice(b"rrAa");
        sector[488..492].copy_from_slice(&free.to_le_bytes());
        sector[492..496].copy_from_slice(&next.to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xAA]);
        sector
    }
}

#[cfg(test)]
mod tests;
