//! Whether what was handed over is what a device can be made of.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, OFlags};
use sealpack_format::broker::{Layer, Refusal, Step};
use sealpack_format::verity::BLOCK_BYTES;
use sealpack_format::verity::dmverity::TreeShape;
use sealpack_kernel::Errno;

use super::answer::refused;

/// Filesystems whose files the kernel reads by itself, without asking anybody: no FUSE, no network, and nothing that is
/// made up as it is read (include/uapi/linux/magic.h: ext4, btrfs, xfs, f2fs).
const FILESYSTEMS: [rustix::fs::FsWord; 4] = [0xef53, 0x9123_683e, 0x5846_5342, 0xf2f5_2010];

/// The files of one device.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) data: File,
    pub(super) tree: Option<File>,
}

impl Files {
    /// Takes the files of `layer` from the front of `descriptors`.
    pub(super) fn take(
        layer: &Layer<'_>,
        descriptors: &mut impl Iterator<Item = OwnedFd>,
    ) -> Result<Self, Refusal> {
        let missing = || refused(Errno::PROTO, Step::Request, "a descriptor is missing");
        let data = File::from(descriptors.next().ok_or_else(missing)?);
        let more = layer.tree.descriptors() > 1;
        let tree = more.then(|| descriptors.next().map(File::from).ok_or_else(missing)).transpose()?;
        Ok(Self { data, tree })
    }

    /// That they are files as they have to be for `layer`.
    pub(super) fn check(&self, layer: &Layer<'_>) -> Result<(), Refusal> {
        let shape = TreeShape::of(layer.data_blocks)
            .map_err(|error| refused(Errno::INVAL, Step::Files, error.to_string()))?;
        let data_bytes = layer.data_blocks.saturating_mul(BLOCK_BYTES as u64);
        match &self.tree {
            None => check_file(&self.data, data_bytes.saturating_add(shape.area_bytes())),
            Some(tree) => {
                check_file(&self.data, data_bytes)?;
                check_file(tree, shape.area_bytes())
            }
        }
    }
}

fn check_file(file: &File, size_bytes: u64) -> Result<(), Refusal> {
    let failed = |errno: Errno| refused(errno, Step::Files, "a descriptor cannot be looked at");
    let flags = rustix::fs::fcntl_getfl(file).map_err(failed)?;
    if flags.contains(OFlags::PATH) || flags & OFlags::ACCMODE != OFlags::RDONLY {
        return Err(refused(Errno::BADF, Step::Files, "a descriptor is not open for reading only"));
    }
    let stat = rustix::fs::fstat(file).map_err(failed)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(refused(Errno::INVAL, Step::Files, "a descriptor is not of a regular file"));
    }
    if !FILESYSTEMS.contains(&rustix::fs::fstatfs(file).map_err(failed)?.f_type) {
        return Err(refused(Errno::MEDIUMTYPE, Step::Files, "a file is not on ext4, btrfs, xfs or f2fs"));
    }
    let actual = u64::try_from(stat.st_size).unwrap_or(0);
    if actual != size_bytes {
        return Err(refused(
            Errno::INVAL,
            Step::Files,
            format!("a file has {actual} bytes, not {size_bytes}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sealpack_format::RootHash;
    use sealpack_format::broker::Tree;

    use super::*;

    const SIGNATURE: [u8; 16] = [0; 16];

    fn layer(data_blocks: u64, tree: Tree) -> Layer<'static> {
        Layer { root_hash: RootHash::new([1; 32]), data_blocks, tree, signature: &SIGNATURE }
    }

    /// A file of that size in a directory of the build's, opened for reading; says so where its filesystem is another one.
    fn file(size_bytes: u64) -> Option<(tempfile::NamedTempFile, File)> {
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.as_file().set_len(size_bytes).unwrap();
        let reader = File::open(file.path()).unwrap();
        if FILESYSTEMS.contains(&rustix::fs::fstatfs(&reader).unwrap().f_type) {
            return Some((file, reader));
        }
        eprintln!("skipped: {} is on another filesystem", env!("CARGO_MANIFEST_DIR"));
        None
    }

    fn errno(result: Result<(), Refusal>) -> Option<Errno> {
        result.err().map(|refusal| {
            assert_eq!(refusal.step, Step::Files);
            Errno::from_raw_os_error(refusal.errno)
        })
    }

    #[test]
    fn files_are_exactly_as_long_as_data_and_hash_area_are() {
        // Of 200 blocks the tree has a level of two blocks, and one above; before them is the superblock.
        for (size_bytes, expected) in
            [(204 * 4096, None), (203 * 4096, Some(Errno::INVAL)), (205 * 4096, Some(Errno::INVAL))]
        {
            let Some((_kept, data)) = file(size_bytes) else { return };
            assert_eq!(
                errno(Files { data, tree: None }.check(&layer(200, Tree::Behind))),
                expected,
                "{size_bytes}"
            );
        }
        let pair = |data_bytes, tree_bytes| {
            let ((_data, data), (_tree, tree)) = (file(data_bytes)?, file(tree_bytes)?);
            Some(errno(Files { data, tree: Some(tree) }.check(&layer(200, Tree::Apart))))
        };
        let Some(good) = pair(200 * 4096, 4 * 4096) else { return };
        assert_eq!(good, None);
        assert_eq!(pair(201 * 4096, 4 * 4096), Some(Some(Errno::INVAL)));
        assert_eq!(pair(200 * 4096, 5 * 4096), Some(Some(Errno::INVAL)));
    }

    #[test]
    fn only_regular_files_open_for_reading_only_are_taken() {
        let check = |file: File| errno(Files { data: file, tree: None }.check(&layer(1, Tree::Behind)));
        let Some((kept, reader)) = file(2 * 4096) else { return };
        assert_eq!(check(reader), None);
        assert_eq!(
            check(File::options().read(true).write(true).open(kept.path()).unwrap()),
            Some(Errno::BADF)
        );
        assert_eq!(check(File::options().write(true).open(kept.path()).unwrap()), Some(Errno::BADF));
        let open = |path: &std::path::Path, flags| {
            File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap())
        };
        assert_eq!(check(open(kept.path(), OFlags::PATH)), Some(Errno::BADF));
        assert_eq!(check(open("/dev/null".as_ref(), OFlags::RDONLY)), Some(Errno::INVAL));
        assert_eq!(check(open("/".as_ref(), OFlags::RDONLY)), Some(Errno::INVAL));
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(check(File::from(OwnedFd::from(reader))), Some(Errno::INVAL));
        assert_eq!(check(open("/proc/self/status".as_ref(), OFlags::RDONLY)), Some(Errno::MEDIUMTYPE));
        let memory = rustix::fs::memfd_create("memory", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&memory, 2 * 4096).unwrap();
        let memory = open(&sealpack_kernel::mount::fd_path(&memory), OFlags::RDONLY);
        assert_eq!(check(memory), Some(Errno::MEDIUMTYPE));
    }
}
