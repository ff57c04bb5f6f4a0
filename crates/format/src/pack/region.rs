//! Bytes appended to a file, of which the last can be taken back.

use std::io::{self, Read, Seek, SeekFrom, Write};

/// How much is read back at a time, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// A growing part of a file, from `start` on, the newest bytes in memory.
///
/// [`truncate`](Self::truncate) takes bytes back: from memory when they are still there, and
/// otherwise what comes next is written over them.
pub(super) struct Region<W> {
    file: W,
    start: u64,
    /// The bytes that are in the file.
    written: u64,
    /// The bytes behind them.
    buffer: Vec<u8>,
    bound: usize,
}

impl<W: Write + Seek> Region<W> {
    /// An empty region that holds at most `bound` bytes in memory.
    pub(super) const fn new(file: W, start: u64, bound: usize) -> Self {
        Self { file, start, written: 0, buffer: Vec::new(), bound }
    }

    /// The number of bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.written.saturating_add(super::to_u64(self.buffer.len()))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len().saturating_add(bytes.len()) > self.bound {
            self.flush()?;
        }
        if bytes.len() > self.bound {
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Keeps only the first `size_bytes` bytes; does nothing if there are fewer.
    pub(super) fn truncate(&mut self, size_bytes: u64) {
        match size_bytes.checked_sub(self.written) {
            Some(kept) => self.buffer.truncate(super::to_usize(kept)),
            None => {
                // The bytes stay in the file until others take their place.
                self.buffer.clear();
                self.written = size_bytes;
            }
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = if buffer.is_empty() { Ok(()) } else { self.write(&buffer) };
        if result.is_ok() {
            buffer.clear();
        }
        self.buffer = buffer;
        result
    }

    /// Writes `bytes` behind what is in the file.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.start.saturating_add(self.written)))?;
        self.file.write_all(bytes)?;
        self.written = self.written.saturating_add(super::to_u64(bytes.len()));
        Ok(())
    }

    /// Flushes and gives the file back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.file)
    }
}

impl<W: Read + Write + Seek> Region<W> {
    /// Gives all bytes in order to `each`, in pieces of whole `unit`s (in bytes), which the
    /// appended ones must have been.
    ///
    /// # Errors
    /// A failing file, as what `from_io` makes of it, or what `each` answers.
    pub(super) fn read_back<E>(
        mut self,
        unit: usize,
        from_io: impl Fn(io::Error) -> E,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.written > 0 {
            self.file.seek(SeekFrom::Start(self.start)).map_err(&from_io)?;
        }
        let step = READ_BYTES.saturating_sub(READ_BYTES.checked_rem(unit).unwrap_or(0));
        let mut buffer = vec![0; step.min(super::to_usize(self.written))];
        let mut left = self.written;
        while left > 0 {
            let length = super::to_usize(left).min(buffer.len());
            let piece = buffer.get_mut(..length).unwrap_or_default();
            self.file.read_exact(piece).map_err(&from_io)?;
            each(piece)?;
            left = left.saturating_sub(super::to_u64(length));
        }
        if self.buffer.is_empty() { Ok(()) } else { each(&self.buffer) }
    }
}

/// A temporary file that is made when the first byte is written to it.
pub(super) struct Lazy<F, S> {
    make: F,
    file: Option<S>,
}

impl<F: Fn() -> io::Result<S>, S> Lazy<F, S> {
    pub(super) const fn new(make: F) -> Self {
        Self { make, file: None }
    }

    fn file(&mut self) -> io::Result<&mut S> {
        if self.file.is_none() {
            self.file = Some((self.make)()?);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl<F: Fn() -> io::Result<S>, S: Write> Write for Lazy<F, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl<F: Fn() -> io::Result<S>, S: Read> Read for Lazy<F, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file()?.read(buffer)
    }
}

impl<F: Fn() -> io::Result<S>, S: Seek> Seek for Lazy<F, S> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file()?.seek(position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn contents(region: Region<impl Read + Write + Seek>) -> Vec<u8> {
        let mut all = Vec::new();
        region
            .read_back(
                1,
                |error| error,
                |piece| {
                    all.extend_from_slice(piece);
                    Ok(())
                },
            )
            .unwrap();
        all
    }

    #[test]
    fn what_was_taken_back_leaves_no_trace_wherever_it_was() {
        for bound in [0, 3, 5, 100] {
            let mut region = Region::new(Cursor::new(vec![9; 2]), 2, bound);
            region.append(b"abcde").unwrap();
            region.append(b"fg").unwrap();
            region.truncate(6);
            region.append(b"hij").unwrap();
            region.truncate(2);
            assert_eq!(region.size_bytes(), 2);
            region.append(b"xyz").unwrap();
            region.truncate(100);
            assert_eq!(region.size_bytes(), 5);
            assert_eq!(contents(region), b"abxyz", "bound {bound}");
        }
    }

    #[test]
    fn a_temporary_file_is_made_only_when_memory_does_not_suffice() {
        let made = std::cell::Cell::new(0);
        let make = || {
            made.set(made.get() + 1);
            Ok(Cursor::new(Vec::<u8>::new()))
        };
        let mut region = Region::new(Lazy::new(make), 0, 4);
        region.append(b"abcd").unwrap();
        assert_eq!(made.get(), 0);
        region.append(b"e").unwrap();
        region.append(b"fghij").unwrap();
        assert_eq!(made.get(), 1);
        assert_eq!(contents(region), b"abcdefghij");
    }
}
