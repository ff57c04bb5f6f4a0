//! The vectors of composefs's own tests, read in place where they are.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sealpack_format::dump::{self, Mode};
use sealpack_format::erofs::{FormatVersion, write_metadata_image};
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

fn image(tree: &Tree, version: FormatVersion) -> Vec<u8> {
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
        let image = image(&tree, version(&directory, &name, &tree));
        let stated = fs::read_to_string(directory.join(format!("{name}.sha256"))).unwrap();
        assert_eq!(sha256(&image), stated.split_whitespace().next().unwrap(), "{name}");
    }
}
