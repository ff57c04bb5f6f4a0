//! The vectors of composefs's own tests, read in place where they are.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip"
)]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sealpack_format::dump::{self, Mode};
use sealpack_format::erofs::{FormatVersion, Image, write_metadata_image};
use sealpack_format::tree::Tree;
use sha2::{Digest, Sha256};

/// Dumps that only the lenient mode takes.
const LENIENT_ONLY: [&str; 3] = ["no-newline.dump", "longlink.dump", "honggfuzz-longlink-unterminated.dump"];

/// The directory of vectors, or `None` (visibly) where it is absent.
fn vectors(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/composefs-v1").join(part);
    if !path.is_dir() {
        println!("skipped: there are no vectors at {}", path.display());
        return None;
    }
    Some(path)
}

/// The dumps in a directory with their names.
fn dumps(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut dumps = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        if name.ends_with(".dump") {
            dumps.push((name, bytes));
        } else if name.ends_with(".dump.gz") {
            let mut inflated = Vec::new();
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut inflated).unwrap();
            dumps.push((name, inflated));
        }
    }
    assert!(!dumps.is_empty(), "there must be dumps in {}", directory.display());
    dumps.sort();
    dumps
}

fn image_of(tree: &Tree, version: FormatVersion) -> Vec<u8> {
    let mut image = Vec::new();
    let size = write_metadata_image(tree, version, &mut image).unwrap();
    assert_eq!(size, u64::try_from(image.len()).unwrap());
    image
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The version that a vector asks for, or the one that `mkcomposefs` would pick.
fn version(directory: &Path, name: &str, tree: &Tree) -> FormatVersion {
    match fs::read_to_string(directory.join(format!("{name}.version"))) {
        Ok(text) => FormatVersion::from_number(text.trim().parse().unwrap()).unwrap(),
        Err(_) => FormatVersion::lowest_for(tree),
    }
}

#[test]
fn every_accepted_vector_gives_the_stated_image() {
    let Some(directory) = vectors("accept") else { return };
    for (name, bytes) in dumps(&directory) {
        let lenient_only = LENIENT_ONLY.contains(&name.as_str());
        let strict = dump::parse(&bytes, Mode::Strict);
        assert_eq!(strict.is_err(), lenient_only, "{name}: {:?}", strict.err());
        let tree = dump::parse(&bytes, Mode::Lenient).unwrap_or_else(|error| panic!("{name}: {error}"));
        let image = image_of(&tree, version(&directory, &name, &tree));
        let stated = fs::read_to_string(directory.join(format!("{name}.sha256"))).unwrap();
        assert_eq!(sha256(&image), stated.split_whitespace().next().unwrap(), "{name}");
    }
}

#[test]
fn every_accepted_vector_survives_reading_and_dumping() {
    let Some(directory) = vectors("accept") else { return };
    for (name, bytes) in dumps(&directory) {
        let tree = dump::parse(&bytes, Mode::Lenient).unwrap();
        let version = version(&directory, &name, &tree);
        let image = image_of(&tree, version);
        let opened = Image::open(&image).unwrap();
        assert_eq!(opened.header().version, version, "{name}");
        let read = opened.to_tree().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(image_of(&read, version) == image, "{name}: another image from the tree that was read");
        let mut dump = Vec::new();
        dump::write(&read, &mut dump).unwrap();
        let again = dump::parse(&dump, Mode::Strict).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(image_of(&again, version) == image, "{name}: another image from the dump");
    }
}

#[test]
fn every_rejected_vector_is_refused_with_a_message_that_says_why() {
    let Some(directory) = vectors("reject") else { return };
    let reasons = [
        (
            "should-fail-big-inline.dump",
            "line 2: the inline content has 5004 bytes; at most 5000 can be inline",
        ),
        ("should-fail-dir-hardlink.dump", "line 2: a directory cannot be a hard link"),
        ("should-fail-dot-name.dump", "line 2: \".\" cannot be a file name: it is reserved"),
        ("should-fail-dotdot-name.dump", "line 2: \"..\" cannot be a file name: it is reserved"),
        ("should-fail-empty-link-name.dump", "line 2: a symbolic link needs its target as payload"),
        ("should-fail-empty-name.dump", "line 2: the path must start with a slash and have no empty names"),
        (
            "should-fail-empty-xattr-key.dump",
            "line 2: the name of an attribute must have 1 to 255 bytes, not 0",
        ),
        (
            "should-fail-honggfuzz-long-xattr.dump",
            "line 1: the attributes take more than 32767 bytes together",
        ),
        ("should-fail-long-link.dump", "line 2: the payload has 7248 bytes; at most 4095 are possible"),
        ("should-fail-long-xattr-key.dump", "line 2: the attributes take more than 32767 bytes together"),
        ("should-fail-long-xattr-value.dump", ""),
        ("should-fail-no-ftype.dump", "line 2: the mode 0 has no known file type"),
        ("should-fail-self-hardlink.dump", "line 2: the hard link to \"/037blockdev\" leads back to itself"),
        (
            "should-fail-too-big.dump",
            "line 2: the size 9500000000000000 is too large; files of more than 2^53 bytes cannot be described",
        ),
    ];
    for (name, bytes) in dumps(&directory) {
        for mode in [Mode::Strict, Mode::Lenient] {
            let error = dump::parse(&bytes, mode).expect_err(&name).to_string();
            let reason = reasons.iter().find(|(known, _)| *known == name);
            // Some lack the last newline too, which only strict mode minds.
            if let (Some((_, reason)), Mode::Lenient) = (reason, mode) {
                assert!(error.starts_with(reason), "{name}: {error}");
            }
        }
    }
}
