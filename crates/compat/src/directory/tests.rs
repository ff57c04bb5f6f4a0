use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};
use sealpack_format::erofs::{FormatVersion, Image, write_metadata_image};
use sealpack_format::tree::{Content, Kind, Time, Tree};
use sealpack_kernel::Kernel;

use super::{DirectoryError, Options, XattrChoice, read};
use crate::objects::Objects;

fn options<'o>() -> Options<'o> {
    Options {
        xattrs: XattrChoice::All,
        epoch: false,
        skip_devices: false,
        split_hard_links: false,
        threads: NonZeroUsize::new(3).unwrap(),
        objects: None,
    }
}

fn dump_of(tree: &Tree) -> String {
    let (mut bytes, mut text) = (Vec::new(), Vec::new());
    write_metadata_image(tree, FormatVersion::V1, &mut bytes).unwrap();
    crate::listing::dump(&Image::open(&bytes).unwrap(), None, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Sets an attribute where the filesystem can have it.
fn set_attribute(path: &Path, name: &str) -> bool {
    let is_set = setxattr(path, name, b"value", XattrFlags::empty()).is_ok();
    if !is_set {
        eprintln!("skipped in part: {} cannot have the attribute {name}", path.display());
    }
    is_set
}

#[test]
fn files_links_and_times_are_those_of_the_directory() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    fs::create_dir_all(root.join("sub/deeper")).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("sub/small"), [b'x'; 64]).unwrap();
    fs::write(root.join("sub/large"), vec![b'y'; 700_000]).unwrap();
    symlink("sub/small", root.join("link")).unwrap();
    mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    fs::set_permissions(root.join("sub/small"), fs::Permissions::from_mode(0o4751)).unwrap();
    let tree = read(&root, &options()).unwrap();
    assert_eq!(tree.len(), 8);
    let inode = |path: &str| tree.inode(tree.lookup(path.as_bytes()).unwrap());
    assert_eq!(inode("empty").kind, Kind::Regular(Content::Inline(Box::default())));
    assert_eq!(inode("sub/small").kind, Kind::Regular(Content::Inline([b'x'; 64].into())));
    assert_eq!(inode("sub/small").metadata.permissions, 0o4751);
    let id = sealpack_format::verity::fsverity_digest(
        sealpack_format::digest::Algorithm::Sha256,
        &vec![b'y'; 700_000],
    );
    assert_eq!(inode("sub/large").kind, Kind::Regular(Content::Object { size: 700_000, id }));
    assert_eq!(inode("link").kind, Kind::Symlink((*b"sub/small").into()));
    assert_eq!(inode("fifo").kind, Kind::Fifo);
    for path in ["", "sub/deeper", "link", "sub/large"] {
        let on_disk = root.join(path).symlink_metadata().unwrap();
        let metadata = &inode(path).metadata;
        let nanoseconds = u32::try_from(on_disk.mtime_nsec()).unwrap();
        assert_eq!(metadata.mtime, Time { seconds: on_disk.mtime(), nanoseconds });
        assert_eq!((metadata.uid, metadata.gid), (on_disk.uid(), on_disk.gid()));
    }
}

#[test]
fn names_of_one_file_are_hard_links_unless_they_are_to_be_split() {
    let place = tempfile::tempdir().unwrap();
    let (root, outside) = (place.path().join("root"), place.path().join("outside"));
    fs::create_dir_all(root.join("z")).unwrap();
    fs::write(root.join("z/a"), vec![b'x'; 5000]).unwrap();
    for link in [root.join("b"), root.join("z/c"), outside] {
        fs::hard_link(root.join("z/a"), link).unwrap();
    }
    let tree = read(&root, &options()).unwrap();
    let id = tree.lookup(b"b").unwrap();
    assert_eq!([tree.lookup(b"z/a"), tree.lookup(b"z/c")], [Some(id); 2]);
    // The name outside is not counted.
    assert_eq!((tree.len(), tree.inode(id).names()), (3, 3));
    assert!(dump_of(&tree).contains("\n/z/a 5000 @100644 3 "));
    let split = Options { split_hard_links: true, ..options() };
    let tree = read(&root, &split).unwrap();
    assert_eq!(tree.len(), 5);
    assert!(!dump_of(&tree).contains(" @"));
}

#[test]
fn times_can_all_be_1970() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("file"), "").unwrap();
    let tree = read(place.path(), &Options { epoch: true, ..options() }).unwrap();
    assert!(tree.inodes().all(|(_, inode)| inode.metadata.mtime == Time::default()));
}

#[test]
fn attributes_are_all_some_or_none() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    if !set_attribute(&file, "user.a") {
        return;
    }
    let has_trusted = set_attribute(&file, "trusted.b");
    set_attribute(place.path(), "user.c");
    let keys = |xattrs| {
        let tree = read(place.path(), &Options { xattrs, ..options() }).unwrap();
        let of = |path: &[u8]| {
            let metadata = &tree.inode(tree.lookup(path).unwrap()).metadata;
            let keys = metadata.xattrs.iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap());
            keys.collect::<BTreeSet<_>>()
        };
        (of(b""), of(b"file"))
    };
    let set = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();
    let (on_root, on_file) = keys(XattrChoice::All);
    assert!(on_root.is_superset(&set(&["user.c"])));
    assert!(on_file.is_superset(&set(if has_trusted { &["trusted.b", "user.a"] } else { &["user.a"] })));
    assert_eq!(keys(XattrChoice::User), (set(&["user.c"]), set(&["user.a"])));
    assert_eq!(keys(XattrChoice::None), (set(&[]), set(&[])));
}

#[test]
fn devices_can_be_left_out() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("null");
    if mknodat(CWD, &path, FileType::CharacterDevice, Mode::from(0o600), makedev(1, 3)).is_err() {
        eprintln!("skipped: device nodes cannot be made here");
        return;
    }
    let tree = read(place.path(), &options()).unwrap();
    assert_eq!(tree.inode(tree.lookup(b"null").unwrap()).kind, Kind::CharDevice(0x103));
    let tree = read(place.path(), &Options { skip_devices: true, ..options() }).unwrap();
    assert_eq!(tree.len(), 1);
}

#[test]
fn contents_beyond_64_bytes_become_objects() {
    let place = tempfile::tempdir().unwrap();
    let (root, store) = (place.path().join("root"), place.path().join("objects"));
    fs::create_dir(&root).unwrap();
    let contents = [vec![b'a'; 64], vec![b'b'; 65], vec![b'c'; 300_000], vec![b'd'; 262_144]];
    for (number, content) in contents.iter().enumerate() {
        fs::write(root.join(format!("{number}")), content).unwrap();
        fs::write(root.join(format!("again-{number}")), content).unwrap();
    }
    let kernel = Kernel::new();
    let objects = Objects::open(&kernel, &store).unwrap();
    let tree = read(&root, &Options { objects: Some(&objects), ..options() }).unwrap();
    let mut stored = BTreeSet::new();
    for (_, inode) in tree.inodes() {
        if let Kind::Regular(Content::Object { id, size }) = &inode.kind {
            let path = store.join(id.object_path());
            assert_eq!(path.metadata().unwrap().len(), *size);
            stored.insert(path);
        }
    }
    let on_disk =
        fs::read_dir(&store).unwrap().flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap());
    assert_eq!(on_disk.map(|entry| entry.unwrap().path()).collect::<BTreeSet<_>>(), stored);
    let read_back: BTreeSet<_> = stored.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(read_back, contents[1..].iter().cloned().collect());
}

#[test]
fn a_directory_deeper_than_a_path_can_be_long_is_read() {
    let place = tempfile::tempdir().unwrap();
    let name = "d".repeat(200);
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY;
    let mut directory = rustix::fs::open(place.path(), flags, Mode::empty()).unwrap();
    for _ in 0..60 {
        rustix::fs::mkdirat(&directory, &name, Mode::from(0o755)).unwrap();
        directory = rustix::fs::openat(&directory, &name, flags, Mode::empty()).unwrap();
    }
    let tree = read(place.path(), &options()).unwrap();
    assert_eq!(tree.len(), 61);
}

#[test]
fn what_cannot_be_read_is_named() {
    let place = tempfile::tempdir().unwrap();
    let missing = place.path().join("missing");
    let message = read(&missing, &options()).unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("cannot open the directory {missing:?}: No such file")),
        "{message}"
    );
    let file = place.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(read(&file, &options()), Err(DirectoryError::Io { .. })));
    let link = place.path().join("link");
    symlink(".", &link).unwrap();
    assert!(matches!(read(&link, &options()), Err(DirectoryError::Io { .. })));
}
