//! Tar streams.

use sealpack_format::tar::{Error, Event, Limits, Member, Reader};

/// However a stream is cut into pieces, the same members come out of it, with as many bytes as they say.
pub(crate) fn check(bytes: &[u8]) {
    let whole = read(bytes, usize::MAX);
    for piece_bytes in [1, 511, 4096] {
        assert_eq!(whole, read(bytes, piece_bytes));
    }
}

/// A member and its content: its length, a sum of its data, and where its holes end.
#[derive(Debug, PartialEq)]
struct Read {
    member: Member,
    length: u64,
    sum: u64,
}

fn read(bytes: &[u8], piece_bytes: usize) -> (Vec<Read>, Result<(), Error>) {
    let limits = Limits { hole_bytes: 1 << 40, ..Limits::default() };
    let (mut reader, mut found) = (Reader::new(limits), Vec::new());
    for mut piece in bytes.chunks(piece_bytes.min(bytes.len().max(1))) {
        loop {
            match reader.next(&mut piece) {
                Ok(Event::NeedInput) => break,
                Ok(Event::End) => {
                    assert!(piece.len() <= piece_bytes);
                    if piece.is_empty() {
                        break;
                    }
                }
                Ok(event) => add(&mut found, event),
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, reader.finish())
}

fn add(found: &mut Vec<Read>, event: Event<'_>) {
    if let Event::Member(member) = event {
        return found.push(Read { member, length: 0, sum: 0 });
    }
    let last = found.last_mut().expect("a member comes before its content");
    match event {
        Event::Data(data) => {
            assert!(!data.is_empty());
            for byte in data {
                last.sum = last.sum.wrapping_mul(31).wrapping_add(u64::from(*byte)).wrapping_add(last.length);
                last.length += 1;
            }
        }
        Event::Hole(length) => {
            assert!(length > 0);
            last.length += length;
        }
        _ => assert_eq!(last.length, last.member.size, "a member is as long as it says"),
    }
}
