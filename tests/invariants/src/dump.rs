//! The composefs dump format.

use sealpack_format::dump::{self, Builder, Mode};
use sealpack_format::erofs::{FormatVersion, Image, write_metadata_image};
use sealpack_format::tree::Tree;

/// A tree that was accepted is written as a dump that the strict mode accepts and that gives the same dump again.
/// Whether a dump comes whole or in pieces makes no difference. An image of the tree reads back as the tree.
pub(crate) fn check(bytes: &[u8]) {
    let lenient = dump::parse(bytes, Mode::Lenient);
    let strict = dump::parse(bytes, Mode::Strict);
    if let Ok(tree) = &strict {
        let lenient = lenient.as_ref().expect("what the strict mode takes, the lenient one takes too");
        assert_eq!(written(tree), written(lenient));
    }
    assert_eq!(in_pieces(bytes).map(|tree| written(&tree)), strict.map(|tree| written(&tree)));
    let Ok(tree) = lenient else { return };
    let text = written(&tree);
    let again = dump::parse(&text, Mode::Strict).expect("a dump that we wrote is a good one");
    assert_eq!(text, written(&again));
    for version in [FormatVersion::V0, FormatVersion::V1] {
        let mut image = Vec::new();
        // A tree may have what an image cannot: then nothing may have been written.
        if write_metadata_image(&tree, version, &mut image).is_err() {
            assert!(image.is_empty());
            continue;
        }
        let read =
            Image::open(&image).and_then(|image| image.to_tree()).expect("an image that we wrote is good");
        let mut second = Vec::new();
        write_metadata_image(&read, version, &mut second).expect("what was read from an image fits into one");
        assert!(image == second, "another image came of what was read from the first");
    }
}

/// The dump of `tree`.
pub(crate) fn written(tree: &Tree) -> Vec<u8> {
    let mut text = Vec::new();
    dump::write(tree, &mut text).expect("writing to memory does not fail");
    text
}

fn in_pieces(bytes: &[u8]) -> Result<Tree, dump::DumpError> {
    let mut builder = Builder::new(Mode::Strict);
    for piece in bytes.chunks(7) {
        builder.push(piece)?;
    }
    builder.finish()
}
