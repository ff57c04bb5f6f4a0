//! A partition table (UEFI specification 2.10, section 5): two partitions, and a copy of it at the end of the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::number::Number;

/// What the firmware calls a block, and all numbers in the table count.
const SECTOR_BYTES: u64 = 512;

/// Where partitions begin and end: what every disk's own blocks divide.
pub(super) const ALIGN_BYTES: u64 = 1024 * 1024;

/// How many entries a table has to have room for at least, and the size of one.
const ENTRIES: u32 = 128;
const ENTRY_BYTES: u32 = 128;

/// The bytes of all entries.
const ENTRIES_BYTES: usize = (ENTRIES * ENTRY_BYTES) as usize;

/// The sectors of all entries.
const ENTRIES_SECTORS: u64 = ENTRIES_BYTES as u64 / SECTOR_BYTES;

/// `C12A7328-F81F-11D2-BA4B-00A0C93EC93B`: an EFI system partition.
pub(super) const ESP: [u8; 16] = *b"\x28\x73\x2A\xC1\x1F\xF8\xD2\x11\xBA\x4B\x00\xA0\xC9\x3E\xC9\x3B";

/// `0FC63DAF-8483-4772-8E79-3D69D8477DE4`: data of Linux, which nobody mounts by its type.
pub(super) const DATA: [u8; 16] = *b"\xAF\x3D\xC6\x0F\x83\x84\x72\x47\x8E\x79\x3D\x69\xD8\x47\x7D\xE4";

/// A partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partition {
    /// What it is for: [`ESP`] or [`DATA`].
    pub(super) kind: [u8; 16],
    /// What tells it from all others.
    pub(super) number: Number,
    /// Where it begins, in whole [`ALIGN_BYTES`].
    pub(super) start_bytes: u64,
    /// How large it is, in whole [`ALIGN_BYTES`].
    pub(super) size_bytes: u64,
    /// ASCII, at most 36 characters.
    pub(super) name: &'static str,
}

/// Writes the table of a disk whose size is whole sectors.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write(
    disk: &File,
    size_bytes: u64,
    number: Number,
    partitions: &[Partition; 2],
) -> io::Result<()> {
    let last = size_bytes / SECTOR_BYTES - 1;
    let entries = entries(partitions);
    let header = |own: u64, other: u64, entries_at: u64| {
        header(Place { own, other, entries: entries_at, last }, number, &entries)
    };
    disk.write_all_at(&protective_mbr(last), 0)?;
    disk.write_all_at(&header(1, last, 2), SECTOR_BYTES)?;
    disk.write_all_at(&entries, 2 * SECTOR_BYTES)?;
    let copy = last - ENTRIES_SECTORS;
    disk.write_all_at(&entries, copy * SECTOR_BYTES)?;
    disk.write_all_at(&header(last, 1, copy), last * SECTOR_BYTES)
}

/// The first sector: to those who know no other tables, a disk that is full (section 5.2.3).
fn protective_mbr(last: u64) -> [u8; SECTOR_BYTES as usize] {
    let mut sector = [0; SECTOR_BYTES as usize];
    let sectors = u32::try_from(last).unwrap_or(u32::MAX);
    // One entry: no boot flag, CHS of sector 1, type 0xEE, CHS past the end, first sector, number of sectors.
    sector[446..458].copy_from_slice(&[0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0]);
    sector[458..462].copy_from_slice(&sectors.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    sector
}

/// Where a header, and what belongs to it, lies: numbers of sectors.
struct Place {
    own: u64,
    other: u64,
    entries: u64,
    /// The disk's last sector.
    last: u64,
}

/// A header (section 5.3.2), and zeros to the end of its sector.
fn header(place: Place, number: Number, entries: &[u8]) -> [u8; SECTOR_BYTES as usize] {
    const HEADER_BYTES: usize = 92;
    /// Where the header's own checksum is in it.
    const CHECKSUM: std::ops::Range<usize> = 16..20;
    let first_usable = 2 + ENTRIES_SECTORS;
    let last_usable = place.last - ENTRIES_SECTORS - 1;
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend(b"EFI PART");
    header.extend([0, 0, 1, 0]);
    header.extend((HEADER_BYTES as u32).to_le_bytes());
    header.extend([0; 8]);
    for sector in [place.own, place.other, first_usable, last_usable] {
        header.extend(sector.to_le_bytes());
    }
    header.extend(number.bytes());
    header.extend(place.entries.to_le_bytes());
    for number in [ENTRIES, ENTRY_BYTES, crc32fast::hash(entries)] {
        header.extend(number.to_le_bytes());
    }
    let checksum = crc32fast::hash(&header).to_le_bytes();
    header[CHECKSUM].copy_from_slice(&checksum);
    let mut sector = [0; SECTOR_BYTES as usize];
    sector[..HEADER_BYTES].copy_from_slice(&header);
    sector
}

/// The entries (section 5.3.3), of which most are empty.
fn entries(partitions: &[Partition; 2]) -> [u8; ENTRIES_BYTES] {
    let mut bytes = [0; ENTRIES_BYTES];
    for (entry, partition) in bytes.chunks_exact_mut(ENTRY_BYTES as usize).zip(partitions) {
        let first = partition.start_bytes / SECTOR_BYTES;
        let last = first + partition.size_bytes / SECTOR_BYTES - 1;
        entry[..16].copy_from_slice(&partition.kind);
        entry[16..32].copy_from_slice(&partition.number.bytes());
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        for (unit, character) in entry[56..].chunks_exact_mut(2).zip(partition.name.encode_utf16()) {
            unit.copy_from_slice(&character.to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Writes a table for a disk of 64 MiB.
    fn written() -> io::Result<tempfile::NamedTempFile> {
        let disk = tempfile::NamedTempFile::new()?;
        let size_bytes = 64 * ALIGN_BYTES;
        disk.as_file().set_len(size_bytes)?;
        let partition = |kind, name, start: u64, size: u64| Partition {
            kind,
            number: Number::of(name),
            start_bytes: start * ALIGN_BYTES,
            size_bytes: size * ALIGN_BYTES,
            name,
        };
        let partitions = [partition(ESP, "esp", 1, 32), partition(DATA, "data", 33, 30)];
        write(disk.as_file(), size_bytes, Number::of("disk"), &partitions)?;
        Ok(disk)
    }

    #[test]
    fn sfdisk_finds_the_partitions_and_nothing_wrong() -> io::Result<()> {
        let disk = written()?;
        let sfdisk = |option: &str| Command::new("/sbin/sfdisk").arg(option).arg(disk.path()).output();
        let Ok(verified) = sfdisk("--verify") else {
            eprintln!("skipped: sfdisk is not installed");
            return Ok(());
        };
        assert!(verified.status.success(), "{verified:?}");
        let dump = String::from_utf8_lossy(&sfdisk("--dump")?.stdout).into_owned();
        for part in [
            "label: gpt",
            "start=        2048, size=       65536, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            "start=       67584, size=       61440, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4",
            "name=\"data\"",
            &format!("label-id: {}", Number::of("disk").to_string().to_uppercase()),
        ] {
            assert!(dump.contains(part), "{part} is not in {dump}");
        }
        Ok(())
    }

    #[test]
    fn the_copy_at_the_end_is_found_when_the_table_is_gone() -> io::Result<()> {
        let disk = written()?;
        disk.as_file().write_all_at(&[0; 512], SECTOR_BYTES)?;
        let Ok(dump) = Command::new("/sbin/sfdisk").arg("--dump").arg(disk.path()).output() else {
            eprintln!("skipped: sfdisk is not installed");
            return Ok(());
        };
        assert_eq!(String::from_utf8_lossy(&dump.stdout).matches("type=").count(), 2, "{dump:?}");
        Ok(())
    }
}
