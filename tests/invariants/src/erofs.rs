//! Metadata images.

use sealpack_format::erofs::{FormatVersion, Image, write_metadata_image};
use sealpack_format::tree::Tree;

/// What is accepted as an image of ours can be walked. Its tree, written as an image, comes back as it was: in the
/// version that the image is of at once; in the other, where whiteouts can look like something else, from the second
/// time on.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(image) = Image::open(bytes) else { return };
    for found in image.walk() {
        let Ok(found) = found else { return };
        if let Ok(xattrs) = found.inode.xattrs() {
            xattrs.for_each(drop);
        }
    }
    image.objects().for_each(drop);
    let Ok(tree) = image.to_tree() else { return };
    let text = crate::dump::written(&tree);
    let mut is_same = Vec::new();
    for version in [FormatVersion::V0, FormatVersion::V1] {
        let Some(once) = through_an_image(&tree, version) else { continue };
        let twice = through_an_image(&once, version).expect("what was read from an image fits into one");
        let once = crate::dump::written(&once);
        assert_eq!(once, crate::dump::written(&twice));
        is_same.push(once == text);
    }
    assert!(is_same.is_empty() || is_same.contains(&true), "no version gives the same tree again");
}

/// The tree that an image of `tree` has, `None` when it cannot be written as one.
fn through_an_image(tree: &Tree, version: FormatVersion) -> Option<Tree> {
    let mut bytes = Vec::new();
    write_metadata_image(tree, version, &mut bytes).ok()?;
    let read = Image::open(&bytes).and_then(|image| image.to_tree());
    Some(read.expect("an image that we wrote is good"))
}
