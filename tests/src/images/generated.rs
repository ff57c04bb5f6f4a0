//! Layers too large to keep in memory, made as they are read.

use super::handmade::noise;
use crate::layer_tar::{Entry, Member, append, end, header_of_file};
use std::io::{Cursor, Read};

/// As many files of `file_bytes` each, which must be a multiple of 512.
pub(super) fn large(files: usize, file_bytes: u64) -> impl Read {
    let files = (0..files).map(move |number| {
        let header = header_of_file(&format!("usr/file-{number}"), file_bytes);
        let piece = noise((1 << 20) + number);
        Cursor::new(header).chain(Repeated { piece, left_bytes: file_bytes, at: 0 })
    });
    let directory = Cursor::new(bytes_of(&Entry::new("usr/", Member::Directory)));
    directory.chain(Sequence { rest: files, current: None }).chain(Cursor::new(end()))
}

/// `directories` times `files` files of up to 130 bytes, every second one inline in the metadata image.
pub(super) fn many(directories: usize, files: usize) -> impl Read {
    let pieces = (0..directories).map(move |directory| {
        let mut piece = bytes_of(&Entry::new(format!("usr/directory-{directory}/"), Member::Directory));
        for file in 0..files {
            let (name, mut data) =
                (format!("usr/directory-{directory}/file-{file}"), format!("{directory} {file} "));
            if file % 2 == 1 {
                data = data.repeat(128_usize.div_ceil(data.len()));
            }
            append(&mut piece, &Entry::new(name, Member::File(data.into_bytes())));
        }
        Cursor::new(piece)
    });
    let directory = Cursor::new(bytes_of(&Entry::new("usr/", Member::Directory)));
    directory.chain(Sequence { rest: pieces, current: None }).chain(Cursor::new(end()))
}

/// As many files of `file_bytes` each in `usr/NAME`, no two of them alike, nor like those of another name.
pub(super) fn files(name: &str, count: usize, file_bytes: usize) -> impl Read {
    let directories = [String::from("usr/"), format!("usr/{name}/")];
    let directories = directories.map(|path| bytes_of(&Entry::new(path, Member::Directory))).concat();
    let noise = noise(file_bytes);
    let name = name.to_owned();
    let files = (0..count).map(move |number| {
        let path = format!("usr/{name}/file-{number}");
        let mut data = noise.clone();
        let difference = path.len().min(data.len());
        data[..difference].copy_from_slice(&path.as_bytes()[..difference]);
        Cursor::new(bytes_of(&Entry::new(path, Member::File(data))))
    });
    Cursor::new(directories).chain(Sequence { rest: files, current: None }).chain(Cursor::new(end()))
}

fn bytes_of(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(&mut bytes, entry);
    bytes
}

/// The same bytes again and again, up to a length.
struct Repeated {
    piece: Vec<u8>,
    left_bytes: u64,
    at: usize,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
        let length = buffer.len().min(left).min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.left_bytes -= length as u64;
        self.at = (self.at + length) % self.piece.len();
        Ok(length)
    }
}

/// One reader after the other, each made when the one before it is at its end.
struct Sequence<I: Iterator> {
    rest: I,
    current: Option<I::Item>,
}

impl<I: Iterator<Item: Read>> Read for Sequence<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if self.current.is_none() {
                self.current = self.rest.next();
            }
            let Some(current) = &mut self.current else { return Ok(0) };
            match current.read(buffer)? {
                0 if !buffer.is_empty() => self.current = None,
                read => return Ok(read),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::stdout;
    use std::process::Command;

    fn listing(mut tar: impl Read) -> anyhow::Result<String> {
        let mut file = tempfile::NamedTempFile::new()?;
        std::io::copy(&mut tar, &mut file)?;
        stdout(Command::new("tar").args(["--list", "--verbose", "--file"]).arg(file.path()))
    }

    #[test]
    fn tar_reads_the_large_files() -> anyhow::Result<()> {
        let listing = listing(large(3, 3 << 20))?;
        assert_eq!(listing.matches(" 3145728 ").count(), 3, "{listing}");
        assert_eq!(listing.lines().count(), 4, "{listing}");
        Ok(())
    }

    #[test]
    fn tar_reads_the_files_of_a_layer() -> anyhow::Result<()> {
        let listing = listing(files("one", 3, 4096))?;
        assert_eq!(listing.matches(" 4096 ").count(), 3, "{listing}");
        assert!(listing.ends_with("usr/one/file-2"), "{listing}");
        Ok(())
    }

    #[test]
    fn tar_reads_the_many_files() -> anyhow::Result<()> {
        let listing = listing(many(3, 5))?;
        assert!(listing.ends_with("usr/directory-2/file-4"), "{listing}");
        assert_eq!(listing.lines().count(), 1 + 3 * 6, "{listing}");
        Ok(())
    }
}
