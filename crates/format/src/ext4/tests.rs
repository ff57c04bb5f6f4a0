use std::process::Command;

use super::*;

/// A superblock of ext4 with this label.
fn superblock(label: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; SIZE_BYTES];
    put(&mut bytes, at::MAGIC, &MAGIC.to_le_bytes());
    put(&mut bytes, at::STATE, &CLEANLY_UNMOUNTED.to_le_bytes());
    put(&mut bytes, at::REVISION, &1_u32.to_le_bytes());
    put(&mut bytes, at::INCOMPATIBLE, &0x2c2_u32.to_le_bytes());
    put(&mut bytes, at::READ_ONLY, &0x846b_u32.to_le_bytes());
    put(&mut bytes, at::LABEL, label);
    bytes
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

#[test]
fn label_features_and_state_are_read() {
    let parsed = Superblock::parse(&superblock(b"sealpack-data")).unwrap();
    assert_eq!(parsed.label.as_bytes(), b"sealpack-data");
    assert!(parsed.features.has_verity() && parsed.is_clean && !parsed.has_errors);
    assert_eq!(parsed.features.unknown(), None);

    let mut bytes = superblock(b"sixteen bytes 16");
    put(&mut bytes, at::INCOMPATIBLE, &0x0100_02c6_u32.to_le_bytes());
    put(&mut bytes, at::READ_ONLY, &0x0004_046b_u32.to_le_bytes());
    put(&mut bytes, at::STATE, &3_u16.to_le_bytes());
    let parsed = Superblock::parse(&bytes).unwrap();
    assert_eq!(parsed.label.as_bytes(), b"sixteen bytes 16");
    assert!(!parsed.features.has_verity() && !parsed.is_clean && parsed.has_errors);
    assert_eq!(parsed.features.unknown(), Some((0x0100_0000, 0x0004_0000)));
}

#[test]
fn what_is_no_ext4_filesystem_says_what_it_is_instead() {
    let good = superblock(b"x");
    assert_eq!(Superblock::parse(&good[..SIZE_BYTES - 1]), Err(NotExt4::Short));
    assert_eq!(Superblock::parse(&[0; SIZE_BYTES]), Err(NotExt4::Magic));
    let changed = |at, word: u32| {
        let mut bytes = good.clone();
        put(&mut bytes, at, &word.to_le_bytes());
        Superblock::parse(&bytes)
    };
    // ext3: directory entries have types, and nothing else is new.
    assert_eq!(changed(at::INCOMPATIBLE, 0x2), Err(NotExt4::Older));
    // Revision 0 has no features, whatever is where they would be.
    assert_eq!(changed(at::REVISION, 0), Err(NotExt4::Older));
    assert_eq!(changed(at::INCOMPATIBLE, 0x4a), Err(NotExt4::Journal));
}

#[test]
fn a_label_that_is_no_text_is_shown_escaped() {
    let parsed = Superblock::parse(&superblock(b"a\n\xffb\0c")).unwrap();
    assert_eq!(parsed.label.as_bytes(), b"a\n\xffb");
    assert_eq!(parsed.label.to_string(), "a\\n\\xffb");
}

/// The fields are where mkfs.ext4 puts them, in filesystems of all three generations.
#[test]
fn what_mkfs_makes_is_read() {
    let Some(mkfs) =
        ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"].into_iter().find(|path| std::fs::exists(path).unwrap())
    else {
        println!("skipped: mkfs.ext4 is not installed");
        return;
    };
    let made = |options: &[&str]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(mkfs);
        command.args(["-q", "-F", "-L", "sealpack-data"]).args(options).arg(file.path()).arg("16M");
        assert!(command.status().unwrap().success());
        let bytes = std::fs::read(file.path()).unwrap();
        Superblock::parse(&bytes[1024..2048])
    };
    let parsed = made(&["-O", "verity"]).unwrap();
    assert_eq!(parsed.label.as_bytes(), b"sealpack-data");
    assert!(parsed.features.has_verity() && parsed.is_clean && !parsed.has_errors);
    assert_eq!(parsed.features.unknown(), None);
    assert!(!made(&[]).unwrap().features.has_verity());
    assert_eq!(made(&["-t", "ext2"]), Err(NotExt4::Older));
    assert_eq!(made(&["-t", "ext3"]), Err(NotExt4::Older));
}
