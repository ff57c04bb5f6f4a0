//! fs-verity: files whose bytes the kernel checks against a hash tree whenever it reads them
//! (Documentation/filesystems/fsverity.rst).
//!
//! ext4 and f2fs have it when made with the feature `verity`, btrfs always.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use sealpack_format::digest::{Algorithm, ObjectId};
use sealpack_format::verity::FsVerityHasher;

use crate::ioctl::{FS_IOC_ENABLE_VERITY, FS_IOC_MEASURE_VERITY, FsverityDigest, FsverityEnable};
use crate::{Error, Kernel};

/// include/uapi/linux/magic.h
const FUSE_MAGIC: rustix::fs::FsWord = 0x6573_5546;

/// The block size of every hash tree that Sealpack makes. Object names depend on it.
const BLOCK_SIZE_BYTES: u32 = 4096;

/// How much is read at once: large enough for the hasher's fast path, small enough for the cache.
const CHUNK_BYTES: usize = 256 * 1024;

/// A hasher with the processor's fastest code.
#[must_use]
pub fn hasher(algorithm: Algorithm) -> FsVerityHasher {
    FsVerityHasher::with_leaf_hash(algorithm, crate::sha256::leaf_hash())
}

/// Computes the fs-verity digests of files, one after the other, with one buffer. Whether the
/// files have fs-verity makes no difference: [`Kernel::measure_verity`] tells that.
#[derive(Debug)]
pub struct FileHasher {
    buffer: Vec<u8>,
    algorithm: Algorithm,
}

impl FileHasher {
    /// For digests of `algorithm`.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self { buffer: vec![0; CHUNK_BYTES], algorithm }
    }

    /// The digest of what is left to read of `file`, and its size in bytes.
    ///
    /// # Errors
    /// Those of reading.
    pub fn hash(&mut self, mut file: &File) -> io::Result<(ObjectId, u64)> {
        // Only a hint: the file is read as well without it.
        _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
        let mut hasher = hasher(self.algorithm);
        loop {
            match file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => hasher.update(&self.buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let size_bytes = hasher.size_bytes();
        Ok((hasher.finish(), size_bytes))
    }
}

/// What became of a request to enable fs-verity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabled {
    /// It is enabled now.
    Now,
    /// It was enabled before, with a digest that only [`Kernel::measure_verity`] knows.
    Before,
    /// The filesystem does not have fs-verity, or the kernel does not.
    Unsupported,
}

/// What the kernel knows about a file's fs-verity digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measurement {
    /// fs-verity is enabled: the kernel refuses to read anything but the bytes of this digest,
    /// and nobody can write to the file.
    Digest(ObjectId),
    /// fs-verity is enabled with a hash algorithm that Sealpack does not use; the number is one
    /// of `FS_VERITY_HASH_ALG_*`.
    ForeignAlgorithm(u16),
    /// The filesystem has fs-verity, but it is not enabled on this file.
    NotEnabled,
    /// The filesystem does not have fs-verity, or the kernel does not.
    Unsupported,
}

impl Kernel {
    /// Enables fs-verity on a file: 4096-byte blocks, no salt, no signature.
    ///
    /// `file` must be open for reading only, and nobody may have the file open for writing.
    ///
    /// # Errors
    /// `ETXTBSY` when the file is open for writing somewhere, `EACCES` without write permission
    /// to it, `EROFS` on a read-only filesystem, `ENOSPC` when there is no room for the tree.
    pub fn enable_verity(&self, file: impl AsFd, algorithm: Algorithm) -> Result<Enabled, Error> {
        let file = file.as_fd();
        let result = self.call(
            "ioctl",
            || format!("[{}], FS_IOC_ENABLE_VERITY, {algorithm}, {BLOCK_SIZE_BYTES}", file.as_raw_fd()),
            || {
                let number = algorithm.fsverity_number().into();
                FS_IOC_ENABLE_VERITY.call(file, &mut FsverityEnable::new(number, BLOCK_SIZE_BYTES))
            },
        );
        match result {
            Ok(_) => Ok(Enabled::Now),
            Err(error) if error.errno() == Errno::EXIST => Ok(Enabled::Before),
            Err(error) if is_unsupported(error.errno()) => Ok(Enabled::Unsupported),
            Err(error) => Err(error),
        }
    }

    /// Asks for a file's fs-verity digest. Reads none of its data.
    ///
    /// A FUSE filesystem counts as having no fs-verity: there a program in userspace would answer,
    /// and nothing checks what it serves.
    ///
    /// The digest is the file's [`ObjectId`] only if the block size is 4096 bytes and there is
    /// no salt; a file with other parameters has a digest that is no object's.
    ///
    /// # Errors
    /// `EIO` when the hash tree's root cannot be read, among others.
    pub fn measure_verity(&self, file: impl AsFd) -> Result<Measurement, Error> {
        let file = file.as_fd();
        if rustix::fs::fstatfs(file).is_ok_and(|filesystem| filesystem.f_type == FUSE_MAGIC) {
            return Ok(Measurement::Unsupported);
        }
        let mut digest = FsverityDigest::empty();
        let result = self.call(
            "ioctl",
            || format!("[{}], FS_IOC_MEASURE_VERITY", file.as_raw_fd()),
            || FS_IOC_MEASURE_VERITY.call(file, &mut digest),
        );
        match result {
            Ok(_) => Ok(measured(&digest)),
            Err(error) if error.errno() == Errno::NODATA => Ok(Measurement::NotEnabled),
            Err(error) if is_unsupported(error.errno()) => Ok(Measurement::Unsupported),
            Err(error) => Err(error),
        }
    }
}

fn measured(digest: &FsverityDigest) -> Measurement {
    let number = digest.digest_algorithm;
    u8::try_from(number)
        .ok()
        .and_then(Algorithm::from_fsverity_number)
        .and_then(|algorithm| ObjectId::from_slice(algorithm, digest.digest()))
        .map_or(Measurement::ForeignAlgorithm(number), Measurement::Digest)
}

/// `EOPNOTSUPP`: the filesystem could have fs-verity and was made without. `ENOTTY`: it knows
/// no such request, as overlayfs and tmpfs, or the kernel was built without fs-verity. `ENOSYS`: whoever emulates another
/// processor passes it on to no kernel (qemu-user, linux-user/syscall.c).
fn is_unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing_with(errno: Errno) -> Kernel {
        Kernel::with_hook(move |_| Some(errno))
    }

    #[test]
    fn what_a_filesystem_cannot_do_is_told_apart_from_what_failed() {
        let file = tempfile::tempfile().unwrap();
        for errno in [Errno::OPNOTSUPP, Errno::NOTTY, Errno::NOSYS] {
            let kernel = failing_with(errno);
            assert_eq!(kernel.enable_verity(&file, Algorithm::Sha256), Ok(Enabled::Unsupported));
            assert_eq!(kernel.measure_verity(&file), Ok(Measurement::Unsupported));
        }
        let kernel = failing_with(Errno::EXIST);
        assert_eq!(kernel.enable_verity(&file, Algorithm::Sha256), Ok(Enabled::Before));
        assert_eq!(failing_with(Errno::NODATA).measure_verity(&file), Ok(Measurement::NotEnabled));
        let error = failing_with(Errno::TXTBSY).enable_verity(&file, Algorithm::Sha512).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "ioctl([{}], FS_IOC_ENABLE_VERITY, sha512, 4096): ETXTBSY (Text file busy)",
                file.as_raw_fd()
            )
        );
        assert_eq!(failing_with(Errno::IO).measure_verity(&file).unwrap_err().errno(), Errno::IO);
    }

    #[test]
    fn an_enabled_file_measures_as_its_digest_and_any_other_as_not_enabled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let (kernel, file) = (Kernel::new(), std::fs::File::open(&path).unwrap());
        let before = kernel.measure_verity(&file).unwrap();
        match kernel.enable_verity(&file, Algorithm::Sha256).unwrap() {
            Enabled::Unsupported => {
                assert_eq!(before, Measurement::Unsupported);
                eprintln!("skipped in part: {} has no fs-verity", directory.path().display());
            }
            Enabled::Before => panic!("enabled on a file just made"),
            Enabled::Now => {
                assert_eq!(before, Measurement::NotEnabled);
                // The digest of the empty file, as `fsverity digest` prints it.
                let empty = "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95";
                assert_eq!(kernel.measure_verity(&file), Ok(Measurement::Digest(empty.parse().unwrap())));
                assert_eq!(kernel.enable_verity(&file, Algorithm::Sha256), Ok(Enabled::Before));
            }
        }
    }

    #[test]
    fn an_algorithm_of_no_use_is_not_taken_for_a_digest() {
        let mut digest = FsverityDigest::empty();
        digest.digest_algorithm = 3;
        assert_eq!(measured(&digest), Measurement::ForeignAlgorithm(3));
        // SHA-256 with 64 bytes cannot be.
        digest.digest_algorithm = 1;
        assert_eq!(measured(&digest), Measurement::ForeignAlgorithm(1));
        digest.digest_algorithm = 2;
        assert_eq!(measured(&digest), Measurement::Digest(ObjectId::sha512([0; 64])));
    }
}
