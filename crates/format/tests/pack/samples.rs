//! Contents, and packs of them.

use std::io::{Cursor, Seek};

use sealpack_format::pack::{AddedObject, Pack, PackOptions, PackReader, PackWriter};

/// The largest piece that a content is given in, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// A content: zeros, but for what is at these offsets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) size_bytes: u64,
    islands: Vec<(u64, Vec<u8>)>,
}

impl Content {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { size_bytes: bytes.len().try_into().unwrap(), islands: vec![(0, bytes)] }
    }

    pub(crate) fn sparse(size_bytes: u64, islands: &[(u64, &[u8])]) -> Self {
        let islands = islands.iter().map(|(offset, bytes)| (*offset, bytes.to_vec())).collect();
        Self { size_bytes, islands }
    }

    /// Gives it to `each` in pieces of at most `step` bytes.
    pub(crate) fn pieces(&self, step: usize, mut each: impl FnMut(&[u8])) {
        let mut piece = Vec::new();
        let mut start = 0;
        while start < self.size_bytes {
            let length = usize::try_from(self.size_bytes - start).unwrap_or(usize::MAX).min(step);
            piece.clear();
            piece.resize(length, 0);
            let end = start + u64::try_from(length).unwrap();
            for (offset, bytes) in &self.islands {
                let island_end = offset + u64::try_from(bytes.len()).unwrap();
                let (from, to) = (start.max(*offset), end.min(island_end));
                if from < to {
                    let at = |position: u64, base: u64| usize::try_from(position - base).unwrap();
                    piece[at(from, start)..at(to, start)]
                        .copy_from_slice(&bytes[at(from, *offset)..at(to, *offset)]);
                }
            }
            each(&piece);
            start = end;
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        self.pieces(PIECE_BYTES, |piece| all.extend_from_slice(piece));
        all
    }
}

/// Bytes that look random, without a block of zeros.
pub(crate) fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A temporary file in memory.
pub(crate) fn scratch() -> std::io::Result<Cursor<Vec<u8>>> {
    Ok(Cursor::default())
}

/// What became of contents.
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    pub(crate) pack: Pack,
    pub(crate) added: Vec<AddedObject>,
}

/// A pack of `contents`, given in pieces of at most `step` bytes.
pub(crate) fn pack_in_steps(contents: &[Content], step: usize, options: PackOptions) -> Written {
    let mut out = Cursor::new(Vec::new());
    let mut writer = PackWriter::new(&mut out, scratch, options);
    let mut added = Vec::new();
    for content in contents {
        let mut object = writer.object();
        content.pieces(step, |piece| object.write(piece).unwrap());
        added.push(object.finish().unwrap());
    }
    let pack = writer.finish().unwrap();
    Written { bytes: out.into_inner(), pack, added }
}

pub(crate) fn pack(contents: &[Content]) -> Written {
    pack_in_steps(contents, PIECE_BYTES, PackOptions::default())
}

pub(crate) fn open(bytes: &[u8]) -> PackReader<Cursor<&[u8]>> {
    PackReader::open(Cursor::new(bytes)).unwrap()
}

/// Verifies a pack that is in a file or in memory.
pub(crate) fn verify(source: impl std::io::Read + Seek, pack: &Pack) {
    let reader = PackReader::open(source).unwrap();
    reader.verify(&pack.root_hash, scratch, PackOptions::default()).unwrap();
}

/// Contents at every change of how they are stored, some twice.
pub(crate) fn corner_cases() -> Vec<Content> {
    let chunk = 65_536_u64;
    let mut contents: Vec<Content> = [
        65, 100, 2016, 2017, 4063, 4064, 4065, 4095, 4096, 4097, 8160, 8161, 8192, 65_535, 65_536, 65_537,
        200_000, 1_048_576,
    ]
    .into_iter()
    .zip(1..)
    .map(|(length, seed)| Content::new(noise(seed, length)))
    .collect();
    contents.push(contents[2].clone());
    contents.push(contents[16].clone());
    // Nothing but zeros, of every kind of size.
    contents.extend([70, 4096, 5000, chunk, chunk + 1, 3 * chunk].map(|size| Content::sparse(size, &[])));
    // Zeros that are no hole: a chunk has something else, before or behind.
    contents.push(Content::sparse(chunk, &[(chunk - 1, b"x")]));
    contents.push(Content::sparse(chunk, &[(4096, b"x")]));
    contents.push(Content::sparse(2 * chunk, &[(0, b"x"), (chunk, b"y")]));
    contents.push(Content::sparse(chunk + 4096 + 100, &[(0, b"x"), (chunk + 4096, b"y")]));
    // Holes at the start, in the middle, at the end; what is behind them whole, or cut.
    contents.push(Content::sparse(2 * chunk, &[(chunk, b"x")]));
    contents.push(Content::sparse(3 * chunk + 100, &[(0, b"x"), (2 * chunk, b"y"), (3 * chunk, b"z")]));
    contents.push(Content::sparse(4 * chunk, &[(chunk + 4096, b"x"), (3 * chunk - 1, b"y")]));
    contents.push(Content::sparse(2 * chunk + 4096, &[(5, b"x")]));
    contents.push(Content::sparse(2 * chunk + 50, &[(chunk + 1, b"x")]));
    contents.push(Content::sparse(2 * chunk + 9000, &[(2 * chunk + 8999, b"x")]));
    // A table of chunks of more than a block.
    contents.push(Content::sparse(1100 * chunk + 3, &[(7 * chunk, b"x"), (1099 * chunk, b"y")]));
    contents.push(contents[20].clone());
    contents
}
