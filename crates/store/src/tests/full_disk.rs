//! A filesystem without room, mounted where only the test sees it.

use std::process::Command;

use super::*;
use crate::{Accepted, Error};

const PATH: &str = "SEALPACK_STORE_TEST_FULL_DISK";

/// Runs the test `name`, which is ignored otherwise, on a filesystem that `mount` mounts on `$1`.
fn on_small_filesystem(name: &str, mount: &str) {
    if !is_root() {
        eprintln!("skipped: only root can mount");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let can = Command::new("unshare").args(["-m", "sh", "-c", mount, "sh"]).arg(directory.path()).output();
    match can {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("skipped: {mount}: {}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        Err(error) => {
            eprintln!("skipped: unshare: {error}");
            return;
        }
    }
    let script = format!("{mount} && shift && exec \"$@\"");
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", name, "--nocapture", "--test-threads=1"])
        .env(PATH, directory.path())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

const TMPFS: &str = "mount -t tmpfs -o size=1m none \"$1\"";
const EXT4: &str = "truncate -s 4m \"$1.img\" && mkfs.ext4 -q -N 512 \"$1.img\" && mount -o loop \"$1.img\" \"$1\"; \
                    status=$?; rm -f \"$1.img\"; [ $status = 0 ]";
const INODES: &str = "mount -t tmpfs -o size=4m,nr_inodes=60 none \"$1\"";
const READ_ONLY: &str = "mount -t tmpfs -o size=1m none \"$1\"";

#[test]
fn a_full_disk_is_one_clear_error_and_leaves_the_store_as_it_was() {
    on_small_filesystem("tests::full_disk::fill_up", TMPFS);
    on_small_filesystem("tests::full_disk::fill_up", EXT4);
    on_small_filesystem("tests::full_disk::fill_up", INODES);
}

#[test]
fn a_disk_that_is_too_full_to_pack_leaves_the_image_as_it_was() {
    on_small_filesystem("tests::full_disk::fill_up_with_packs", TMPFS);
    on_small_filesystem("tests::full_disk::fill_up_with_packs", EXT4);
}

#[test]
fn a_disk_that_is_too_full_for_history_seal_or_epoch_leaves_the_name_as_it_was() {
    on_small_filesystem("tests::full_disk::fill_up_with_history", TMPFS);
    on_small_filesystem("tests::full_disk::fill_up_with_history", EXT4);
}

#[test]
fn a_read_only_store_can_be_read_and_says_why_it_cannot_be_written() {
    on_small_filesystem("tests::full_disk::read_only", READ_ONLY);
}

#[test]
#[ignore = "needs a small filesystem, which another test mounts"]
fn fill_up() {
    let path = PathBuf::from(std::env::var_os(PATH).unwrap()).join("store");
    let store = Store::create(&path, Algorithm::Sha256).unwrap();
    pull(&store, "before", &[&["x", "y"]]);
    let before = snapshot(&path);
    for by_writer in [false, true] {
        let staging = store.stage().unwrap();
        let error = (0_u32..)
            .find_map(|number| {
                let content = vec![u8::try_from(number % 251).unwrap(); 20_000 + number as usize];
                let id = fsverity_digest(Algorithm::Sha256, &content);
                if by_writer {
                    let written = staging.object_writer().and_then(|mut writer| {
                        writer.write_all(&content).map_err(|e| e.downcast::<Error>().unwrap())?;
                        writer.finish(&id)
                    });
                    written.err()
                } else {
                    staging.add_bytes(&id, &content).err()
                }
            })
            .unwrap();
        assert!(matches!(&error, Error::NoSpace { path } if path.starts_with(store.path())), "{error}");
        assert!(error.to_string().starts_with("no space left to write "), "{error}");
        drop(staging);
        assert_eq!(snapshot(&path), before);
    }
    // A commit that finds no room, as directories and the memory need some.
    let staging = store.stage().unwrap();
    let mut full = false;
    for number in 0_u32..10_000 {
        let content = number.to_le_bytes().repeat(100);
        full = staging.add_bytes(&fsverity_digest(Algorithm::Sha256, &content), &content).is_err();
        if full {
            break;
        }
    }
    assert!(full);
    if let Err(error) = staging.commit() {
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        assert!(matches!(staging.commit(), Err(Error::StagingFailed)));
    }
    drop(staging);
    assert_clean(&store);
    gc(&store);
    pull(&store, "after", &[&["x", "z"]]);
    assert_clean(&store);
}

/// Bytes that fill a filesystem but for less than `left_bytes`.
fn fill(path: &Path, left_bytes: usize) {
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let size = file.metadata().unwrap().len();
    file.set_len(size.saturating_sub(left_bytes as u64)).unwrap();
    file.sync_all().unwrap();
}

#[test]
#[ignore = "needs a small filesystem, which another test mounts"]
fn fill_up_with_packs() {
    let directory = PathBuf::from(std::env::var_os(PATH).unwrap());
    let path = directory.join("store");
    let store = Store::create(&path, Algorithm::Sha256).unwrap();
    let text = "a text of some length".repeat(20);
    let texts: Vec<String> = (0..8).map(|n| text.clone() + &n.to_string()).collect();
    let layer: Vec<&str> = texts.iter().map(String::as_str).collect();
    let record = pull(&store, "a", &[&layer]);
    let filler = directory.join("filler");
    // Where the pack itself has no room, and where only what comes behind it has none.
    let (mut refused, mut not_begun) = (0, 0);
    for left_bytes in [64 * 1024, 200 * 1024, 340 * 1024, 360 * 1024, 380 * 1024, 400 * 1024] {
        fill(&filler, left_bytes);
        let before = snapshot(&path);
        match store.convert(&record, ObjectForm::Packs, &()) {
            Ok(_) => {
                std::fs::remove_file(&filler).unwrap();
                store.set_image(&record).unwrap();
                gc(&store);
            }
            Err(error) => {
                std::fs::remove_file(&filler).unwrap();
                match error {
                    Error::NoSpace { .. } => refused += 1,
                    // What cannot fit by its size alone is not begun.
                    Error::NoRoom { needed_bytes, free_bytes, .. } => {
                        assert!(needed_bytes > free_bytes);
                        not_begun += 1;
                    }
                    other => panic!("{other}"),
                }
                let names = |files: &[(PathBuf, Vec<u8>)]| -> Vec<_> {
                    files
                        .iter()
                        .map(|(path, _)| path.clone())
                        .filter(|path| path.starts_with("refs"))
                        .collect()
                };
                assert_eq!(names(&snapshot(&path)), names(&before));
                assert_eq!(store.image("a").unwrap(), Some(record.clone()));
                assert_clean(&store);
                gc(&store);
                assert_eq!(std::fs::read_dir(path.join("tmp")).unwrap().count(), 0);
            }
        }
    }
    assert!(refused > 0 && not_begun > 0, "{refused} refused, {not_begun} not begun");
    let packed = store.convert(&record, ObjectForm::Packs, &()).unwrap().record;
    assert_clean(&store);
    gc(&store);
    // And back.
    for (left_bytes, is_begun) in [(100 * 1024, false), (340 * 1024, true)] {
        fill(&filler, left_bytes);
        let error = store.convert(&packed, ObjectForm::Files, &()).unwrap_err();
        let expected = match is_begun {
            true => matches!(error, Error::NoSpace { .. }),
            false => matches!(error, Error::NoRoom { .. }),
        };
        assert!(expected, "{error}");
        std::fs::remove_file(&filler).unwrap();
    }
    assert_eq!(store.image("a").unwrap(), Some(packed));
    assert_clean(&store);
}

#[test]
#[ignore = "needs a small filesystem, which another test mounts"]
fn fill_up_with_history() {
    let directory = PathBuf::from(std::env::var_os(PATH).unwrap());
    let store = Store::create(directory.join("store"), Algorithm::Sha256).unwrap();
    let before = pull(&store, "a", &[&["x"]]);
    let mut named = pull(&store, "b", &[&["y"]]);
    named.name = "a".into();
    let accepted = Accepted {
        seal: Some(kept(format!("{:2999}}}", "{").as_bytes())),
        epochs: vec![epoch_for("a", 7)],
        ..Accepted::default()
    };
    let filler = directory.join("filler");
    let mut refused = 0;
    for left_bytes in (0..).step_by(4096) {
        fill(&filler, left_bytes);
        let published = store.stage().and_then(|staging| staging.publish_with(&named, &accepted));
        std::fs::remove_file(&filler).unwrap();
        let Err(error) = published else { break };
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        refused += 1;
        assert_eq!(store.image("a").unwrap(), Some(before.clone()));
        assert_eq!(store.history("a").unwrap(), []);
        assert!(store.epoch("a").unwrap().is_none_or(|known| known.epoch == 7));
        // Whole, or not there.
        assert!(read_seal(&store, &named).unwrap().is_none_or(|seal| seal.len() == 3000));
    }
    assert!(refused > 1, "refused {refused} times");
    assert_eq!(store.history("a").unwrap(), std::slice::from_ref(&before));
    assert_eq!(store.epoch("a").unwrap().unwrap().epoch, 7);
    write_seal(&store, &named, b"{}").unwrap();
    assert_clean(&store);
    assert_eq!(std::fs::read_dir(store.path().join("tmp")).unwrap().count(), 0);
}

#[test]
#[ignore = "needs a small filesystem, which another test mounts"]
fn read_only() {
    let mount = PathBuf::from(std::env::var_os(PATH).unwrap());
    let path = mount.join("store");
    let record = pull(&Store::create(&path, Algorithm::Sha256).unwrap(), "a", &[&["x"]]);
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&mount).status().unwrap();
    assert!(status.success());
    let store = Store::open(&path).unwrap();
    assert_eq!(store.images().unwrap().records, std::slice::from_ref(&record));
    store.verify_metadata_image(&record.metadata_image).unwrap();
    assert_clean(&store);
    for error in [
        store.stage().map(drop).unwrap_err(),
        store.set_image(&record).unwrap_err(),
        store.remove_image("a").map(drop).unwrap_err(),
        store.partial(&record.config).map(drop).unwrap_err(),
        Store::create(mount.join("other"), Algorithm::Sha256).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
        assert!(error.to_string().ends_with("its filesystem is read-only"), "{error}");
    }
}
