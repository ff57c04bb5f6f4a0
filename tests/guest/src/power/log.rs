//! The log of writes that QEMU's block filter `blklogwrites` keeps, which is that of Linux's dm-log-writes
//! (drivers/md/dm-log-writes.c, version 1; all numbers little-endian).
//!
//! | where | bytes | what |
//! | --- | --- | --- |
//! | first sector | 8, 8, 8, 4 | magic, version, number of entries, bytes of a sector |
//! | each entry's sector | 8, 8, 8, 8 | first sector on the disk, number of sectors, flags, length of a mark |
//! | behind it | | what was written there; nothing for what was discarded |

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MAGIC: u64 = 0x6a_7366_7773_6872;
const VERSION: u64 = 1;

/// The bytes of a sector that QEMU uses unless it is told otherwise, which it is not here.
const SECTOR_BYTES: u64 = 512;

/// The flags of an entry: all that is complete is made durable before it; it is durable itself when it is complete; it says
/// that nobody needs these sectors any more; it is a note of somebody's.
const FLUSH: u64 = 1;
const DURABLE: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;
const MARK: u64 = 1 << 3;

/// What a machine did to its disk, in the order in which the disk had done it.
#[derive(Debug)]
pub struct Log {
    file: File,
    steps: Vec<Step>,
}

/// A thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was written.
    Write(Write),
    /// Everything before it is on the disk, whatever happens.
    Flush,
}

/// What was written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where on the disk, in bytes.
    pub range: Range<u64>,
    /// Whether it is on the disk without a flush (FUA).
    pub is_durable: bool,
    /// Where in the log its bytes are.
    place: u64,
}

impl Log {
    /// Reads a log. What it says of its length is of the last flush, or a later one: what a machine wrote that was ended
    /// after that is not in it.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let steps = steps(&file).with_context(|| format!("{} is no log of writes", path.display()))?;
        Ok(Self { file, steps })
    }

    /// All steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// If the log is cut short.
    pub fn bytes(&self, write: &Write) -> Result<Vec<u8>> {
        let length = write.range.end - write.range.start;
        let mut bytes = vec![0; usize::try_from(length).context("a write of more than the memory")?];
        let read = self.file.read_exact_at(&mut bytes, write.place);
        read.with_context(|| format!("the log has not what was written to {:?}", write.range))?;
        Ok(bytes)
    }
}

fn steps(file: &File) -> Result<Vec<Step>> {
    let head = numbers(file, 0).context("its head")?;
    ensure!(head[0] == MAGIC && head[1] == VERSION, "it begins with {:#x}, version {}", head[0], head[1]);
    let sector = head[3] & u64::from(u32::MAX);
    ensure!(sector == SECTOR_BYTES, "its sectors have {sector} bytes");
    let (mut steps, mut at) = (Vec::new(), SECTOR_BYTES);
    for entry in 0..head[2] {
        let numbers = numbers(file, at).with_context(|| format!("its entry {entry}"))?;
        let [first, sectors, flags, _] = numbers;
        ensure!(flags & !(FLUSH | DURABLE | DISCARD | MARK) == 0, "entry {entry} has the flags {flags:#x}");
        if flags & MARK != 0 {
            bail!("entry {entry} is a mark, and nobody makes marks");
        }
        at += SECTOR_BYTES;
        if flags & FLUSH != 0 {
            steps.push(Step::Flush);
        }
        if flags & DISCARD != 0 || sectors == 0 {
            // What is discarded may stay as it was, which is what a disk without discarding does.
            continue;
        }
        let bytes = |sectors: u64| sectors.checked_mul(SECTOR_BYTES).context("a sector beyond all disks");
        let (start, length) = (bytes(first)?, bytes(sectors)?);
        let end = start.checked_add(length).context("a sector beyond all disks")?;
        steps.push(Step::Write(Write { range: start..end, is_durable: flags & DURABLE != 0, place: at }));
        at += length;
    }
    Ok(steps)
}

/// The four numbers at a place.
fn numbers(file: &File, at: u64) -> Result<[u64; 4]> {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, at).context("it is cut short")?;
    let (words, _) = bytes.as_chunks::<8>();
    let number = |index: usize| u64::from_le_bytes(words[index]);
    Ok([number(0), number(1), number(2), number(3)])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    /// An entry of a log that is written by hand: first sector, flags, and what is written.
    pub(in crate::power) type Entry<'e> = (u64, u64, &'e [u8]);

    /// A log with these entries.
    pub(in crate::power) fn written(entries: &[Entry<'_>], path: &Path) -> Result<()> {
        let sector = |numbers: [u64; 4]| {
            let mut sector: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            sector.resize(512, 0);
            sector
        };
        let mut bytes = sector([MAGIC, VERSION, entries.len() as u64, SECTOR_BYTES]);
        for (first, flags, content) in entries {
            bytes.extend(sector([*first, content.len() as u64 / 512, *flags, 0]));
            bytes.extend_from_slice(content);
        }
        Ok(fs::write(path, bytes)?)
    }

    #[test]
    fn a_log_is_read_as_it_was_written() -> Result<()> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("log");
        written(&[(8, 0, &[1; 1024]), (0, FLUSH, &[]), (4, FLUSH | DURABLE, &[2; 512])], &path)?;
        let log = Log::read(&path)?;
        let [Step::Write(first), Step::Flush, Step::Flush, Step::Write(last)] = log.steps() else {
            panic!("{:?}", log.steps())
        };
        assert_eq!((first.range.clone(), first.is_durable), (4096..5120, false));
        assert_eq!((last.range.clone(), last.is_durable), (2048..2560, true));
        assert_eq!((log.bytes(first)?, log.bytes(last)?), (vec![1; 1024], vec![2; 512]));
        Ok(())
    }

    #[test]
    fn what_is_no_log_is_named() -> Result<()> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("log");
        let said = |bytes: &[u8]| -> Result<String> {
            fs::write(&path, bytes)?;
            Ok(format!("{:#}", Log::read(&path).expect_err("it is no log")))
        };
        assert!(said(&[0; 511])?.contains("begins with 0x0"));
        written(&[(8, 0, &[1; 1024])], &path)?;
        let good = fs::read(&path)?;
        assert!(said(&good[..520])?.contains("its entry 0: it is cut short"));
        let mut flags = good.clone();
        flags[512 + 16] = 0x10;
        assert!(said(&flags)?.contains("the flags 0x10"));
        let mut sectors = good;
        sectors[24] = 1;
        assert!(said(&sectors)?.contains("its sectors have 513 bytes"));
        Ok(())
    }

    /// The format is somebody else's: a log that QEMU itself writes is read, and makes its disk again.
    #[test]
    fn a_log_of_qemus_makes_the_disk_that_it_is_of() -> Result<()> {
        if sealpack_tests::command::find("qemu-io").is_none() {
            sealpack_tests::skip("qemu-utils is not installed");
            return Ok(());
        }
        let place = tempfile::tempdir()?;
        let file = |name: &str| place.path().join(name);
        fs::write(file("before"), [7; 64 * 1024])?;
        fs::copy(file("before"), file("disk"))?;
        fs::write(file("log"), "")?;
        let mut qemu = Command::new("qemu-io");
        qemu.arg("--image-opts").arg(format!(
            "driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={},\
             log.driver=file,log.filename={}",
            file("disk").display(),
            file("log").display()
        ));
        for command in ["write -P 1 4096 8192", "flush", "write -P 2 512 512", "write -z 8192 1024", "flush"]
        {
            qemu.args(["-c", command]);
        }
        sealpack_tests::command::run(&mut qemu)?;
        let log = Log::read(&file("log"))?;
        let writes = log.steps().iter().filter(|step| matches!(step, Step::Write(_))).count();
        assert_eq!(writes, 3, "{:?}", log.steps());
        let cut = crate::power::cut::Cut::at(log.steps().len());
        let before = File::open(file("before"))?;
        crate::power::replay::write(&before, &log, cut, 0..64 * 1024, &file("again"))?;
        assert!(fs::read(file("again"))? == fs::read(file("disk"))?, "another disk");
        Ok(())
    }
}
