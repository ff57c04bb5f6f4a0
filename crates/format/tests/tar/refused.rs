//! What is refused, and how that is said.

use sealpack_format::tar::Limits;

use crate::builder::{Block, END, long, pax, read, read_within, refusal};

/// The message for a member called `a` after a PAX header with one record, without the place.
fn pax_refusal(key: &str, value: &[u8]) -> String {
    let message = refusal(&[pax(b'x', &[(key, value)]), Block::ustar(b"a", b'0', 0).done()].concat());
    message.split_once(": ").unwrap().1.to_owned()
}

#[test]
fn errors_name_the_member_and_the_byte_of_its_first_header() {
    let archive = [
        Block::ustar(b"first", b'0', 1).with(b"x"),
        long(b'L', b"usr/bin/\xffx"),
        Block::gnu(b"usr/bin/", b'0', 0).set(108, b"8888888\0").done(),
    ];
    assert_eq!(
        refusal(&archive.concat()),
        "tar member \"usr/bin/\\xffx\" at byte 1024: its uid is not a number"
    );
    let error = read(&archive.concat()).unwrap_err();
    assert_eq!((error.member(), error.offset()), (Some("usr/bin/\\xffx"), 1024));
    let archive = [long(b'L', &[b'x'; 5000]), Block::gnu(b"x", b'Q', 0).done()].concat();
    let shown = "x".repeat(255);
    assert_eq!(
        refusal(&archive),
        format!("tar member \"{shown}…\" at byte 0: its type 'Q' is not supported")
    );
}

#[test]
fn what_is_not_a_header_is_refused() {
    let message =
        "tar stream at byte 0: the header's checksum is wrong: this is not a tar stream, or it is damaged";
    assert_eq!(refusal(&[b'x'; 512]), message);
    assert_eq!(refusal(&[0x1f; 4096]), message);
    let mut header = Block::ustar(b"a", b'0', 0).done();
    header[0] = b'b';
    assert_eq!(refusal(&header), message);
    assert_eq!(
        refusal(&Block::ustar(b"a", b'0', 0).done()[..100]),
        "tar stream at byte 0: the stream ends in the middle of it, at byte 100"
    );
}

#[test]
fn types_that_no_layer_has_are_refused() {
    for typeflag in (1..=255_u8).filter(|flag| !b"01234567DLKVSxXg".contains(flag)) {
        let message = refusal(&Block::gnu(b"a", typeflag, 0).done());
        let expected = format!("its type '{}' is not supported", typeflag.escape_ascii());
        assert_eq!(message, format!("tar member \"a\" at byte 0: {expected}"));
    }
    assert!(refusal(&Block::ustar(b"a", b'S', 0).done()).ends_with("its type 'S' is not supported"));
}

#[test]
fn numbers_out_of_range_are_refused() {
    let message = |at, bytes: &[u8]| {
        let message = refusal(&Block::gnu(b"a", b'3', 0).set(at, bytes).done());
        message.strip_prefix("tar member \"a\" at byte 0: ").unwrap().to_owned()
    };
    assert_eq!(message(100, b"rwxr-xr-"), "its mode is not a number");
    assert_eq!(message(108, &[0xff; 8]), "its uid is out of range");
    assert_eq!(message(116, b"\x80\0\0\x01\0\0\0\0"), "its gid is out of range");
    assert_eq!(message(136, b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), "its mtime is out of range");
    assert_eq!(message(329, b"\x80\0\0\x01\0\0\0\0"), "its device number is out of range");
    assert_eq!(message(337, b"-1\0\0\0\0\0\0"), "its device number is not a number");
    let size = refusal(&Block::gnu(b"a", b'0', 0).set(124, &[0xff; 12]).done());
    assert_eq!(size, "tar member \"a\" at byte 0: its size is out of range");
    for typeflag in b"xgLKV" {
        let negative = refusal(&Block::gnu(b"a", *typeflag, 0).set(124, &[0xff; 12]).done());
        assert_eq!(negative, "tar member \"a\" at byte 0: its size is out of range");
    }
}

#[test]
fn values_of_pax_records_out_of_range_are_refused() {
    assert_eq!(pax_refusal("uid", b"4294967296"), "its uid is out of range");
    assert_eq!(pax_refusal("gid", b"-1"), "its gid is not a number");
    assert_eq!(pax_refusal("size", b"9223372036854775808"), "its size is out of range");
    assert_eq!(pax_refusal("size", b"0x10"), "its size is not a number");
    assert_eq!(pax_refusal("mtime", b"9223372036854775808"), "its mtime is out of range");
    assert_eq!(pax_refusal("mtime", b"yesterday"), "its mtime is not a number");
    assert_eq!(pax_refusal("path", b"a\0b"), "its path has a NUL byte");
    assert_eq!(pax_refusal("linkpath", b"\0"), "its link target has a NUL byte");
    assert_eq!(
        pax_refusal("GNU.volume.offset", b"512"),
        "its PAX record \"GNU.volume.offset\" is of a file that began on another volume"
    );
}

#[test]
fn extended_attributes_that_cannot_be_are_refused() {
    let name = format!("SCHILY.xattr.{}", "x".repeat(256));
    let message = pax_refusal(&name, b"");
    assert!(message.ends_with("has a name that no extended attribute can have"), "{message}");
    assert!(pax_refusal("SCHILY.xattr.", b"").ends_with("has a name that no extended attribute can have"));
    assert!(
        pax_refusal("LIBARCHIVE.xattr.a%00", b"").ends_with("has a name that no extended attribute can have")
    );
    assert_eq!(
        pax_refusal("LIBARCHIVE.xattr.user.a", b"a-b"),
        "its PAX record \"LIBARCHIVE.xattr.user.a\" is not in base64"
    );
    assert_eq!(
        pax_refusal("SCHILY.xattr.user.a", &[0; 65537]),
        "it has more than 65536 bytes in the value of an extended attribute"
    );
    assert!(
        read(
            &[pax(b'x', &[("SCHILY.xattr.user.a", &[0; 65536])]), Block::ustar(b"a", b'0', 0).done()]
                .concat()
        )
        .is_ok()
    );
}

#[test]
fn malformed_pax_records_are_refused_with_their_place() {
    let message = |records: &[u8]| {
        let archive = [
            Block::ustar(b"PaxHeaders/x", b'x', records.len() as u64).with(records),
            Block::ustar(b"a", b'0', 0).done(),
        ];
        let message = refusal(&archive.concat());
        message
            .strip_prefix("tar member \"PaxHeaders/x\" at byte 0: the PAX record at byte ")
            .unwrap()
            .to_owned()
    };
    assert_eq!(message(b"no length\n"), "0 of its extended header does not start with a length");
    assert_eq!(message(b"7 uid=1\n"), "0 of its extended header does not end with a newline where it states");
    assert_eq!(
        message(b"8 uid=1\n9 gid=1\n"),
        "8 of its extended header does not have the length that it states"
    );
    assert_eq!(message(b"8 uid 1\n"), "0 of its extended header has no equals sign");
    assert_eq!(message(b"8 uid=1\n\0\0"), "8 of its extended header does not start with a length");
    assert_eq!(message(b"5 =1\n"), "0 of its extended header has no key, or one with a NUL byte");
}

#[test]
fn a_global_header_cannot_speak_of_one_file() {
    for key in ["path", "linkpath", "size", "GNU.sparse.map"] {
        assert_eq!(
            refusal(&[pax(b'g', &[(key, b"1")]), Block::ustar(b"a", b'0', 0).done()].concat()),
            format!(
                "tar member \"PaxHeaders/x\" at byte 0: its PAX record \"{key}\" cannot hold for all members of an archive"
            )
        );
    }
}

#[test]
fn members_and_links_without_a_name_are_refused() {
    assert!(refusal(&Block::ustar(b"", b'0', 0).done()).ends_with("its path is empty"));
    assert!(refusal(&Block::ustar(b"a", b'1', 0).done()).ends_with("its link target is empty"));
    assert!(refusal(&Block::ustar(b"a", b'2', 0).done()).ends_with("its link target is empty"));
    assert!(
        refusal(&[pax(b'x', &[("path", b"")]), Block::ustar(b"", b'0', 0).done()].concat())
            .ends_with("its path is empty")
    );
}

#[test]
fn every_limit_is_kept() {
    let limits = Limits {
        path_bytes: 10,
        extended_header_bytes: 600,
        xattrs: 2,
        xattr_value_bytes: 4,
        ..Limits::default()
    };
    let message = |parts: &[Vec<u8>]| {
        let message = read_within(limits, &parts.concat()).unwrap_err().to_string();
        message.split_once(": ").unwrap().1.to_owned()
    };
    let member = || Block::gnu(b"a", b'2', 0).link(b"b").done();
    assert!(read_within(limits, &[long(b'L', b"0123456789"), member()].concat()).is_ok());
    assert_eq!(message(&[long(b'L', b"0123456789a"), member()]), "it has more than 10 bytes in a path");
    assert_eq!(message(&[long(b'K', b"0123456789a"), member()]), "it has more than 10 bytes in a path");
    assert_eq!(
        message(&[pax(b'x', &[("path", b"0123456789a")]), member()]),
        "it has more than 10 bytes in a path"
    );
    assert_eq!(
        message(&[long(b'L', &[b'a'; 600]), member()]),
        "it has more than 600 bytes in an extended header"
    );
    assert_eq!(
        message(&[pax(b'x', &[("comment", &[b'a'; 600])])]),
        "it has more than 600 bytes in an extended header"
    );
    assert_eq!(
        message(&[pax(b'g', &[("comment", &[b'a'; 600])])]),
        "it has more than 600 bytes in an extended header"
    );
    let two: &[(&str, &[u8])] =
        &[("SCHILY.xattr.a", b"1234"), ("SCHILY.xattr.b", b""), ("SCHILY.xattr.a", b"")];
    assert!(read_within(limits, &[pax(b'x', two), member()].concat()).is_ok());
    let third: &[(&str, &[u8])] = &[("SCHILY.xattr.c", b"")];
    assert_eq!(message(&[pax(b'g', two), pax(b'x', third)]), "it has more than 2 extended attributes");
    let long_value: &[(&str, &[u8])] = &[("SCHILY.xattr.c", b"12345")];
    assert_eq!(
        message(&[pax(b'x', long_value)]),
        "it has more than 4 bytes in the value of an extended attribute"
    );
}

#[test]
fn a_size_up_to_the_largest_does_not_overflow() {
    for size in [i64::MAX as u64, i64::MAX as u64 - 511, 1 << 62] {
        let archive = [
            pax(b'x', &[("size", size.to_string().as_bytes())]),
            Block::ustar(b"a", b'0', 0).done(),
            END.to_vec(),
        ];
        assert!(refusal(&archive.concat()).ends_with("the stream ends in the middle of it, at byte 2560"));
        let listing = [
            pax(b'x', &[("size", size.to_string().as_bytes())]),
            Block::gnu(b"a", b'D', 0).done(),
            END.to_vec(),
        ];
        assert!(refusal(&listing.concat()).ends_with("the stream ends in the middle of it, at byte 2560"));
    }
}
