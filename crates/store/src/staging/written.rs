//! A file that goes to the disk while it is still being written.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use sealpack_format::pack::PackOutput;
use sealpack_kernel::writeback::begin_write_back;

/// How much of a file is written between two beginnings of a write-back: large enough to be one extent.
const STEP_BYTES: u64 = 4 * 1024 * 1024;

/// Smaller files wait for the commit: there are many of them, and beginning each one's write-back costs more than it gains.
const AT_ONCE_MIN_BYTES: u64 = 1024 * 1024;

/// A file whose content the kernel begins to write back as it comes, so that the commit finds little left to wait for.
pub(super) struct Written {
    file: File,
    position: u64,
    /// Up to where the write-back has begun.
    begun: u64,
}

impl Written {
    pub(super) const fn new(file: File) -> Self {
        Self { file, position: 0, begun: 0 }
    }

    /// Begins to write back what is left, if the file is no small one, and gives the file.
    pub(super) fn end(mut self) -> File {
        if self.position >= AT_ONCE_MIN_BYTES {
            self.begin();
        }
        self.file
    }

    /// Makes the file `size_bytes` long, and goes on at its end.
    pub(super) fn extend(&mut self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes)?;
        self.seek(SeekFrom::End(0)).map(drop)
    }

    fn begin(&mut self) {
        begin_write_back(&self.file, self.begun, self.position.saturating_sub(self.begun));
        self.begun = self.position;
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.position = self.position.saturating_add(count as u64);
        if self.position.saturating_sub(self.begun) >= STEP_BYTES {
            self.begin();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Written {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let to = self.file.seek(position)?;
        if to < self.position && self.position.saturating_sub(self.begun) >= AT_ONCE_MIN_BYTES {
            self.begin();
        }
        // What is written over has to be written back once more.
        (self.position, self.begun) = (to, self.begun.min(to));
        Ok(to)
    }
}

impl PackOutput for Written {
    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const STEP: usize = STEP_BYTES as usize;

    fn written() -> Written {
        Written::new(tempfile::tempfile().unwrap())
    }

    #[test]
    fn the_write_back_of_a_large_file_begins_as_it_comes() {
        let mut file = written();
        file.write_all(&vec![1; STEP - 1]).unwrap();
        assert_eq!(file.begun, 0);
        file.write_all(&[1; 3]).unwrap();
        assert_eq!(file.begun, STEP_BYTES + 2);
        file.extend(3 * STEP_BYTES).unwrap();
        file.write_all(&[1]).unwrap();
        assert_eq!(file.begun, 3 * STEP_BYTES + 1);
    }

    #[test]
    fn what_is_written_over_is_begun_once_more() {
        let mut file = written();
        file.write_all(&vec![1; STEP]).unwrap();
        file.seek(SeekFrom::Start(STEP_BYTES / 2)).unwrap();
        assert_eq!(file.begun, STEP_BYTES / 2);
        file.write_all(&vec![2; STEP]).unwrap();
        assert_eq!(file.begun, STEP_BYTES / 2 + STEP_BYTES);
    }

    #[test]
    fn a_file_has_what_was_written_in_whatever_order() {
        let mut file = written();
        file.write_all(&vec![1; STEP]).unwrap();
        file.seek(SeekFrom::Start(1)).unwrap();
        file.write_all(&vec![2; STEP]).unwrap();
        file.set_size(STEP_BYTES).unwrap();
        file.extend(STEP_BYTES + 2).unwrap();
        file.write_all(b"end").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let (mut file, mut content) = (file.end(), Vec::new());
        file.read_to_end(&mut content).unwrap();
        assert!(content == [&[1][..], &vec![2; STEP - 1], &[0, 0], b"end"].concat());
    }
}
