//! Hashes data on several threads.

use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::shape::DIGEST_BYTES;
use super::verify::{Damage, damaged_data, leaves_in};
use super::{BLOCK_STEP, DmVerityError, TreeWriter};
use crate::digest::RootHash;
use crate::verity::merkle::{BATCH_BLOCKS, hash_batch};
use crate::verity::{BLOCK_BYTES, LeafHash};

/// How many blocks a thread hashes at a time: 1 MiB of data.
const SEGMENT_BLOCKS: u64 = 256;

/// How many segments a thread can be ahead.
const SEGMENTS_AHEAD: usize = 4;

/// Data that several threads read at once.
pub trait ReadAt: Sync {
    /// Fills `buffer` with what is at `offset`, in bytes.
    ///
    /// # Errors
    /// There are fewer bytes, or they cannot be read.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

#[cfg(unix)]
impl ReadAt for std::fs::File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)?.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Who hashes blocks; the bytes that come out depend on none of it.
#[derive(Debug, Clone, Copy)]
pub struct Hashing {
    /// Hashes blocks.
    pub hash: LeafHash,
    /// On so many threads.
    pub threads: NonZeroUsize,
}

/// Why data could not be found to be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It could not be read.
    #[error("cannot read what is to be verified: {0}")]
    Io(#[source] io::Error),
    /// It is not what the root hash stands for.
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// Writes the hash area of the first `size_bytes` bytes of `data` to `out`, from `offset` (in
/// bytes) on; returns the root hash and the output.
///
/// # Errors
/// A size that cannot be; failing or too short `data`; a failing output.
pub fn write_hash_area<W: io::Write + io::Seek>(
    data: &(impl ReadAt + ?Sized),
    size_bytes: u64,
    out: W,
    offset: u64,
    hashing: Hashing,
) -> Result<(RootHash, W), DmVerityError> {
    let data_blocks = super::blocks_of(size_bytes)?;
    let mut tree = TreeWriter::new(out, offset, data_blocks, hashing.hash)?;
    each_leaf(data, data_blocks, hashing, DmVerityError::Data, |leaf| tree.push(leaf))?;
    tree.finish()
}

/// As [`verify`](super::verify) for the first `size_bytes` bytes of `data`.
///
/// # Errors
/// The first thing that is wrong, or what failed.
pub fn verify_in_parallel(
    data: &(impl ReadAt + ?Sized),
    size_bytes: u64,
    area: &[u8],
    root: &RootHash,
    hashing: Hashing,
) -> Result<(), VerifyError> {
    let leaves = leaves_in(hashing.hash, size_bytes, area, root)?;
    let (mut expected, mut number) = (leaves.iter(), 0_u64);
    each_leaf(data, size_bytes / BLOCK_STEP, hashing, VerifyError::Io, |leaf| {
        if expected.next() != Some(leaf) {
            return Err(damaged_data(number, leaves.len(), root).into());
        }
        number = number.saturating_add(1);
        Ok(())
    })
}

/// Gives the hash of each block to `each`, in order.
fn each_leaf<E>(
    data: &(impl ReadAt + ?Sized),
    data_blocks: u64,
    hashing: Hashing,
    from_io: fn(io::Error) -> E,
    mut each: impl FnMut(&[u8; DIGEST_BYTES]) -> Result<(), E>,
) -> Result<(), E> {
    let segments = Segments { data, data_blocks, hash: hashing.hash };
    let count = segments.count();
    let threads =
        usize::try_from(count).map_or(hashing.threads.get(), |count| count.min(hashing.threads.get()));
    if threads <= 1 {
        let mut buffer = Vec::new();
        return (0..count).try_for_each(|number| {
            segments.leaves(number, &mut buffer).map_err(from_io)?.iter().try_for_each(&mut each)
        });
    }
    thread::scope(|scope| {
        let mut receivers = Vec::with_capacity(threads);
        for first in (0..count).take(threads) {
            let (sender, receiver) = sync_channel(SEGMENTS_AHEAD);
            let segments = &segments;
            let work = move || segments.send((first..count).step_by(threads), &sender);
            thread::Builder::new().spawn_scoped(scope, work).map_err(from_io)?;
            receivers.push(receiver);
        }
        // Each thread has every n-th segment; when this returns early, their senders find nobody.
        for (_, receiver) in (0..count).zip(receivers.iter().cycle()) {
            let leaves =
                receiver.recv().unwrap_or_else(|_| Err(io::Error::other("a hashing thread has ended")));
            leaves.map_err(from_io)?.iter().try_for_each(&mut each)?;
        }
        Ok(())
    })
}

/// Data, cut into segments.
struct Segments<'a, D: ?Sized> {
    data: &'a D,
    data_blocks: u64,
    hash: LeafHash,
}

type Leaves = Vec<[u8; DIGEST_BYTES]>;

impl<D: ReadAt + ?Sized> Segments<'_, D> {
    const fn count(&self) -> u64 {
        self.data_blocks.div_ceil(SEGMENT_BLOCKS)
    }

    /// Sends the hashes of segments, until there is an error or nobody listens.
    fn send(&self, numbers: impl Iterator<Item = u64>, sender: &SyncSender<io::Result<Leaves>>) {
        let mut buffer = Vec::new();
        for number in numbers {
            let leaves = self.leaves(number, &mut buffer);
            let failed = leaves.is_err();
            if sender.send(leaves).is_err() || failed {
                return;
            }
        }
    }

    /// The hashes of a segment. It is read in pieces that stay in the processor's cache.
    fn leaves(&self, number: u64, buffer: &mut Vec<u8>) -> io::Result<Leaves> {
        let first = number.saturating_mul(SEGMENT_BLOCKS);
        let blocks = self.data_blocks.saturating_sub(first).min(SEGMENT_BLOCKS);
        let mut leaves = vec![[0; DIGEST_BYTES]; usize::try_from(blocks).unwrap_or(0)];
        let mut offset = first.saturating_mul(BLOCK_STEP);
        for leaves in leaves.chunks_mut(BATCH_BLOCKS) {
            buffer.resize(leaves.len().saturating_mul(BLOCK_BYTES), 0);
            self.data.read_exact_at(buffer, offset)?;
            hash_batch(self.hash, buffer, leaves);
            offset = offset.saturating_add(u64::try_from(buffer.len()).unwrap_or(u64::MAX));
        }
        Ok(leaves)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::verity::dmverity::{HashAreaWriter, verify};
    use crate::verity::hash_blocks_portably;

    fn hashing(threads: usize) -> Hashing {
        Hashing { hash: hash_blocks_portably, threads: NonZeroUsize::new(threads).unwrap() }
    }

    /// So many blocks, every third one of zeros, and the hash area that is written in one go.
    fn sample(blocks: u64) -> (Vec<u8>, RootHash, Vec<u8>) {
        let number = |block: u64| if block % 3 == 1 { 0 } else { block + 1 };
        let data: Vec<u8> = (0..blocks).flat_map(|block| number(block).to_le_bytes().repeat(512)).collect();
        let size = blocks * BLOCK_STEP;
        let mut writer = HashAreaWriter::new(Cursor::new(Vec::new()), size, hash_blocks_portably).unwrap();
        writer.update(&data).unwrap();
        let (root, area) = writer.finish().unwrap();
        (data, root, area.into_inner())
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        for blocks in [1, 2, 128, 256, 257, 1000, 5 * 256 + 1] {
            let (data, root, area) = sample(blocks);
            let size = blocks * BLOCK_STEP;
            for threads in [1, 2, 3, 16] {
                let out = Cursor::new(vec![7; 100]);
                let (other, out) =
                    write_hash_area(data.as_slice(), size, out, 100, hashing(threads)).unwrap();
                assert_eq!(other, root, "{blocks} blocks, {threads} threads");
                assert!(out.into_inner()[100..] == area, "{blocks} blocks, {threads} threads");
                verify_in_parallel(data.as_slice(), size, &area, &root, hashing(threads)).unwrap();
            }
        }
    }

    #[test]
    fn the_first_damage_is_named_as_it_is_without_threads() {
        let (data, root, area) = sample(1000);
        let size = 1000 * BLOCK_STEP;
        for (changed, block) in [([3_999_999, 2_000_000].as_slice(), 488), (&[0], 0), (&[999 * 4096], 999)] {
            let mut data = data.clone();
            changed.iter().for_each(|offset| data[*offset] ^= 1);
            let error = verify_in_parallel(data.as_slice(), size, &area, &root, hashing(3)).unwrap_err();
            assert!(
                matches!(error, VerifyError::Damage(Damage::DataBlock(number)) if number == block),
                "{error}"
            );
            assert_eq!(verify(hash_blocks_portably, &data, &area, &root), Err(Damage::DataBlock(block)));
        }
        let short = verify_in_parallel(data.as_slice(), size - 4096, &area, &root, hashing(2)).unwrap_err();
        assert!(matches!(short, VerifyError::Damage(Damage::DataSize { stated: 1000, .. })), "{short}");
        let (data, root, area) = sample(1);
        let error = verify_in_parallel(&[9; 4096][..], 4096, &area, &root, hashing(2)).unwrap_err();
        assert!(matches!(error, VerifyError::Damage(Damage::Root(_))), "{error}");
        assert_eq!(data.len(), 4096);
    }

    /// Data without an end that cannot be read from an offset on, and the furthest offset that was read.
    struct Failing(u64, AtomicU64);

    impl ReadAt for Failing {
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.1.fetch_max(offset, Ordering::Relaxed);
            buffer.fill(1);
            if offset >= self.0 { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn threads_end_with_the_first_error() {
        let size = 1 << 40;
        for threads in [1, 2, 5] {
            let data = Failing(3 << 20, AtomicU64::new(0));
            let result = write_hash_area(&data, size, Cursor::new(Vec::new()), 0, hashing(threads));
            assert!(matches!(result, Err(DmVerityError::Data(_))));
            // An output that is full, with threads that could go on for long.
            let data = Failing(u64::MAX, AtomicU64::new(0));
            let result =
                write_hash_area(&data, size, Cursor::new([0; 0].as_mut_slice()), 0, hashing(threads));
            assert!(matches!(result, Err(DmVerityError::Io(_))));
            assert!(data.1.load(Ordering::Relaxed) < 100 << 20);
        }
    }

    #[test]
    fn data_that_is_too_short_is_an_error() {
        let data = [1; 3 * 4096];
        let result = write_hash_area(&data[..], 4 * 4096, Cursor::new(Vec::new()), 0, hashing(2));
        assert!(
            matches!(result, Err(DmVerityError::Data(error)) if error.kind() == io::ErrorKind::UnexpectedEof)
        );
        let result = write_hash_area(&data[..], 4097, Cursor::new(Vec::new()), 0, hashing(2));
        assert!(matches!(result, Err(DmVerityError::Incomplete(4097))));
    }
}
