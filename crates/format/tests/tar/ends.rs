//! Where archives end, and where streams are cut.

use sealpack_format::tar::{Limits, Reader};

use crate::builder::{Block, END, long, pax, read, read_chunks, refusal};

fn file(name: &[u8]) -> Vec<u8> {
    Block::ustar(name, b'0', 3).with(b"abc")
}

fn paths(reader: Reader, archive: &[u8]) -> Vec<String> {
    let outcome = read_chunks(reader, [archive]);
    outcome.result.unwrap();
    outcome.files.iter().map(crate::builder::File::path).collect()
}

#[test]
fn what_follows_the_end_of_the_archive_is_taken_and_ignored() {
    let plain = Reader::new(Limits::default());
    assert_eq!(paths(plain, &[file(b"a"), END.to_vec(), vec![0; 10240]].concat()), ["a"]);
    let plain = Reader::new(Limits::default());
    assert_eq!(paths(plain, &[file(b"a"), END.to_vec(), b"anything".to_vec()].concat()), ["a"]);
    let outcome = read_chunks(Reader::new(Limits::default()), [&END[..], &[0; 7], b"x"]);
    assert!(outcome.ended && outcome.files.is_empty());
}

#[test]
fn of_concatenated_archives_the_first_is_read_or_all_when_asked_for() {
    let archive = [file(b"a"), END.to_vec(), vec![0; 512], file(b"b"), END.to_vec()].concat();
    assert_eq!(paths(Reader::new(Limits::default()), &archive), ["a"]);
    let all = Reader::new(Limits::default()).ignoring_zeros();
    assert_eq!(paths(all, &archive), ["a", "b"]);
}

#[test]
fn an_archive_may_end_without_its_blocks_of_zeros() {
    for archive in [vec![], file(b"a"), [file(b"a"), vec![0; 512]].concat(), END.to_vec()] {
        assert!(read(&archive).is_ok());
    }
    let archive = file(b"a");
    for padding in 0..509 {
        assert_eq!(read(&archive[..archive.len() - padding]).unwrap().len(), 1);
    }
}

#[test]
fn a_single_block_of_zeros_is_refused() {
    assert_eq!(
        refusal(&[file(b"a"), vec![0; 512], file(b"b")].concat()),
        "tar stream at byte 1024: a single block of zeros is followed by something else; an archive ends with two"
    );
}

#[test]
fn a_cut_stream_is_refused_with_the_member_that_it_cuts() {
    let archive = [file(b"a"), file(b"usr/bin/x")].concat();
    assert_eq!(
        refusal(&archive[..514]),
        "tar member \"a\" at byte 0: the stream ends in the middle of it, at byte 514"
    );
    assert_eq!(
        refusal(&archive[..1538]),
        "tar member \"usr/bin/x\" at byte 1024: the stream ends in the middle of it, at byte 1538"
    );
}

#[test]
fn every_cut_of_a_stream_is_refused_unless_it_is_between_members() {
    let archive = [
        pax(b'x', &[("path", b"long/name")]),
        file(b"a"),
        long(b'L', b"other"),
        Block::gnu(b"b", b'0', 600).with(&[1; 600]),
        Block::gnu(b"d", b'5', 0).done(),
    ]
    .concat();
    let (first, second, third) = (1024 + 512 + 3, 2048 + 1024 + 512 + 600, archive.len());
    for cut in 0..archive.len() {
        let between = cut == 0 || (first..=2048).contains(&cut) || (second..=third - 512).contains(&cut);
        assert_eq!(read(&archive[..cut]).is_ok(), between, "cut at {cut}");
    }
}

#[test]
fn an_extended_header_without_a_member_is_refused() {
    let message = "tar member \"PaxHeaders/x\" at byte 1024: \
        its extended header is not followed by the member that it describes";
    let archive = [file(b"a"), pax(b'x', &[("path", b"b")])].concat();
    assert_eq!(refusal(&archive), message);
    assert_eq!(refusal(&[archive.clone(), END.to_vec()].concat()), message);
    assert_eq!(refusal(&[archive, long(b'L', b"b"), END.to_vec()].concat()), message);
    assert!(read(&[file(b"a"), pax(b'g', &[("comment", b"b")]), END.to_vec()].concat()).is_ok());
}
