//! What other tools and the kernel say about packs.

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sealpack_format::pack::{PackOptions, PackReader, PackWriter};
use sealpack_format::tree::{Metadata, Tree};
use sealpack_format::verity::dmverity::{HashAreaWriter, TreeShape, uuid_of};
use sealpack_format::verity::hash_blocks_portably;
use sealpack_format::{ObjectId, erofs};
use tempfile::TempDir;

use crate::samples::{Content, corner_cases, noise, pack, verify};

/// Runs a program with its arguments; `None`, and says so, where it is not installed.
fn run(package: &str, program: &str, arguments: &[&str]) -> Option<Output> {
    // Some systems have these in directories that are not in a user's PATH.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    match Command::new(program).args(arguments).env("PATH", path).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: there is no {program} (Debian package {package}) in PATH");
            None
        }
        Err(error) => panic!("cannot start {program}: {error}"),
    }
}

fn assert_success(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}{errors}", output.status);
    text
}

/// A pack in a file.
struct PackFile {
    directory: TempDir,
    path: PathBuf,
    pack: sealpack_format::pack::Pack,
    objects: Vec<(ObjectId, Content)>,
}

impl PackFile {
    fn new(contents: Vec<Content>) -> Self {
        let this = Self::unverified(contents);
        verify(File::open(&this.path).unwrap(), &this.pack);
        this
    }

    fn unverified(contents: Vec<Content>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pack");
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let mut writer = PackWriter::new(&mut file, tempfile::tempfile, PackOptions::default());
        let mut objects = Vec::new();
        for content in contents {
            let mut object = writer.object();
            content.pieces(1 << 20, |piece| object.write(piece).unwrap());
            let added = object.finish().unwrap();
            if added.is_new {
                objects.push((added.id, content));
            }
        }
        let pack = writer.finish().unwrap();
        Self { directory, path, pack, objects }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn hash_offset(&self) -> String {
        format!("--hash-offset={}", self.pack.filesystem_blocks * 4096)
    }

    /// Compares the objects with the files below `directory`.
    fn assert_contents(&self, directory: &Path) {
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            for file in fs::read_dir(entry.path()).unwrap().map(Result::unwrap) {
                paths.push(format!("{name}/{}", file.file_name().into_string().unwrap()));
            }
        }
        paths.sort();
        let mut expected: Vec<_> = self.objects.iter().map(|(id, _)| id.object_path()).collect();
        expected.sort();
        assert_eq!(paths, expected);
        for (id, content) in &self.objects {
            let mut file = File::open(directory.join(id.object_path())).unwrap();
            assert_eq!(file.metadata().unwrap().len(), content.size_bytes, "{id}");
            let mut buffer = Vec::new();
            content.pieces(1 << 20, |piece| {
                buffer.resize(piece.len(), 0);
                file.read_exact(&mut buffer).unwrap();
                assert!(buffer == piece, "{id}");
            });
        }
    }
}

/// Every corner case, and enough objects for directories and inodes of many blocks.
fn large() -> PackFile {
    let sizes = (0..6000_usize).map(|number| 65 + number * 7919 % 5003);
    let many = sizes.zip(100..).map(|(length, seed)| Content::new(noise(seed, length)));
    PackFile::new(corner_cases().into_iter().chain(many).collect())
}

#[test]
fn fsck_erofs_accepts_packs() {
    for file in [PackFile::new(Vec::new()), large()] {
        let Some(output) = run("erofs-utils", "fsck.erofs", &[file.path()]) else { return };
        assert_success(&output);
    }
}

/// Of objects with holes, `fsck.erofs` 1.5 writes what is not a hole without a gap, so there are
/// none here; the kernel is asked about those.
#[test]
fn fsck_erofs_extracts_objects() {
    let sizes = (0..3000_usize).map(|number| 65 + number * 7919 % 9001);
    let contents = sizes.zip(1..).map(|(length, seed)| Content::new(noise(seed, length)));
    for file in [PackFile::new(vec![Content::new(noise(1, 65))]), PackFile::new(contents.collect())] {
        let extracted = file.directory.path().join("extracted");
        let option = format!("--extract={}", extracted.display());
        let Some(output) = run("erofs-utils", "fsck.erofs", &[&option, file.path()]) else { return };
        assert_success(&output);
        file.assert_contents(&extracted);
    }
}

#[test]
fn dump_erofs_shows_packs() {
    let file = large();
    let Some(output) = run("erofs-utils", "dump.erofs", &["-s", "-S", file.path()]) else { return };
    let text = assert_success(&output);
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
        line.rsplit_once([':', ' ']).unwrap().1.trim().to_owned()
    };
    assert_eq!(value("Filesystem blocks"), file.pack.filesystem_blocks.to_string());
    let id = file.objects[0].0;
    let path = format!("--path=/{}", id.object_path());
    let text = assert_success(&run("erofs-utils", "dump.erofs", &[&path, file.path()]).unwrap());
    assert!(text.contains("Access: 0444"), "{text}");
    assert!(text.contains("Uid: 0") && text.contains("Gid: 0"), "{text}");
}

#[test]
fn veritysetup_verifies_packs_and_finds_changes_in_them() {
    let file = large();
    let root = file.pack.root_hash.to_string();
    let arguments = ["verify", file.path(), file.path(), &root, &file.hash_offset()];
    let Some(output) = run("cryptsetup-bin", "veritysetup", &arguments) else { return };
    assert_success(&output);

    let dump = run("cryptsetup-bin", "veritysetup", &["dump", file.path(), &file.hash_offset()]).unwrap();
    let dump = assert_success(&dump);
    for line in [
        "Hash type:       \t1",
        "Data block size: \t4096",
        "Hash algorithm:  \tsha256",
        "Salt:            \t-",
    ] {
        assert!(dump.contains(line), "{dump}");
    }

    let mut bytes = fs::read(&file.path).unwrap();
    bytes[5000] ^= 1;
    fs::write(&file.path, &bytes).unwrap();
    let output = run("cryptsetup-bin", "veritysetup", &arguments).unwrap();
    assert!(!output.status.success());
}

#[test]
fn veritysetup_makes_the_same_hash_area() {
    for contents in [Vec::new(), vec![Content::new(noise(1, 500 * 4096))], corner_cases()] {
        let written = pack(&contents);
        let uuid = uuid_of(&written.pack.root_hash);
        let mut hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        [20, 16, 12, 8].into_iter().for_each(|place| hex.insert(place, '-'));
        let split = usize::try_from(written.pack.filesystem_blocks * 4096).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (data, area) = (directory.path().join("data"), directory.path().join("area"));
        fs::write(&data, &written.bytes[..split]).unwrap();
        File::create(&area).unwrap();
        let uuid = format!("--uuid={hex}");
        let arguments = ["format", "--salt=-", &uuid, data.to_str().unwrap(), area.to_str().unwrap()];
        let Some(output) = run("cryptsetup-bin", "veritysetup", &arguments) else { return };
        let text = assert_success(&output);
        assert!(text.contains(&written.pack.root_hash.to_string()), "{text}");
        let mut theirs = fs::read(area).unwrap();
        theirs.resize(theirs.len().next_multiple_of(4096), 0);
        assert!(theirs == written.bytes[split..]);
    }
}

#[test]
fn veritysetup_verifies_metadata_images_with_their_hash_areas() {
    let mut image = Vec::new();
    let tree = Tree::new(Metadata::default());
    erofs::write_metadata_image(&tree, erofs::FormatVersion::V1, &mut image).unwrap();
    let size: u64 = image.len().try_into().unwrap();
    let mut writer = HashAreaWriter::new(Cursor::new(Vec::new()), size, hash_blocks_portably).unwrap();
    writer.update(&image).unwrap();
    let (root, area) = writer.finish().unwrap();
    let area = area.into_inner();
    assert_eq!(u64::try_from(area.len()).unwrap(), TreeShape::of(size / 4096).unwrap().area_bytes());
    let directory = tempfile::tempdir().unwrap();
    let [image_path, area_path] = ["image", "area"].map(|name| directory.path().join(name));
    fs::write(&image_path, &image).unwrap();
    fs::write(&area_path, &area).unwrap();
    let arguments = ["verify", image_path.to_str().unwrap(), area_path.to_str().unwrap(), &root.to_string()];
    let Some(output) = run("cryptsetup-bin", "veritysetup", &arguments) else { return };
    assert_success(&output);
}

/// A filesystem that is unmounted when it goes out of scope.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.0).status();
        assert!(std::thread::panicking() || status.is_ok_and(|status| status.success()));
    }
}

/// Mounts a pack through a loop device; `None`, and says so, where that cannot be.
fn mount(file: &PackFile) -> Option<Mounted> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: mounting needs root");
        return None;
    }
    // A kernel may have EROFS as a module that is not loaded yet.
    let _ = Command::new("modprobe").arg("erofs").output();
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    if !known.lines().any(|line| line.trim_end().ends_with("erofs")) {
        println!("skipped: the kernel has no EROFS");
        return None;
    }
    let target = file.directory.path().join("mounted");
    fs::create_dir(&target).unwrap();
    let mut command = Command::new("mount");
    command.args(["-t", "erofs", "-o", "ro,loop"]).arg(&file.path).arg(&target);
    assert_success(&command.output().unwrap());
    Some(Mounted(target))
}

#[test]
fn the_kernel_mounts_packs_and_reads_their_objects() {
    for file in [PackFile::new(Vec::new()), large()] {
        let Some(mounted) = mount(&file) else { return };
        file.assert_contents(&mounted.0);
        let root = fs::metadata(&mounted.0).unwrap();
        assert_eq!((root.permissions().mode() & 0o7777, root.mtime()), (0o555, 0));
        assert_ne!(root.ino(), 0);
        for (id, _) in file.objects.iter().take(50) {
            let metadata = fs::metadata(mounted.0.join(id.object_path())).unwrap();
            assert_eq!(metadata.permissions().mode(), 0o100_444);
            assert_eq!((metadata.uid(), metadata.gid(), metadata.mtime(), metadata.nlink()), (0, 0, 0, 1));
        }
    }
}

/// Beyond 4 GiB, inodes are extended ones, with less room for a tail.
#[test]
fn an_object_of_more_than_4_gib_is_as_good_as_any() {
    let gib = 1_u64 << 30;
    let content = Content::sparse(4 * gib + 4032, &[(0, b"start"), (4 * gib + 4000, b"end")]);
    let file = PackFile::unverified(vec![content, Content::new(noise(1, 100))]);
    assert!(file.pack.size_bytes < 1 << 20);
    let reader = PackReader::open(File::open(&file.path).unwrap()).unwrap();
    assert_eq!(reader.objects()[0].size_bytes, 4 * gib + 4032);
    assert_eq!(reader.objects()[0].id, file.objects[0].0);
    if let Some(output) = run("erofs-utils", "fsck.erofs", &[file.path()]) {
        assert_success(&output);
    }
    let Some(mounted) = mount(&file) else { return };
    let object = File::open(mounted.0.join(file.objects[0].0.object_path())).unwrap();
    assert_eq!(object.metadata().unwrap().len(), 4 * gib + 4032);
    let mut buffer = [1; 8192];
    object.read_exact_at(&mut buffer, 0).unwrap();
    assert!(buffer.starts_with(b"start\0") && buffer[5..].iter().all(|byte| *byte == 0));
    object.read_exact_at(&mut buffer, 2 * gib).unwrap();
    assert_eq!(buffer, [0; 8192]);
    assert_eq!(object.read_at(&mut buffer, 4 * gib).unwrap(), 4032);
    assert_eq!(&buffer[3999..4005], b"\0end\0\0");
}
