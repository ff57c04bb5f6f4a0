//! Random trees, odd ones above all.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sealpack_format::erofs::{FormatVersion, write_metadata_image};
use sealpack_format::tree::{Content, Directory, Inode, InodeId, Kind, Metadata, Time, Tree, Xattrs};
use sealpack_format::{Algorithm, ObjectId};

/// The metadata image of `tree`.
pub(crate) fn image(tree: &Tree, version: FormatVersion) -> Vec<u8> {
    let mut image = Vec::new();
    let size = write_metadata_image(tree, version, &mut image).unwrap();
    assert_eq!(size, u64::try_from(image.len()).unwrap());
    image
}

/// The dump of `tree`.
pub(crate) fn dump(tree: &Tree) -> Vec<u8> {
    let mut dump = Vec::new();
    sealpack_format::dump::write(tree, &mut dump).unwrap();
    dump
}

/// A step of building a tree.
#[derive(Debug, Clone)]
enum Step {
    /// A new inode in one of the directories so far.
    Add { parent: usize, name: Vec<u8>, inode: Inode },
    /// A further name of one of the inodes so far; whether it is to be the first.
    Link { parent: usize, name: Vec<u8>, target: usize, first: bool },
    /// Many files in one directory.
    Fill { parent: usize, count: usize, name_bytes: usize },
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    const NAMED: [&[u8]; 12] =
        [b"!", b"-", b".-", b".a", b"...", b"00", b"ff", b"a0", b"0", b"etc", b"x=y z", b"\xff\xfe"];
    prop_oneof![
        4 => select(&NAMED[..]).prop_map(<[u8]>::to_vec),
        4 => vec(select(&b"abcdef0123"[..]), 1..4),
        2 => vec(any::<u8>(), 1..20),
        1 => (1..=255_usize).prop_map(|length| vec![b'n'; length]),
    ]
    .prop_filter("a name", |name| sealpack_format::tree::check_name(name).is_ok())
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        select(&[1, 64, 65, 4096, 4097, 1 << 32, (1 << 32) - 1, (1 << 43) + 1, 1 << 53][..]),
        (0..=53_u32, any::<u64>()).prop_map(|(bits, salt)| (salt & ((1 << bits) - 1)).max(1)),
        // Tables of about a block, which hardly fit behind their inodes.
        ((900_u64 << 43)..=(1 << 53)),
    ]
}

fn object_id() -> impl Strategy<Value = ObjectId> {
    prop_oneof![
        4 => any::<[u8; 32]>(),
        // A few that recur.
        1 => (0..3_u8).prop_map(|byte| [byte; 32]),
    ]
    .prop_map(ObjectId::sha256)
}

fn content() -> impl Strategy<Value = Content> {
    const INLINE_SIZES: [usize; 12] = [0, 1, 64, 100, 2047, 2048, 2049, 4000, 4095, 4096, 4097, 5000];
    let inline = (prop_oneof![select(&INLINE_SIZES[..]), 0..=5000_usize], any::<u8>())
        .prop_map(|(length, byte)| Content::Inline(vec![byte; length].into()));
    let object = (size(), object_id()).prop_map(|(size, id)| Content::Object { size, id });
    let path = prop_oneof![vec(1..=255_u8, 0..80), (3900..=4095_usize).prop_map(|length| vec![b'p'; length])];
    let external = (size(), path, proptest::option::of(object_id()))
        .prop_map(|(size, path, digest)| Content::outside(size, path.into(), digest));
    prop_oneof![inline, object, external]
}

fn kind() -> impl Strategy<Value = Kind> {
    let target = prop_oneof![
        4 => vec(1..=255_u8, 1..40),
        1 => (1..=4095_usize).prop_map(|length| vec![b't'; length]),
        1 => Just(b"-".to_vec()),
    ];
    prop_oneof![
        6 => Just(Kind::Directory(Directory::default())),
        8 => content().prop_map(Kind::Regular),
        3 => target.prop_map(|target| Kind::Symlink(target.into())),
        2 => Just(Kind::CharDevice(0)),
        1 => any::<u32>().prop_map(Kind::CharDevice),
        1 => any::<u32>().prop_map(Kind::BlockDevice),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Socket),
    ]
}

fn xattrs() -> impl Strategy<Value = Xattrs> {
    const KEYS: [&[u8]; 20] = [
        b"user.foo",
        b"user.bar",
        b"user.overlay.whiteout",
        b"user.overlay.opaque",
        b"trusted.overlay.opaque",
        b"trusted.overlay.redirect",
        b"trusted.overlay.metacopy",
        b"trusted.overlay.whiteout",
        b"trusted.overlay.whiteouts",
        b"trusted.overlay.overlay.whiteout",
        b"trusted.overlay.x",
        b"trusted.a",
        b"security.selinux",
        b"security.capability",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
        b"system.posix_acl_accessory",
        b"lustre.lov",
        b"odd=key with blank",
        b"user.",
    ];
    const VALUES: [&[u8]; 6] = [b"", b"x", b"y", b"label", b"-", b"a=b\0"];
    let key = prop_oneof![
        8 => select(&KEYS[..]).prop_map(<[u8]>::to_vec),
        1 => vec(1..=255_u8, 1..200),
        1 => (1..=234_usize).prop_map(|length| [b"trusted.overlay.".to_vec(), vec![b'k'; length]].concat()),
    ];
    let value = prop_oneof![
        4 => select(&VALUES[..]).prop_map(<[u8]>::to_vec),
        2 => vec(any::<u8>(), 0..30),
        1 => (0..6000_usize).prop_map(|length| vec![b'v'; length]),
    ];
    let pairs = prop_oneof![
        3 => vec((key.clone(), value.clone()), 0..2),
        2 => vec((key, value), 0..5),
        // More than an inode can share.
        1 => (0..160_u32).prop_map(|count| {
            (0..count).map(|i| (format!("user.many{i}").into_bytes(), b"1".to_vec())).collect()
        }),
    ];
    pairs.prop_map(|pairs| pairs.iter().map(|(key, value)| (&key[..], &value[..])).collect())
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let number = || prop_oneof![3 => Just(0), 1 => select(&[1000, 65535, 65536, u32::MAX][..])];
    let seconds = prop_oneof![3 => Just(0), 1 => select(&[1_700_000_000, -5, i64::MAX, 1][..])];
    let nanoseconds = prop_oneof![3 => Just(0), 1 => select(&[1, 999_999_999][..])];
    (0..=0o7777_u16, number(), number(), seconds, nanoseconds, xattrs()).prop_map(
        |(permissions, uid, gid, seconds, nanoseconds, xattrs)| Metadata {
            permissions,
            uid,
            gid,
            mtime: Time { seconds, nanoseconds },
            xattrs,
        },
    )
}

fn inode() -> impl Strategy<Value = Inode> {
    let links = prop_oneof![8 => Just(None), 1 => select(&[Some(3), Some(65535), Some(65536), Some(0)][..])];
    (metadata(), kind(), links).prop_map(|(metadata, kind, links)| {
        let mut inode = Inode::new(metadata, kind);
        if inode.as_directory().is_none() {
            inode.stated_links = links;
        }
        inode
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => (any::<usize>(), name(), inode())
            .prop_map(|(parent, name, inode)| Step::Add { parent, name, inode }),
        3 => (any::<usize>(), name(), any::<usize>(), any::<bool>())
            .prop_map(|(parent, name, target, first)| Step::Link { parent, name, target, first }),
        1 => (any::<usize>(), 0..300_usize, 4..100_usize)
            .prop_map(|(parent, count, name_bytes)| Step::Fill { parent, count, name_bytes }),
    ]
}

/// Trees of up to `steps` steps.
pub(crate) fn tree(steps: usize) -> impl Strategy<Value = Tree> {
    (metadata(), vec(step(), 0..steps)).prop_map(|(root, steps)| {
        let mut tree = Tree::new(root);
        let mut directories = vec![InodeId::ROOT];
        let mut others = Vec::new();
        for step in steps {
            match step {
                Step::Add { parent, name, inode } => {
                    let is_directory = inode.as_directory().is_some();
                    let parent = directories[parent % directories.len()];
                    if let Ok(id) = tree.insert(parent, &name, inode) {
                        if is_directory { &mut directories } else { &mut others }.push(id);
                    }
                }
                Step::Link { parent, name, target, first } if !others.is_empty() => {
                    let parent = directories[parent % directories.len()];
                    let target = others[target % others.len()];
                    if tree.link(parent, &name, target).is_ok() && first {
                        tree.set_first_name(target, parent, &name);
                    }
                }
                Step::Link { .. } => {}
                Step::Fill { parent, count, name_bytes } => {
                    let parent = directories[parent % directories.len()];
                    for number in 0..count {
                        let name = format!("{number:0name_bytes$}");
                        let inode = Inode::new(Metadata::default(), Kind::Fifo);
                        drop(tree.insert(parent, name.as_bytes(), inode));
                    }
                }
            }
        }
        tree
    })
}

/// `tree` with digests of SHA-512 in place of SHA-256.
pub(crate) fn with_sha512(mut tree: Tree) -> Tree {
    let ids: Vec<InodeId> = tree.inodes().map(|(id, _)| id).collect();
    for id in ids {
        if let Kind::Regular(Content::Object { id, .. }) = &mut tree.inode_mut(id).kind {
            *id = ObjectId::from_slice(Algorithm::Sha512, &[id.as_bytes(), id.as_bytes()].concat()).unwrap();
        }
    }
    tree
}
