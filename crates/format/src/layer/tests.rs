use super::*;
use crate::digest::{Algorithm, ObjectId};
use crate::tree::{Time, Xattrs};
use sha2::{Digest, Sha256};

fn entries() -> Vec<LayerEntry> {
    let metadata = Metadata {
        permissions: 0o4755,
        uid: 70_000,
        gid: u32::MAX,
        mtime: Time { seconds: -3, nanoseconds: 999_999_999 },
        xattrs: Xattrs::from_iter([(&b"security.capability"[..], &[1, 0, 255][..]), (b"user.x", b"")]),
    };
    let inode =
        |path: &str, kind| LayerEntry { path: path.into(), item: LayerItem::Inode(metadata.clone(), kind) };
    let other = |path: &str, item| LayerEntry { path: path.into(), item };
    vec![
        inode("", LayerKind::Directory),
        inode("usr/bin", LayerKind::Directory),
        inode("usr/bin/a", LayerKind::Regular(Content::Inline(b"small".as_slice().into()))),
        inode(
            "usr/bin/b",
            LayerKind::Regular(Content::Object { size: u64::MAX, id: ObjectId::sha256([7; 32]) }),
        ),
        inode("usr/bin/c", LayerKind::Symlink(b"../a".to_vec())),
        inode("dev/null", LayerKind::CharDevice(0x103)),
        inode("dev/sda", LayerKind::BlockDevice(u32::MAX)),
        inode("fifo", LayerKind::Fifo),
        other("usr/bin/d", LayerItem::HardLink(b"usr/bin/b".to_vec())),
        other("usr/lib/gone", LayerItem::Whiteout),
        other("usr/share", LayerItem::Opaque),
    ]
}

fn record() -> Vec<u8> {
    let mut writer = LayerWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    entries().iter().for_each(|entry| writer.push(entry).unwrap());
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<LayerEntry>, LayerError> {
    LayerReader::new(bytes)?.collect()
}

#[test]
fn every_kind_of_entry_survives() {
    assert_eq!(read(&record()).unwrap(), entries());
}

/// The bytes are on users' disks: another sum here means that a new version is due.
#[test]
fn the_bytes_of_version_1_are_frozen() {
    let sum: String = Sha256::digest(record()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sum, "cc4ce4a7b46ee1347e4fb0147767bd1456274dbaf5d70e295c5b5dc3e513434d");
}

#[test]
fn any_changed_bit_and_any_cut_is_noticed() {
    let record = record();
    for at in 0..record.len() {
        assert!(read(&record[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut changed = record.clone();
            changed[at] ^= 1 << bit;
            assert!(read(&changed).is_err(), "bit {bit} of byte {at}");
        }
    }
    assert!(read(&[record.as_slice(), &[0]].concat()).is_err());
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_without_panic(tail in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
        let bytes = [MAGIC.as_slice(), &[1], &tail].concat();
        proptest::prop_assert!(read(&bytes).is_err());
    }
}
