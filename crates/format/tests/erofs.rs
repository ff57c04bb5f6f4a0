//! Metadata images: frozen bytes, and what holds for any tree and any bytes.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip; the helpers are shared with other tests"
)]

mod common;

use common::image;
use proptest::prelude::*;
use sealpack_format::dump::{self, Mode};
use sealpack_format::erofs::inode::FileType;
use sealpack_format::erofs::reader::{Damage, FileContent};
use sealpack_format::erofs::{FormatVersion, Image, ImageError, WriteError, write_metadata_image};
use sealpack_format::tree::{Content, Directory, Inode, InodeId, Kind, Metadata, Time, Tree, Xattrs};
use sealpack_format::verity::fsverity_digest;
use sealpack_format::{Algorithm, ObjectId};
use sha2::{Digest, Sha256};

/// composefs-rs's 'empty' tree.
fn empty() -> Tree {
    Tree::new(Metadata { permissions: 0o755, ..Metadata::default() })
}

fn add(tree: &mut Tree, name: &str, kind: Kind) -> InodeId {
    tree.insert(InodeId::ROOT, name.as_bytes(), Inode::new(Metadata::default(), kind)).unwrap()
}

/// composefs-rs's 'simple' tree.
fn simple() -> Tree {
    let mut tree = empty();
    add(&mut tree, "fifo", Kind::Fifo);
    add(&mut tree, "regular-inline", Kind::Regular(Content::Inline((*b"hihi").into())));
    let object = Content::Object { size: 1234, id: ObjectId::sha256([0x5a; 32]) };
    add(&mut tree, "regular-external", Kind::Regular(object));
    add(&mut tree, "chrdev", Kind::CharDevice(123));
    add(&mut tree, "blkdev", Kind::BlockDevice(123));
    add(&mut tree, "socket", Kind::Socket);
    add(&mut tree, "symlink", Kind::Symlink((*b"/target").into()));
    tree
}

/// A bit of everything: attributes shared and not, ACLs, escapes, whiteouts, hard links, large
/// directories, tails of all kinds, times, large numbers.
fn everything() -> Tree {
    let label = (&b"security.selinux"[..], &b"system_u:object_r:usr_t:s0\0"[..]);
    let labelled = |more: &[(&'static [u8], &'static [u8])]| Metadata {
        permissions: 0o755,
        mtime: Time { seconds: 1_700_000_000, nanoseconds: 5 },
        xattrs: Xattrs::from_iter([label].into_iter().chain(more.iter().copied())),
        ..Metadata::default()
    };
    let mut tree = Tree::new(labelled(&[]));
    let directory = || Kind::Directory(Directory::default());
    let etc = add(&mut tree, "etc", directory());
    tree.inode_mut(etc).metadata = labelled(&[(b"trusted.overlay.opaque", b"y")]);
    for number in 0..400_u32 {
        let metadata = Metadata { uid: 60_000 + number * 20, ..labelled(&[]) };
        let id = ObjectId::sha256([u8::try_from(number % 7).unwrap(); 32]);
        let content = Content::Object { size: u64::from(number) << 20 | 65, id };
        let inode = Inode::new(metadata, Kind::Regular(content));
        tree.insert(etc, format!("file-{number:06}").as_bytes(), inode).unwrap();
    }
    let acls: [(&[u8], &[u8]); 2] =
        [(b"system.posix_acl_access", b"acl"), (b"trusted.overlay.whiteout", b"")];
    let conf = Inode::new(labelled(&acls), Kind::Regular(Content::Inline([7; 5000].into())));
    let conf = tree.insert(etc, b"a.conf", conf).unwrap();
    tree.link(InodeId::ROOT, b"zz-link", conf).unwrap();
    tree.link(InodeId::ROOT, b"-first", conf).unwrap();
    tree.insert(etc, b"gone", Inode::new(labelled(&[]), Kind::CharDevice(0))).unwrap();
    add(&mut tree, "a0", directory());
    add(&mut tree, "long", Kind::Symlink([b'l'; 4000].into()));
    for (number, length) in [1, 2048, 2049, 4095, 4096, 4097].into_iter().enumerate() {
        let bytes = vec![b'i'; length].into();
        add(&mut tree, &format!("inline-{number}"), Kind::Regular(Content::Inline(bytes)));
    }
    let path = (*b"some/where").into();
    let external = Content::External { size: (1 << 53) - 1, path, digest: None };
    add(&mut tree, "external", Kind::Regular(external));
    tree
}

/// The same with the digest of a SHA-512 store.
fn simple_sha512() -> Tree {
    let mut tree = simple();
    let id = tree.lookup(b"regular-external").unwrap();
    let object = ObjectId::from_slice(Algorithm::Sha512, &[0x5a; 64]).unwrap();
    tree.inode_mut(id).kind = Kind::Regular(Content::Object { size: 1234, id: object });
    tree
}

#[test]
fn the_bytes_of_the_format_are_frozen() {
    let fsverity =
        |tree: &Tree, version| fsverity_digest(Algorithm::Sha256, &image(tree, version)).to_string();
    // The first four are composefs-rs's own (crates/composefs/tests/mkfs.rs).
    let frozen = [
        (empty(), FormatVersion::V0, "8f589e8f57ecb88823736b0d857ddca1e1068a23e264fad164b28f7038eb3682"),
        (simple(), FormatVersion::V0, "9f3f5620ee0c54708516467d0d58741e7963047c7106b245d94c298259d0fa01"),
        (empty(), FormatVersion::V1, "14a26c957c84f6eb774b91205476adc13196c7c33b9dd97d08d43725ecb90b63"),
        (simple(), FormatVersion::V1, "ad6db6427568a1e4fdc772cbab7b6063f5eb4b33cb62982a740ba9213e5962b5"),
        (
            simple_sha512(),
            FormatVersion::V1,
            "b9c51164a64aa64d2ef4b430d960c5f534febb416e17e52250b0cdd8ce1da0c7",
        ),
    ];
    for (tree, version, digest) in frozen {
        assert_eq!(fsverity(&tree, version), digest);
    }
    let sha256 = |version| {
        let digest = Sha256::digest(image(&everything(), version));
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    // What C mkcomposefs writes for the dump of the tree.
    assert_eq!(sha256(FormatVersion::V0), "014c504de986f4de2bdda0370552705a1c8d118580852d8f3dc0995994299595");
    assert_eq!(sha256(FormatVersion::V1), "e9907709f5edfca6dd112afc4ebd09d416074fd225a3778c52fafc349beb9802");
}

#[test]
fn whiteouts_come_back_and_what_looks_like_them_stays() {
    let marks: [(&[u8], &[u8]); 2] = [(b"trusted.overlay.whiteout", b""), (b"user.overlay.whiteout", b"")];
    let empty_file = || Kind::Regular(Content::Inline(Box::default()));
    let marked = || Metadata { xattrs: Xattrs::from_iter(marks), ..Metadata::default() };
    for version in [FormatVersion::V0, FormatVersion::V1] {
        let mut tree = empty();
        let dir = add(&mut tree, "dir", Kind::Directory(Directory::default()));
        tree.insert(dir, b"gone", Inode::new(Metadata::default(), Kind::CharDevice(0))).unwrap();
        tree.insert(dir, b"half", Inode::new(Metadata::default(), empty_file())).unwrap();
        let other = add(&mut tree, "other", Kind::Directory(Directory::default()));
        tree.insert(other, b"marked", Inode::new(marked(), empty_file())).unwrap();
        // A stub that is there already, and one that is a whiteout of the tree's own.
        add(&mut tree, "00", Kind::Fifo);
        add(&mut tree, "01", Kind::CharDevice(0));
        let bytes = image(&tree, version);
        let read = Image::open(&bytes).unwrap().to_tree().unwrap();
        assert_eq!(common::dump(&read), common::dump(&tree));
    }
}

#[test]
fn an_image_tells_files_contents_and_objects() {
    let bytes = image(&everything(), FormatVersion::V1);
    let image = Image::open(&bytes).unwrap();
    assert!(image.header().has_acl);
    assert_eq!(image.size_bytes(), u64::try_from(bytes.len()).unwrap());
    assert_eq!(image.objects().count(), 401);
    let first = image.objects().find(|object| object.as_ref().is_ok_and(|object| object.digest.is_none()));
    assert_eq!(first.unwrap().unwrap().path, b"some/where");
    let content = image.lookup(b"//etc/./a.conf").unwrap().unwrap().content().unwrap();
    assert_eq!(content, FileContent::Inline((&[7; 5000][..]).into()));
    let link = image.lookup(b"long").unwrap().unwrap();
    assert_eq!((link.file_type(), link.symlink_target().unwrap().len()), (FileType::Symlink, 4000));
    for missing in [&b"nothing"[..], b"etc/../etc", b"long/below", b"etc/a.conf/below"] {
        assert!(image.lookup(missing).unwrap().is_none());
    }
    let stub = image.lookup(b"ff").unwrap().unwrap();
    assert_eq!((stub.file_type(), stub.device_number()), (FileType::CharDevice, 0));
    assert!(stub.xattrs().unwrap().any(|xattr| xattr.unwrap().is(b"security.selinux")));
}

#[test]
fn a_hash_tree_behind_an_image_does_not_matter_but_a_missing_end_does() {
    let mut bytes = image(&simple(), FormatVersion::V1);
    let cut = bytes[..bytes.len() - 1].to_vec();
    assert!(matches!(Image::open(&cut), Err(ImageError::Truncated { .. })));
    bytes.extend_from_slice(&[7; 10_000]);
    assert_eq!(Image::open(&bytes).unwrap().to_tree().unwrap().len(), 8);
}

#[test]
fn what_composefs_images_never_have_is_refused_by_name() {
    let good = image(&simple(), FormatVersion::V1);
    let message = |offset: usize, patch: &[u8]| {
        let mut bytes = good.clone();
        bytes[offset..offset + patch.len()].copy_from_slice(patch);
        Image::open(&bytes).unwrap_err().to_string()
    };
    for (offset, patch, words) in [
        (0, &[0][..], "no composefs header"),
        (4, &[2], "layout 2"),
        (8, &[2], "unknown flags"),
        (12, &[2], "composefs-rs's own format 2"),
        (12, &[9], "version 9"),
        (1024, &[0], "no EROFS superblock"),
        (1024 + 12, &[16], "blocks of 2^16 bytes"),
        (1024 + 13, &[1], "extension slots"),
        (1024 + 80, &[1], "zero padding (compression)"),
        (1024 + 81, &[8], "unknown features"),
        (1024 + 84, &[1], "compression"),
        (1024 + 86, &[3], "3 extra device slots"),
        (1024 + 90, &[1], "directory blocks"),
        (1024 + 91, &[1], "long attribute prefixes"),
        (1024 + 96, &[1], "packed inode"),
    ] {
        let message = message(offset, patch);
        assert!(message.contains(words), "{offset}: {message}");
    }
    for length in [0, 31, 32, 1023, 1024, 1151, 4095] {
        assert!(Image::open(&good[..length]).is_err());
    }
}

#[test]
fn directories_within_themselves_and_in_two_places_are_refused() {
    let mut tree = empty();
    let directory = || Inode::new(Metadata::default(), Kind::Directory(Directory::default()));
    let outer = tree.insert(InodeId::ROOT, b"outer", directory()).unwrap();
    tree.insert(outer, b"inner", directory()).unwrap();
    let good = image(&tree, FormatVersion::V1);
    let opened = Image::open(&good).unwrap();
    let nid = |path: &[u8]| opened.lookup(path).unwrap().unwrap().nid();
    let (outer, inner) = (nid(b"outer"), nid(b"outer/inner"));
    // The entry of the inner directory now leads to the outer one, and to the root.
    let places: Vec<usize> = (0..good.len() - 12)
        .filter(|at| good[*at..*at + 8] == inner.to_le_bytes() && good[*at + 10] == 2)
        .collect();
    assert!(!places.is_empty());
    for target in [outer, opened.superblock().root_nid] {
        let mut bytes = good.clone();
        for place in &places {
            bytes[*place..*place + 8].copy_from_slice(&target.to_le_bytes());
        }
        let error = Image::open(&bytes).unwrap().to_tree().unwrap_err();
        assert!(
            matches!(error, ImageError::Inode { damage: Damage::DirectoryTwice | Damage::Dots(_), .. }),
            "{error}"
        );
    }
}

#[test]
fn what_an_image_cannot_have_is_named_with_its_path() {
    let message = |kind: Kind, metadata: Metadata| {
        let mut tree = empty();
        let dir = add(&mut tree, "dir", Kind::Directory(Directory::default()));
        tree.insert(dir, b"na\nme", Inode::new(metadata, kind)).unwrap();
        let mut written = Vec::new();
        let error = write_metadata_image(&tree, FormatVersion::V1, &mut written).unwrap_err();
        assert!(matches!(error, WriteError::Inode { .. }) && written.is_empty());
        error.to_string()
    };
    let plain = Metadata::default;
    let with = |key: &[u8], value: &[u8]| Metadata { xattrs: Xattrs::from_iter([(key, value)]), ..plain() };
    let inline = Kind::Regular(Content::Inline(vec![0; 5001].into()));
    assert_eq!(
        message(inline, plain()),
        "/dir/na\\nme: its inline content has 5001 bytes; at most 5000 can be inline"
    );
    let huge = Kind::Regular(Content::Object { size: (1 << 53) + 1, id: ObjectId::sha256([0; 32]) });
    assert!(message(huge, plain()).contains("more than 2^53 bytes"));
    for target in [vec![], vec![b'x'; 4096], b"nul\0".to_vec()] {
        assert!(
            message(Kind::Symlink(target.into()), plain()).contains("its target must have 1 to 4095 bytes")
        );
    }
    for path in [vec![b'x'; 4096], b"nul\0".to_vec()] {
        let external = Content::External { size: 1, path: path.into(), digest: None };
        assert!(message(Kind::Regular(external), plain()).contains("the path of its content"));
    }
    for key in [vec![], vec![b'x'; 256], b"nul\0".to_vec(), [b"user.".to_vec(), vec![b'x'; 256]].concat()] {
        assert!(message(Kind::Fifo, with(&key, b"")).contains("the name of attribute"));
    }
    assert!(message(Kind::Fifo, with(b"user.x", &[0; 65536])).contains("has 65536 bytes; at most 65535"));
    let many = Metadata {
        xattrs: (0..5).map(|i| (["user.1", "user.2", "user.3", "user.4", "user.5"][i], [0; 60_000])).fold(
            Xattrs::default(),
            |mut xattrs, (key, value)| {
                xattrs.insert(key.as_bytes(), &value);
                xattrs
            },
        ),
        ..plain()
    };
    assert!(message(Kind::Fifo, many).contains("its attributes take"));
}

#[test]
fn a_failing_output_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = write_metadata_image(&empty(), FormatVersion::V1, &mut Full).unwrap_err();
    assert!(matches!(error, WriteError::Io(_)));
}

#[test]
fn a_tree_200000_deep_becomes_an_image_and_a_tree_again() {
    let mut tree = empty();
    let mut parent = InodeId::ROOT;
    for _ in 0..200_000 {
        let directory = Inode::new(Metadata::default(), Kind::Directory(Directory::default()));
        parent = tree.insert(parent, b"d", directory).unwrap();
    }
    let file = tree.insert(parent, b"file", Inode::new(Metadata::default(), Kind::Fifo)).unwrap();
    tree.link(InodeId::ROOT, b"z", file).unwrap();
    let bytes = image(&tree, FormatVersion::V1);
    let read = Image::open(&bytes).unwrap().to_tree().unwrap();
    assert_eq!(read.len(), tree.len());
    assert!(image(&read, FormatVersion::V1) == bytes);
}

/// Everything that can be asked of an image.
fn read_all(bytes: &[u8]) -> Option<Tree> {
    let image = Image::open(bytes).ok()?;
    for found in image.walk().flatten() {
        drop(found.inode.content());
        drop(found.inode.symlink_target());
        assert!(found.inode.xattrs().into_iter().flatten().count() <= bytes.len());
        assert!(found.inode.entries().into_iter().flatten().count() <= bytes.len());
    }
    assert!(image.objects().count() <= bytes.len());
    drop(image.lookup(b"etc/a"));
    image.to_tree().ok()
}

/// Where bytes go, what they become there, and whether in the head of the image.
fn patches() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, bool)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_survives_its_image(tree in common::tree(30), sha512 in any::<bool>(), v1 in any::<bool>()) {
        let tree = if sha512 { common::with_sha512(tree) } else { tree };
        let version = if v1 { FormatVersion::V1 } else { FormatVersion::V0 };
        let bytes = image(&tree, version);
        let read = Image::open(&bytes).unwrap().to_tree().unwrap();
        prop_assert!(image(&read, version) == bytes);
    }

    #[test]
    fn any_tree_survives_its_dump(tree in common::tree(30), sha512 in any::<bool>()) {
        let tree = if sha512 { common::with_sha512(tree) } else { tree };
        let text = common::dump(&tree);
        // Attributes may be too many for a dump; then it is refused as such.
        match dump::parse(&text, Mode::Strict) {
            Ok(read) => {
                prop_assert!(common::dump(&read) == text);
                prop_assert!(image(&read, FormatVersion::V1) == image(&tree, FormatVersion::V1));
                let lenient = dump::parse(&text, Mode::Lenient).unwrap();
                prop_assert!(common::dump(&lenient) == text);
            }
            Err(error) => prop_assert!(error.to_string().contains("attributes take more"), "{}", error),
        }
    }

    #[test]
    fn damaged_images_give_a_tree_or_an_error(tree in common::tree(12), patches in patches()) {
        let mut bytes = image(&tree, FormatVersion::V1);
        for (place, byte, head) in patches {
            let range = if head { bytes.len().min(16_384) } else { bytes.len() };
            bytes[place.index(range)] = byte;
        }
        if let Some(read) = read_all(&bytes) {
            // What was read can be written, or says why not.
            drop(write_metadata_image(&read, FormatVersion::V1, &mut std::io::sink()));
        }
    }

    #[test]
    fn arbitrary_bytes_behind_a_good_head_give_a_tree_or_an_error(
        noise in prop::collection::vec(any::<u8>(), 0..8192),
        keep in 1152..2048_usize,
    ) {
        let mut bytes = image(&simple(), FormatVersion::V1);
        let noise = noise.iter().chain(std::iter::repeat(&0));
        bytes.iter_mut().skip(keep).zip(noise).for_each(|(byte, noise)| *byte = *noise);
        read_all(&bytes);
    }
}
