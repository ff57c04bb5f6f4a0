//! A disk as it was at a cut: what it was before the machine ran, and over it what was written and kept.

use super::cut::{Cut, touches};
use super::log::Log;
use anyhow::{Context, Result};
use rustix::fs::SeekFrom;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Writes `part` of the disk, in bytes, as it was at the cut, into a file that begins with the part; holes stay holes.
///
/// # Errors
/// If something cannot be read or written.
pub fn write(before: &File, log: &Log, cut: Cut, part: Range<u64>, target: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(target);
    let file = file.with_context(|| format!("cannot write {}", target.display()))?;
    file.set_len(part.end - part.start)?;
    copy(before, &file, &part)?;
    for (write, length) in cut.kept(log.steps()) {
        if !touches(write, &part) {
            continue;
        }
        let bytes = log.bytes(write)?;
        let kept = write.range.start..write.range.start + length;
        let (start, end) = (kept.start.max(part.start), kept.end.min(part.end));
        if start < end {
            // Positions in what was just read, which has that many bytes.
            let skipped = usize::try_from(start - write.range.start)?;
            let bytes = &bytes[skipped..skipped + usize::try_from(end - start)?];
            file.write_all_at(bytes, start - part.start)?;
        }
    }
    Ok(())
}

/// Copies what is not a hole.
fn copy(from: &File, to: &File, part: &Range<u64>) -> Result<()> {
    let mut at = part.start;
    while at < part.end {
        let data = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(data) => data,
            // From there on it is one hole.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let hole = rustix::fs::seek(from, SeekFrom::Hole(data))?;
        let (start, end) = (data.max(part.start), hole.min(part.end));
        if start < end {
            let (mut source, mut target) = (from, to);
            source.seek(io::SeekFrom::Start(start))?;
            target.seek(io::SeekFrom::Start(start - part.start))?;
            io::copy(&mut source.take(end - start), &mut target)?;
        }
        at = hole;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::cut::Loss;
    use super::super::log::tests::written;
    use super::*;
    use std::fs;

    #[test]
    fn a_part_of_the_disk_is_made_as_it_was() -> Result<()> {
        let place = tempfile::tempdir()?;
        let file = |name: &str| place.path().join(name);
        fs::write(file("before"), [b'.'; 8 * 512])?;
        let flush: (u64, u64, &[u8]) = (0, 1, &[]);
        written(
            &[(0, 0, &[b'a'; 2 * 512]), flush, (1, 0, &[b'b'; 3 * 512]), (6, 0, &[b'c'; 2 * 512])],
            &file("log"),
        )?;
        let (before, log) = (File::open(file("before"))?, Log::read(&file("log"))?);
        // A letter for each sector of the part.
        let state = |after: usize, loss: Loss, part: Range<u64>| -> Result<String> {
            write(&before, &log, Cut { after, loss }, part.start * 512..part.end * 512, &file("state"))?;
            let bytes = fs::read(file("state"))?;
            let (sectors, _) = bytes.as_chunks::<512>();
            assert!(sectors.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            Ok(sectors.iter().map(|sector| char::from(sector[0])).collect())
        };
        assert_eq!(state(0, Loss::Nothing, 0..8)?, "........");
        assert_eq!(state(1, Loss::Nothing, 0..8)?, "aa......");
        assert_eq!(state(3, Loss::Nothing, 0..8)?, "abbb....");
        assert_eq!(state(4, Loss::Nothing, 0..8)?, "abbb..cc");
        assert_eq!(state(4, Loss::AllButTheLast, 0..8)?, "aa....cc");
        assert_eq!(state(4, Loss::HalfOfTheLast, 0..8)?, "abbb..c.");
        assert_eq!(state(4, Loss::Nothing, 1..3)?, "bb");
        assert_eq!(state(4, Loss::Nothing, 3..7)?, "b..c");
        Ok(())
    }
}
