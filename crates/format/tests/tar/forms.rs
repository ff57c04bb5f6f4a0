//! Members in every form that they come in.

use sealpack_format::tar::MemberKind;
use sealpack_format::tree::{Time, Xattrs};

use crate::builder::{Block, END, long, padded, pax, read, read_one};

/// The modification time that [`Block`] writes.
const MTIME: i64 = 0o12345670123;

#[test]
fn a_v7_header_is_read_with_all_its_fields() {
    let archive = [Block::v7(b"dir/file", 0, 5).set(100, b"0104755 ").with(b"hello"), END.to_vec()].concat();
    let file = read_one(&archive);
    assert_eq!(file.member.path, b"dir/file");
    assert_eq!(file.member.kind, MemberKind::Regular);
    assert_eq!(file.member.permissions, 0o4755);
    assert_eq!((file.member.uid, file.member.gid), (1000, 100));
    assert_eq!(file.member.mtime, Time { seconds: MTIME, nanoseconds: 0 });
    assert_eq!((file.member.size, file.member.offset), (5, 0));
    assert_eq!(file.member.xattrs, Xattrs::default());
    assert_eq!(file.content(), b"hello");
}

#[test]
fn names_of_full_length_need_no_nul() {
    let (name, target) = ([b'n'; 100], [b't'; 100]);
    let file = read_one(&Block::v7(&name, b'2', 0).link(&target).done());
    assert_eq!(file.member.path, name);
    assert_eq!(file.member.kind, MemberKind::Symlink(target.to_vec()));
}

#[test]
fn a_slash_at_the_end_makes_a_directory_where_there_is_no_typeflag_for_one() {
    let kind = |block: Block| read_one(&block.done()).member.kind;
    assert_eq!(kind(Block::v7(b"dir/", 0, 0)), MemberKind::Directory);
    assert_eq!(kind(Block::v7(b"dir/", b'0', 0)), MemberKind::Directory);
    assert_eq!(kind(Block::ustar(b"dir/", 0, 0)), MemberKind::Directory);
    assert_eq!(kind(Block::ustar(b"dir/", b'0', 0)), MemberKind::Regular);
    assert_eq!(kind(Block::v7(b"dir", b'5', 0)), MemberKind::Directory);
    let long_name =
        [long(b'L', &[&[b'd'; 120][..], b"/"].concat()), Block::gnu(b"ddd", 0, 0).done()].concat();
    assert_eq!(read_one(&long_name).member.kind, MemberKind::Directory);
}

#[test]
fn the_prefix_of_posix_and_star_comes_before_the_name() {
    let prefix = [b'p'; 155];
    let file = read_one(&Block::ustar(b"name", b'0', 0).set(345, &prefix).done());
    assert_eq!(file.member.path, [&prefix[..], b"/name"].concat());
    let star = Block::ustar(b"name", b'0', 0).set(345, &prefix[..131]).set(476, b"12345670123 12345670123 ");
    let file = read_one(&star.set(508, b"tar\0").done());
    assert_eq!(file.member.path, [&prefix[..131], b"/name"].concat());
}

#[test]
fn the_times_of_a_gnu_header_are_not_a_prefix() {
    let times = Block::gnu(b"name", b'0', 0).set(345, b"12345670123\0").set(357, b"12345670123\0");
    assert_eq!(read_one(&times.done()).member.path, b"name");
    let binary = Block::gnu(b"name", b'0', 0).set(345, &[0xff; 12]).set(357, b"12345670123\0");
    assert_eq!(read_one(&binary.done()).member.path, b"name");
}

#[test]
fn the_prefix_that_old_docker_wrote_into_gnu_headers_is_one() {
    let file = read_one(&Block::gnu(b"name", b'0', 0).set(345, b"usr/share/doc").done());
    assert_eq!(file.member.path, b"usr/share/doc/name");
    let file = read_one(&Block::gnu(b"name", b'0', 0).set(345, b"\xfeusr/share/doc").done());
    assert_eq!(file.member.path, b"name");
}

#[test]
fn long_names_and_links_of_gnu_replace_those_of_the_header() {
    let (path, target) = (b"d/".repeat(2000), b"t".repeat(3000));
    let member = Block::gnu(b"d/d/d", b'2', 0).link(b"ttt").done();
    for archive in [
        [long(b'L', &path), long(b'K', &target), member.clone()].concat(),
        [long(b'K', &target), long(b'L', &path), member.clone()].concat(),
    ] {
        let file = read_one(&archive);
        assert_eq!(file.member.path, path);
        assert_eq!(file.member.kind, MemberKind::Symlink(target.clone()));
        assert_eq!(file.member.offset, 0);
    }
    let files = read(&[long(b'L', &path), member.clone(), member].concat()).unwrap();
    assert_eq!(files[1].path(), "d/d/d");
    assert_eq!(files[1].member.offset, 512 + 4096 + 512);
}

#[test]
fn every_type_is_told_from_the_others() {
    let kind = |block: Block| read_one(&block.done()).member.kind;
    assert_eq!(kind(Block::ustar(b"a", b'1', 0).link(b"b")), MemberKind::HardLink(b"b".to_vec()));
    assert_eq!(kind(Block::ustar(b"a", b'2', 0).link(b"../b")), MemberKind::Symlink(b"../b".to_vec()));
    let device = |typeflag| Block::ustar(b"a", typeflag, 0).set(329, b"0000010\0").set(337, b"0000021\0");
    assert_eq!(kind(device(b'3')), MemberKind::CharDevice { major: 8, minor: 17 });
    assert_eq!(kind(device(b'4')), MemberKind::BlockDevice { major: 8, minor: 17 });
    assert_eq!(kind(Block::ustar(b"a", b'6', 0)), MemberKind::Fifo);
    assert_eq!(kind(Block::ustar(b"a", b'7', 0)), MemberKind::Regular);
    let v7 = Block::v7(b"a", b'3', 0).set(329, b"0000010\0");
    assert_eq!(kind(v7), MemberKind::CharDevice { major: 0, minor: 0 });
    let wide =
        [pax(b'x', &[("SCHILY.devmajor", b"259"), ("SCHILY.devminor", b"1048575")]), device(b'4').done()];
    assert_eq!(
        read_one(&wide.concat()).member.kind,
        MemberKind::BlockDevice { major: 259, minor: 1_048_575 }
    );
}

#[test]
fn a_size_in_what_has_no_contents_is_not_followed_by_data() {
    for typeflag in b"123456" {
        let archive = [
            Block::ustar(b"a", *typeflag, 4096).link(b"b").done(),
            Block::ustar(b"next", b'0', 0).done(),
            END.to_vec(),
        ];
        let files = read(&archive.concat()).unwrap();
        assert_eq!(files.len(), 2, "{typeflag}");
        assert_eq!((files[0].member.size, files[1].path().as_str()), (0, "next"));
        let no_number = Block::ustar(b"a", *typeflag, 0).link(b"b").set(124, b"nonsense");
        assert_eq!(read_one(&no_number.done()).member.size, 0);
    }
}

#[test]
fn volume_labels_and_lists_of_directories_are_skipped() {
    let archive = [
        Block::gnu(b"my backup", b'V', 0).done(),
        Block::gnu(b"dir/", b'D', 13).with(b"Yfile\0Dsub\0\0\0"),
        Block::gnu(b"dir/file", b'0', 1).with(b"x"),
        END.to_vec(),
    ];
    let files = read(&archive.concat()).unwrap();
    assert_eq!(files.iter().map(|file| file.path()).collect::<Vec<_>>(), ["dir/", "dir/file"]);
    assert_eq!(files[0].member.kind, MemberKind::Directory);
    assert_eq!(files[1].content(), b"x");
}

#[test]
fn numbers_in_base_256_are_read_large_and_negative() {
    let mtime = [&[0xff; 4][..], &(-1000_i64).to_be_bytes()].concat();
    let block = Block::gnu(b"a", b'0', 0)
        .set(108, b"\x80\0\0\0\xff\xff\xff\xfe")
        .set(116, b"\x80\0\0\0\0\x20\0\0")
        .set(124, b"\x80\0\0\0\0\0\0\0\0\0\x02\x01")
        .set(136, &mtime);
    let file = read_one(&block.with(&[7; 513]));
    assert_eq!((file.member.uid, file.member.gid), (u32::MAX - 1, 0x20_0000));
    assert_eq!(file.member.mtime, Time { seconds: -1000, nanoseconds: 0 });
    assert_eq!(file.content(), [7; 513]);
}

#[test]
fn a_checksum_of_signed_bytes_is_accepted_too() {
    let block = Block::v7("naïve".as_bytes(), b'0', 0);
    assert_eq!(read_one(&block.clone().summed(i32::from)).path(), "na\\xc3\\xafve");
    assert_eq!(read_one(&block.summed(|byte| i32::from(byte as i8))).path(), "na\\xc3\\xafve");
}

#[test]
fn a_pax_header_replaces_fields_of_the_next_member_only() {
    let path = "ä/".repeat(300) + "file";
    let records: &[(&str, &[u8])] = &[
        ("hdrcharset", b"BINARY"),
        ("comment", b"nothing\nto see"),
        ("path", path.as_bytes()),
        ("size", b"3"),
        ("uid", b"3000000000"),
        ("gid", b"70000"),
        ("mtime", b"-1.25"),
        ("atime", b"this is nobody's business"),
        ("VENDOR.key", b"\0\xff"),
    ];
    // What the header itself says of these is not even a number.
    let member =
        Block::ustar(b"file", b'0', 0).set(108, b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx").with(b"abc");
    let next = Block::ustar(b"next", b'0', 0).done();
    let files = read(&[next.clone(), pax(b'x', records), member, next].concat()).unwrap();
    assert_eq!(files[1].member.path, path.as_bytes());
    assert_eq!((files[1].member.uid, files[1].member.gid), (3_000_000_000, 70_000));
    assert_eq!(files[1].member.mtime, Time { seconds: -2, nanoseconds: 750_000_000 });
    assert_eq!((files[1].member.offset, files[1].content()), (512, b"abc".to_vec()));
    assert_eq!(files[2].path(), "next");
    assert_eq!((files[2].member.uid, files[2].member.mtime.seconds), (1000, MTIME));
}

#[test]
fn the_last_of_several_records_and_headers_counts() {
    let twice = pax(b'x', &[("path", b"a"), ("path", b"b")]);
    assert_eq!(read_one(&[twice.clone(), Block::ustar(b"c", b'0', 0).done()].concat()).path(), "b");
    let headers = [twice, pax(b'X', &[("uid", b"7")]), Block::ustar(b"c", b'0', 0).done()];
    let file = read_one(&headers.concat());
    assert_eq!((file.path().as_str(), file.member.uid), ("c", 7));
}

#[test]
fn a_long_name_counts_more_than_a_pax_path() {
    let member = Block::gnu(b"c", b'1', 0).link(b"c").done();
    let records = pax(b'x', &[("path", b"pax"), ("linkpath", b"pax")]);
    let file = read_one(&[long(b'L', b"gnu"), records, long(b'K', b"gnu"), member].concat());
    assert_eq!(file.path(), "gnu");
    assert_eq!(file.member.kind, MemberKind::HardLink(b"gnu".to_vec()));
}

#[test]
fn a_global_header_holds_until_another_and_gives_way_to_local_ones() {
    let member = |name: &[u8]| Block::ustar(name, b'0', 0).done();
    let archive = [
        member(b"before"),
        pax(b'g', &[("uid", b"5"), ("mtime", b"9.5"), ("SCHILY.xattr.user.a", b"1")]),
        member(b"global"),
        pax(b'x', &[("uid", b"6"), ("SCHILY.xattr.user.b", b"2")]),
        member(b"local"),
        pax(b'x', &[("uid", b""), ("mtime", b"")]),
        member(b"taken back"),
        pax(b'g', &[("uid", b"7")]),
        member(b"second"),
    ];
    let files = read(&archive.concat()).unwrap();
    let uids: Vec<u32> = files.iter().map(|file| file.member.uid).collect();
    assert_eq!(uids, [1000, 5, 6, 1000, 7]);
    let seconds: Vec<i64> = files.iter().map(|file| file.member.mtime.seconds).collect();
    assert_eq!(seconds, [MTIME, 9, 9, MTIME, 9]);
    let counts: Vec<usize> = files.iter().map(|file| file.member.xattrs.len()).collect();
    assert_eq!(counts, [0, 1, 2, 1, 1]);
    assert_eq!(files[2].member.offset, 512 + 1024 + 512);
}

#[test]
fn extended_attributes_are_read_in_both_notations() {
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let records: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.security.capability", capability),
        ("SCHILY.xattr.user.empty", b""),
        ("SCHILY.xattr.user.lines", b"a=b\nc\n"),
        ("SCHILY.xattr.user.a%3Db%25", b"escaped by GNU tar"),
        ("LIBARCHIVE.xattr.user.%C3%A4", b"AAECAw"),
        ("SCHILY.acl.access", b"user::rwx"),
        ("RHT.security.selinux", b"not an attribute"),
    ];
    let file = read_one(&[pax(b'x', records), Block::ustar(b"a", b'0', 0).done()].concat());
    let expected: [(&[u8], &[u8]); 5] = [
        (b"security.capability", capability),
        (b"user.a=b%", b"escaped by GNU tar"),
        (b"user.empty", b""),
        (b"user.lines", b"a=b\nc\n"),
        (b"user.\xc3\xa4", b"\0\x01\x02\x03"),
    ];
    assert_eq!(file.member.xattrs, expected.into_iter().collect());
}

#[test]
fn data_is_passed_on_without_a_copy() {
    use sealpack_format::tar::{Event, Limits, Reader};
    let archive = [Block::ustar(b"a", b'0', 700).with(&[1; 700]), END.to_vec()].concat();
    let mut reader = Reader::new(Limits::default());
    let mut input = archive.as_slice();
    assert!(matches!(reader.next(&mut input), Ok(Event::Member(_))));
    let Ok(Event::Data(bytes)) = reader.next(&mut input) else { panic!("data follows") };
    assert_eq!(bytes.as_ptr_range(), archive[512..1212].as_ptr_range());
}

#[test]
fn what_is_behind_the_nul_of_a_long_name_does_not_count() {
    let long = Block::gnu(b"././@LongLink", b'L', 9).with(b"name\0junk");
    assert_eq!(read_one(&[long, Block::gnu(b"x", b'0', 0).done()].concat()).path(), "name");
    let empty = Block::gnu(b"././@LongLink", b'L', 1).with(b"\0");
    assert_eq!(read_one(&[empty, Block::gnu(b"x", b'0', 0).done()].concat()).path(), "x");
    let nothing =
        [Block::ustar(b"PaxHeaders/x", b'x', 0).done(), padded(b""), Block::ustar(b"x", b'0', 0).done()];
    assert_eq!(read_one(&nothing.concat()).path(), "x");
}
