//! Any bytes at all, and archives with something changed in them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sealpack_format::tar::{Limits, Reader};

use crate::builder::{Block, END, long, padded, pax, read_chunks, seal};

/// Small enough for archives of a few kilobytes to come near each of them.
const LIMITS: Limits = Limits {
    path_bytes: 300,
    extended_header_bytes: 2048,
    xattrs: 4,
    xattr_value_bytes: 100,
    sparse_regions: 40,
    hole_bytes: 1 << 20,
};

/// A member of a kind of its own, in all the forms there are.
fn member() -> impl Strategy<Value = Vec<u8>> {
    let name = "[a-z]{1,20}(/[a-z]{1,20}){0,3}/?";
    let dialect = select(vec![Block::v7 as fn(&[u8], u8, u64) -> Block, Block::ustar, Block::gnu]);
    let data = vec(any::<u8>(), 0..2000);
    let plain = (name, dialect, data.clone())
        .prop_map(|(name, dialect, data)| dialect(name.as_bytes(), b'0', data.len() as u64).with(&data));
    let other = (name, select(b"123456\0D".to_vec()))
        .prop_map(|(name, typeflag)| Block::gnu(name.as_bytes(), typeflag, 0).link(name.as_bytes()).done());
    let long = (name, select(b"LK".to_vec()), 1..4_usize)
        .prop_map(|(name, typeflag, times)| long(typeflag, name.repeat(times).as_bytes()));
    let extended = (select(b"xg".to_vec()), vec(pax_record(), 0..5)).prop_map(|(typeflag, records)| {
        let records: Vec<(&str, &[u8])> =
            records.iter().map(|(key, value)| (*key, value.as_slice())).collect();
        pax(typeflag, &records)
    });
    prop_oneof![plain, other, long, extended, old_sparse(), new_sparse()]
}

fn pax_record() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let keys = vec![
        "uid",
        "gid",
        "mtime",
        "comment",
        "SCHILY.xattr.user.a",
        "SCHILY.xattr.user.b",
        "LIBARCHIVE.xattr.user.c",
    ];
    (select(keys), "[0-9]{2}|[0-9]{4}|[0-9]{7}").prop_map(|(key, value)| (key, value.into_bytes()))
}

/// Data and holes in turn, both of the lengths given.
fn regions(lengths: &[(u16, u16)]) -> (Vec<(u64, u64)>, u64, usize) {
    let (mut entries, mut end, mut data) = (Vec::new(), 0, 0);
    for (hole, length) in lengths {
        entries.push((end + u64::from(*hole), u64::from(*length)));
        end += u64::from(*hole) + u64::from(*length);
        data += usize::from(*length);
    }
    (entries, end, data)
}

fn old_sparse() -> impl Strategy<Value = Vec<u8>> {
    vec((0..600_u16, 0..600_u16), 0..30).prop_map(|lengths| {
        let (entries, end, data) = regions(&lengths);
        let field = |number: u64| format!("{number:011o}\0").into_bytes();
        let bytes: Vec<u8> =
            entries.iter().flat_map(|(offset, length)| [field(*offset), field(*length)].concat()).collect();
        let (first, rest) = bytes.split_at(bytes.len().min(96));
        let header = Block::gnu(b"sparse", b'S', data as u64)
            .set(386, first)
            .set(482, &[u8::from(!rest.is_empty())])
            .set(483, &field(end + 10));
        let mut archive = header.done();
        for (at, chunk) in rest.chunks(504).enumerate() {
            let mut block = padded(chunk);
            block[504] = u8::from((at + 1) * 504 < rest.len());
            archive.extend(block);
        }
        [archive, padded(&vec![b's'; data])].concat()
    })
}

fn new_sparse() -> impl Strategy<Value = Vec<u8>> {
    (vec((0..600_u16, 0..600_u16), 0..30), any::<bool>()).prop_map(|(lengths, in_data)| {
        let (entries, end, data) = regions(&lengths);
        let numbers = |separator: &str| {
            let pairs: Vec<String> =
                entries.iter().map(|(offset, length)| format!("{offset}{separator}{length}")).collect();
            pairs.join(separator)
        };
        let size = (end + 10).to_string();
        let content = vec![b's'; data];
        let (records, body): (Vec<(&str, Vec<u8>)>, Vec<u8>) = if in_data {
            let map = format!("{}\n{}\n", entries.len(), numbers("\n"));
            (
                vec![("GNU.sparse.major", b"1".to_vec()), ("GNU.sparse.minor", b"0".to_vec())],
                [padded(map.as_bytes()), content].concat(),
            )
        } else {
            (vec![("GNU.sparse.map", numbers(",").into_bytes())], content)
        };
        let mut all: Vec<(&str, &[u8])> = vec![("GNU.sparse.realsize", size.as_bytes())];
        all.extend(records.iter().map(|(key, value)| (*key, value.as_slice())));
        [pax(b'x', &all), Block::ustar(b"sparse", b'0', body.len() as u64).with(&body)].concat()
    })
}

/// An archive that is right in itself, and where its blocks with a checksum are.
fn archive() -> impl Strategy<Value = Vec<u8>> {
    vec(member(), 0..8).prop_map(|members| {
        let last = Block::ustar(b"last", b'0', 0).done();
        [members.concat(), last, END.to_vec()].concat()
    })
}

/// `bytes` in pieces that end where `cuts` say.
fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.push(bytes.len());
    places.sort_unstable();
    let mut from = 0;
    places.iter().map(|to| &bytes[std::mem::replace(&mut from, *to)..*to]).collect()
}

/// Changes a byte and, as nothing behind a wrong checksum is looked at, puts the checksum of the block right.
fn change(archive: &mut [u8], at: Index, byte: u8) {
    let at = at.index(archive.len());
    let block = at / 512 * 512;
    let was_header = archive[block..].starts_with(b"\0") || {
        let mut copy = archive.to_vec();
        seal(&mut copy, block);
        copy[block + 148..block + 155] == archive[block + 148..block + 155]
    };
    archive[at] = byte;
    if was_header {
        seal(archive, block);
    }
}

/// Reads `bytes` twice, in one piece and in many, with all the checks of [`read_chunks`].
fn read_both_ways(limits: Limits, bytes: &[u8], cuts: &[Index]) {
    let whole = read_chunks(Reader::new(limits), [bytes]);
    let pieces = read_chunks(Reader::new(limits), cut(bytes, cuts));
    assert_eq!(whole, pieces);
    let bytewise = read_chunks(Reader::new(limits).ignoring_zeros(), bytes.chunks(1));
    assert!(!bytewise.ended);
    for file in whole.files.iter().chain(&bytewise.files) {
        assert!(file.member.path.len() <= limits.path_bytes);
        assert!(file.member.xattrs.len() <= limits.xattrs);
        assert!(file.member.xattrs.iter().all(|(_, value)| value.len() <= limits.xattr_value_bytes));
        assert!(file.pieces.len() <= limits.sparse_regions * 2 + 1);
    }
    let data = |piece: &crate::builder::Piece| match piece {
        crate::builder::Piece::Data(bytes) => bytes.len(),
        crate::builder::Piece::Hole(_) => 0,
    };
    let all: usize = whole.files.iter().flat_map(|file| &file.pieces).map(data).sum();
    assert!(all <= bytes.len(), "nothing is made up");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_events_come_however_the_stream_is_cut(
        archive in archive(),
        cuts in vec(any::<Index>(), 0..50),
    ) {
        read_both_ways(LIMITS, &archive, &cuts);
        let usual = read_chunks(Reader::new(Limits::default()), [archive.as_slice()]);
        prop_assert_eq!(&usual.result, &Ok(()));
        prop_assert!(usual.ended);
        prop_assert!(!usual.files.is_empty());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..4096), cuts in vec(any::<Index>(), 0..20)) {
        read_both_ways(LIMITS, &bytes, &cuts);
    }

    #[test]
    fn any_header_is_read_or_refused(
        bytes in vec(any::<u8>(), 512..4096),
        typeflag in select(b"01234567DLKVSxXg\0".to_vec()),
        magic in select(vec![&b"ustar\x0000"[..], b"ustar  \0", b""]),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let mut bytes = bytes;
        bytes[124..136].copy_from_slice(b"00000001000\0");
        bytes[156] = typeflag;
        bytes[257..257 + magic.len()].copy_from_slice(magic);
        seal(&mut bytes, 0);
        read_both_ways(LIMITS, &bytes, &cuts);
    }

    #[test]
    fn changed_archives_are_read_or_refused(
        archive in archive(),
        changes in vec((any::<Index>(), any::<u8>()), 1..6),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let mut archive = archive;
        for (at, byte) in changes {
            change(&mut archive, at, byte);
        }
        read_both_ways(LIMITS, &archive, &cuts);
    }

    #[test]
    fn cut_and_spliced_archives_are_read_or_refused(
        first in archive(),
        second in archive(),
        (from, to) in any::<(Index, Index)>(),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let spliced = [&first[..from.index(first.len())], &second[to.index(second.len())..]].concat();
        read_both_ways(LIMITS, &spliced, &cuts);
        let blocks = [&first[..from.index(first.len()) / 512 * 512], &second[to.index(second.len()) / 512 * 512..]];
        read_both_ways(LIMITS, &blocks.concat(), &cuts);
    }
}
