//! Sparse files in their four forms.

use sealpack_format::tar::Limits;

use crate::builder::{Block, END, File, Piece, padded, pax, read, read_one, read_within, refusal};

/// An old GNU header with the map `entries`, of which the first four stand in the header itself.
fn old(name: &[u8], size: u64, entries: &[(u64, u64)], data: &[u8]) -> Vec<u8> {
    let field = |number: u64| format!("{number:011o}\0");
    let bytes = |entries: &[(u64, u64)]| -> Vec<u8> {
        entries
            .iter()
            .flat_map(|(offset, length)| [field(*offset), field(*length)].concat().into_bytes())
            .collect()
    };
    let (first, rest) = entries.split_at(entries.len().min(4));
    let extended = u8::from(!rest.is_empty());
    let mut archive = Block::gnu(name, b'S', data.len() as u64)
        .set(386, &bytes(first))
        .set(482, &[extended])
        .set(483, field(size).as_bytes())
        .done();
    let mut chunks = rest.chunks(21).peekable();
    while let Some(chunk) = chunks.next() {
        let mut block = padded(&bytes(chunk));
        block[504] = u8::from(chunks.peek().is_some());
        archive.extend(block);
    }
    [archive, padded(data)].concat()
}

fn pieces(archive: &[u8]) -> Vec<Piece> {
    read_one(archive).pieces
}

fn data(text: &[u8]) -> Piece {
    Piece::Data(text.to_vec())
}

#[test]
fn an_old_gnu_map_in_the_header_is_followed() {
    let archive = old(b"s", 25, &[(2, 5), (18, 3)], b"abcdefgh");
    let file = read_one(&archive);
    assert_eq!(file.member.size, 25);
    assert_eq!(file.pieces, [Piece::Hole(2), data(b"abcde"), Piece::Hole(11), data(b"fgh"), Piece::Hole(4)]);
    assert_eq!(pieces(&old(b"s", 3, &[(0, 3), (3, 0)], b"abc")), [data(b"abc")]);
    assert_eq!(pieces(&old(b"s", 7, &[(7, 0)], b"")), [Piece::Hole(7)]);
    assert_eq!(pieces(&old(b"s", 0, &[], b"")), []);
}

#[test]
fn an_old_gnu_map_goes_on_in_further_blocks() {
    for count in [4, 5, 25, 26, 100] {
        let entries: Vec<(u64, u64)> = (0..count).map(|n| (n * 1024 + 512, 512)).collect();
        let content = vec![9; count as usize * 512];
        let archive =
            [old(b"s", count * 1024, &entries, &content), Block::gnu(b"next", b'0', 0).done()].concat();
        let files = read(&archive).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].pieces.len(), count as usize * 2);
        assert_eq!(files[0].content(), [[0; 512], [9; 512]].concat().repeat(count as usize));
    }
}

/// A member in PAX form that has `records` and `body` behind its header.
fn posix(records: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let member = Block::ustar(b"GNUSparseFile.1/s", b'0', body.len() as u64).with(body);
    [pax(b'x', records), member, Block::ustar(b"next", b'0', 0).done(), END.to_vec()].concat()
}

fn sparse_of(archive: &[u8]) -> File {
    let mut files = read(archive).unwrap();
    assert_eq!(files.len(), 2);
    assert_eq!(files[1].path(), "next");
    files.remove(0)
}

#[test]
fn version_0_0_has_a_record_for_each_number() {
    let archive = posix(
        &[
            ("GNU.sparse.size", b"12"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"2"),
            ("GNU.sparse.numbytes", b"3"),
            ("GNU.sparse.offset", b"7"),
            ("GNU.sparse.numbytes", b"1"),
        ],
        b"abcd",
    );
    let file = sparse_of(&archive);
    assert_eq!((file.path().as_str(), file.member.size), ("GNUSparseFile.1/s", 12));
    assert_eq!(file.pieces, [Piece::Hole(2), data(b"abc"), Piece::Hole(2), data(b"d"), Piece::Hole(4)]);
}

#[test]
fn version_0_1_has_a_list() {
    let archive = posix(
        &[
            ("GNU.sparse.name", b"dir/s"),
            ("GNU.sparse.size", b"12"),
            ("GNU.sparse.numblocks", b"3"),
            ("GNU.sparse.map", b"2,3,7,1,12,0"),
        ],
        b"abcd",
    );
    let file = sparse_of(&archive);
    assert_eq!((file.path().as_str(), file.member.size), ("dir/s", 12));
    assert_eq!(file.pieces, [Piece::Hole(2), data(b"abc"), Piece::Hole(2), data(b"d"), Piece::Hole(4)]);
}

/// A version 1.0 member of `size` bytes with `map` before `content`.
fn version_1(size: &[u8], map: &[u8], content: &[u8]) -> Vec<u8> {
    let records: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"dir/s"),
        ("GNU.sparse.realsize", size),
    ];
    posix(records, &[padded(map), content.to_vec()].concat())
}

#[test]
fn version_1_0_has_its_map_before_the_data() {
    let file = sparse_of(&version_1(b"12", b"2\n2\n3\n7\n1\n", b"abcd"));
    assert_eq!((file.path().as_str(), file.member.size), ("dir/s", 12));
    assert_eq!(file.pieces, [Piece::Hole(2), data(b"abc"), Piece::Hole(2), data(b"d"), Piece::Hole(4)]);
    assert_eq!(sparse_of(&version_1(b"9", b"0\n", b"")).pieces, [Piece::Hole(9)]);
    let entries: String = (0..500).map(|n| format!("{}\n512\n", n * 1024)).collect();
    let file = sparse_of(&version_1(b"512000", format!("500\n{entries}").as_bytes(), &[8; 500 * 512]));
    assert_eq!(file.content(), [[8; 512], [0; 512]].concat().repeat(500));
}

#[test]
fn a_pax_size_is_that_of_the_archived_data() {
    let member = old(b"s", 25, &[(2, 5), (18, 3)], b"abcdefgh");
    let mut wrong = member.clone();
    wrong[124..135].copy_from_slice(b"00000077777");
    crate::builder::seal(&mut wrong, 0);
    assert!(refusal(&wrong).ends_with("its sparse map covers 8 bytes of data, but the archive has 32767"));
    let archive = [pax(b'x', &[("size", b"8")]), wrong].concat();
    assert_eq!(read_one(&archive).content(), read_one(&member).content());
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    let problem = |archive: &[u8]| {
        let message = refusal(archive);
        message.split_once("its sparse map ").map(|(_, problem)| problem.to_owned()).ok_or(message).unwrap()
    };
    let order = "has regions that overlap or are not in order";
    let beyond = "has a region beyond the end of the file";
    assert_eq!(problem(&old(b"s", 25, &[(2, 5), (6, 3)], b"abcdefgh")), order);
    assert_eq!(problem(&old(b"s", 25, &[(18, 3), (2, 5)], b"abcdefgh")), order);
    assert_eq!(problem(&old(b"s", 20, &[(2, 5), (18, 3)], b"abcdefgh")), beyond);
    assert_eq!(problem(&old(b"s", 20, &[(21, 0)], b"")), beyond);
    assert_eq!(
        problem(&old(b"s", 25, &[(2, 5)], b"abcdefgh")),
        "covers 5 bytes of data, but the archive has 8"
    );
    assert_eq!(
        problem(&old(b"s", 25, &[(2, 9)], b"abcdefgh")),
        "covers 9 bytes of data, but the archive has 8"
    );
    assert_eq!(problem(&version_1(b"9", b"1\n18446744073709551615\n1\n", b"")), "is malformed");
    assert_eq!(problem(&version_1(b"9", b"1\n9223372036854775807\n9223372036854775807\n", b"")), beyond);
    assert_eq!(problem(&version_1(b"9", b"1\n0\n", b"")), "is malformed");
    assert_eq!(problem(&version_1(b"9", b"\n", b"")), "is malformed");
    assert_eq!(problem(&version_1(b"9", b"1\n-1\n1\n", b"")), "is malformed");
    assert_eq!(problem(&version_1(b"9", &[b'0'; 2048], b"")), "is malformed");
    let size: (&str, &[u8]) = ("GNU.sparse.size", b"9");
    let with = |key: &str, value: &[u8]| problem(&posix(&[size, (key, value)], b""));
    assert_eq!(with("GNU.sparse.map", b"1"), "is malformed");
    assert_eq!(with("GNU.sparse.map", b"1,"), "is malformed");
    assert_eq!(with("GNU.sparse.map", b"1,2,"), "is malformed");
    assert_eq!(with("GNU.sparse.offset", b"1"), "is malformed");
    assert_eq!(with("GNU.sparse.numbytes", b"1"), "is malformed");
    assert_eq!(with("GNU.sparse.realsize", b""), "is malformed");
    assert_eq!(with("GNU.sparse.numblocks", b"1"), "has another number of regions than it states");
    assert_eq!(with("GNU.sparse.major", b"2"), "is of an unknown version");
    assert_eq!(problem(&posix(&[("GNU.sparse.map", b"0,1")], b"x")), "comes without the size of the file");
    let directory = [pax(b'x', &[size]), Block::ustar(b"d", b'5', 0).done()].concat();
    assert_eq!(problem(&directory), "belongs to something that is not a regular file");
    let twice = [pax(b'x', &[size]), old(b"s", 9, &[], b"")].concat();
    assert_eq!(problem(&twice), "is there twice, in the header and in PAX records");
    let negative =
        Block::gnu(b"s", b'S', 0).set(386, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff00000000000\0");
    assert_eq!(problem(&negative.done()), "is malformed");
}

#[test]
fn the_number_of_regions_is_limited() {
    let limits = Limits { sparse_regions: 5, ..Limits::default() };
    let message = |archive: &[u8]| read_within(limits, archive).unwrap_err().to_string();
    let entries: Vec<(u64, u64)> = (0..6).map(|n| (n * 2, 1)).collect();
    assert!(read_within(limits, &old(b"s", 12, &entries[..5], b"abcde")).is_ok());
    assert!(message(&old(b"s", 12, &entries, b"abcdef")).ends_with("it has more than 5 sparse regions"));
    assert!(message(&version_1(b"9", b"6\n", b"")).ends_with("it has more than 5 sparse regions"));
    assert!(message(&version_1(b"9", b"9223372036854775807\n", b"")).ends_with("more than 5 sparse regions"));
    let list: &[(&str, &[u8])] = &[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,0,0,0,0,0,0,0,0,0,0,0")];
    assert!(message(&posix(list, b"")).ends_with("it has more than 5 sparse regions"));
}

#[test]
fn holes_are_limited_over_the_whole_stream() {
    let limits = Limits { hole_bytes: 100, ..Limits::default() };
    let hole = |size| old(b"s", size, &[], b"");
    assert!(read_within(limits, &[hole(50), hole(50)].concat()).is_ok());
    let message = read_within(limits, &[hole(50), hole(51)].concat()).unwrap_err().to_string();
    assert_eq!(
        message,
        "tar member \"s\" at byte 512: it has more than 100 bytes of holes, those of earlier members counted"
    );
    let largest = version_1(b"9223372036854775807", b"0\n", b"");
    assert!(refusal(&largest).ends_with("bytes of holes, those of earlier members counted"));
}
