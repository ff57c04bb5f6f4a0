use std::collections::BTreeSet;

use sealpack_format::dump::{Mode, parse};
use sealpack_format::erofs::{FormatVersion, Image, write_metadata_image};

use super::{dump, ls, objects};

const DIGEST: &str = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";

fn image_of(dump: &str, version: FormatVersion) -> Vec<u8> {
    let mut bytes = Vec::new();
    let tree = parse(dump.as_bytes(), Mode::Lenient).unwrap();
    write_metadata_image(&tree, version, &mut bytes).unwrap();
    bytes
}

fn text(write: impl FnOnce(&mut Vec<u8>) -> Result<(), super::ListingError>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn sample() -> String {
    format!(
        "/ 0 40755 2 0 0 0 5.000000007 - - - security.selinux=s trusted.overlay.x=1\n\
         /a\\x20b 0 40755 2 1 2 0 -3.0 - - -\n\
         /a\\x20b/link 3 120777 1 0 0 0 5.0 x\\x20y - -\n\
         /a\\x20b/z 0 @100644 2 0 0 0 5.0 /file - -\n\
         /dash 1 100644 1 0 0 0 5.0 - \\x2d -\n\
         /dev 0 20600 1 0 0 259 5.0 - - -\n\
         /file 5000 100644 2 0 0 0 5.0 ab/{rest} - {DIGEST} security.selinux=s user.a\\x3d=\\x3d\n\
         /gone 0 20644 1 0 0 0 5.0 - - -\n",
        rest = &DIGEST[2..]
    )
}

#[test]
fn a_dump_has_sizes_of_directories_and_links_to_the_first_path_and_no_marks() {
    let bytes = image_of(&sample(), FormatVersion::V1);
    let dumped = text(|out| dump(&Image::open(&bytes).unwrap(), None, out));
    // As C composefs-info 1.0.8 prints it.
    let expected = format!(
        "/ 4096 40755 3 0 0 0 5.7 - - - trusted.overlay.opaque=x trusted.overlay.x=1 user.overlay.opaque=x \
         security.selinux=s\n\
         /a\\x20b 56 40755 2 1 2 0 -3.0 - - -\n\
         /a\\x20b/link 3 120777 1 0 0 0 5.0 x\\x20y - -\n\
         /a\\x20b/z 5000 100644 2 0 0 0 5.0 ab/{rest} - {DIGEST} user.a\\x3d=\\x3d security.selinux=s\n\
         /dash 1 100644 1 0 0 0 5.0 - \\x2d -\n\
         /dev 0 20600 1 0 0 259 5.0 - - -\n\
         /file 5000 @100644 2 0 0 0 5.0 /a\\x20b/z - {DIGEST} user.a\\x3d=\\x3d security.selinux=s\n\
         /gone 0 20644 1 0 0 0 5.0 - - -\n",
        rest = &DIGEST[2..]
    );
    assert_eq!(dumped, expected);
}

#[test]
fn link_counts_that_lie_do_not_hide_hard_links() {
    let lying = sample().replace(" 100644 2 0 0 0 5.0 ab/", " 100644 1 0 0 0 5.0 ab/");
    let bytes = image_of(&lying, FormatVersion::V1);
    let dumped = text(|out| dump(&Image::open(&bytes).unwrap(), None, out));
    assert!(dumped.contains("/file 5000 @100644 1 0 0 0 5.0 /a\\x20b/z - "), "{dumped}");
}

#[test]
fn what_is_dumped_makes_the_same_image_again() {
    for version in [FormatVersion::V0, FormatVersion::V1] {
        // A link whose target comes first: otherwise the image is another one, as with C.
        let dumped = sample().replace("/z 0 @100644 2 0 0 0 5.0 /file", "/z 0 100644 1 0 0 0 5.0 -");
        let bytes = image_of(&dumped, version);
        let dumped = text(|out| dump(&Image::open(&bytes).unwrap(), None, out));
        assert_eq!(image_of(&dumped, version), bytes);
    }
}

#[test]
fn a_listing_marks_directories_links_and_objects_and_leaves_blanks() {
    let bytes = image_of(&sample(), FormatVersion::V1);
    let image = Image::open(&bytes).unwrap();
    let object = format!("ab/{}", &DIGEST[2..]);
    let expected = format!("/a b/\t\n/a b/link\t-> x\\x20y\n/a b/z\t@ {object}\n/dash\n/dev\n/file\n/gone\n");
    assert_eq!(text(|out| ls(&image, None, out)), expected);
    assert_eq!(text(|out| ls(&image, Some(&[b"dash", b"link"]), out)), "/dash\n");
    let mut paths = BTreeSet::new();
    objects(&image, None, &mut paths).unwrap();
    assert_eq!(paths, BTreeSet::from([object.into_bytes()]));
    let mut paths = BTreeSet::new();
    objects(&image, Some(&[b"dash"]), &mut paths).unwrap();
    assert!(paths.is_empty());
}
