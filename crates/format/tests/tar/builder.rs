//! Archives from single blocks, and a loop that reads them and checks what holds for every stream.

use sealpack_format::tar::{Error, Event, Limits, Member, MemberKind, Reader};

/// The two blocks of zeros that end an archive.
pub(crate) const END: [u8; 1024] = [0; 1024];

/// A header block.
#[derive(Clone)]
pub(crate) struct Block([u8; 512]);

impl Block {
    /// A header without magic.
    pub(crate) fn v7(name: &[u8], typeflag: u8, size: u64) -> Self {
        Self([0; 512])
            .set(0, name)
            .set(100, b"0000640\0")
            .set(108, b"0001750\0")
            .set(116, b"0000144\0")
            .set(124, format!("{size:011o}\0").as_bytes())
            .set(136, b"12345670123\0")
            .set(156, &[typeflag])
    }

    pub(crate) fn ustar(name: &[u8], typeflag: u8, size: u64) -> Self {
        Self::v7(name, typeflag, size).set(257, b"ustar\x0000")
    }

    pub(crate) fn gnu(name: &[u8], typeflag: u8, size: u64) -> Self {
        Self::v7(name, typeflag, size).set(257, b"ustar  \0")
    }

    pub(crate) fn link(self, target: &[u8]) -> Self {
        self.set(157, target)
    }

    pub(crate) fn set(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The block with its checksum, the sum of `value` of each byte.
    pub(crate) fn summed(mut self, value: fn(u8) -> i32) -> Vec<u8> {
        self.0[148..156].fill(b' ');
        let sum: i32 = self.0.iter().map(|byte| value(*byte)).sum();
        self.set(148, format!("{sum:06o}\0 ").as_bytes()).0.to_vec()
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.summed(i32::from)
    }

    /// The block and `data` behind it.
    pub(crate) fn with(self, data: &[u8]) -> Vec<u8> {
        [self.done(), padded(data)].concat()
    }
}

/// Makes the checksum of the header block at `at` right.
pub(crate) fn seal(archive: &mut [u8], at: usize) {
    if let Some(block) = archive.get_mut(at..at + 512) {
        let sealed = Block(block.try_into().unwrap()).done();
        block.copy_from_slice(&sealed);
    }
}

/// `data` up to a full block.
pub(crate) fn padded(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    data.resize(data.len().next_multiple_of(512), 0);
    data
}

/// One PAX record.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// An extended header with `records`.
pub(crate) fn pax(typeflag: u8, records: &[(&str, &[u8])]) -> Vec<u8> {
    let records: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    Block::ustar(b"PaxHeaders/x", typeflag, records.len() as u64).with(&records)
}

/// A GNU long name (`L`) or link (`K`).
pub(crate) fn long(typeflag: u8, name: &[u8]) -> Vec<u8> {
    let name = [name, b"\0"].concat();
    Block::gnu(b"././@LongLink", typeflag, name.len() as u64).with(&name)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Data(Vec<u8>),
    Hole(u64),
}

/// A member with its contents, neighbouring runs of data joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) member: Member,
    pub(crate) pieces: Vec<Piece>,
}

impl File {
    pub(crate) fn path(&self) -> String {
        self.member.path.escape_ascii().to_string()
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        let mut content = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Data(bytes) => content.extend_from_slice(bytes),
                Piece::Hole(count) => content.resize(content.len() + *count as usize, 0),
            }
        }
        content
    }
}

/// What a stream turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) files: Vec<File>,
    /// Whether the last of the files is complete.
    pub(crate) complete: bool,
    pub(crate) ended: bool,
    pub(crate) result: Result<(), Error>,
}

/// Reads a stream that comes in `chunks`, and checks what the reader promises for any stream.
pub(crate) fn read_chunks<'a>(mut reader: Reader, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut outcome = Outcome { files: Vec::new(), complete: true, ended: false, result: Ok(()) };
    let mut fed = 0;
    for chunk in chunks {
        let mut input = chunk;
        loop {
            let event = reader.next(&mut input);
            let taken = fed + (chunk.len() - input.len()) as u64;
            assert_eq!(reader.position(), taken, "the position counts the bytes taken");
            match event {
                Ok(Event::NeedInput) => break,
                Ok(event) => outcome.take(event),
                Err(error) => {
                    assert_eq!(reader.next(&mut input).as_ref(), Err(&error), "errors are repeated");
                    assert_eq!(reader.finish().as_ref(), Err(&error));
                    outcome.result = Err(error);
                    return outcome;
                }
            }
        }
        assert!(input.is_empty(), "all input was taken");
        fed += chunk.len() as u64;
    }
    outcome.result = reader.finish();
    assert!(outcome.complete || outcome.result.is_err(), "no member is cut in silence");
    outcome
}

impl Outcome {
    fn take(&mut self, event: Event<'_>) {
        assert!(!self.ended, "nothing comes behind the end");
        if let Event::Member(member) = event {
            assert!(self.complete, "members come one after the other");
            assert!(!member.path.is_empty() && !member.path.contains(&0));
            assert!(member.permissions <= 0o7777);
            assert!(member.mtime.nanoseconds < 1_000_000_000);
            self.complete = false;
            self.files.push(File { member, pieces: Vec::new() });
            return;
        }
        if event == Event::End {
            assert!(self.complete, "the archive ends between members");
            self.ended = true;
            return;
        }
        assert!(!self.complete, "contents belong to a member");
        let File { member, pieces } = self.files.last_mut().unwrap();
        match event {
            Event::Data(bytes) => {
                assert!(!bytes.is_empty());
                assert_eq!(member.kind, MemberKind::Regular);
                match pieces.last_mut() {
                    Some(Piece::Data(data)) => data.extend_from_slice(bytes),
                    _ => pieces.push(Piece::Data(bytes.to_vec())),
                }
            }
            Event::Hole(count) => {
                assert!(count > 0);
                assert!(!matches!(pieces.last(), Some(Piece::Hole(_))), "holes are not cut");
                pieces.push(Piece::Hole(count));
            }
            _ => {
                let length = |piece: &Piece| match piece {
                    Piece::Data(bytes) => bytes.len() as u64,
                    Piece::Hole(count) => *count,
                };
                assert_eq!(pieces.iter().map(length).sum::<u64>(), member.size);
                self.complete = true;
            }
        }
    }
}

/// Reads `archive` in one piece with the usual limits.
pub(crate) fn read(archive: &[u8]) -> Result<Vec<File>, Error> {
    read_within(Limits::default(), archive)
}

pub(crate) fn read_within(limits: Limits, archive: &[u8]) -> Result<Vec<File>, Error> {
    let outcome = read_chunks(Reader::new(limits), [archive]);
    outcome.result.map(|()| outcome.files)
}

/// Reads `archive`, which has one member.
pub(crate) fn read_one(archive: &[u8]) -> File {
    let mut files = read(archive).unwrap();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// Reads `archive`, which is refused, and gives the message.
pub(crate) fn refusal(archive: &[u8]) -> String {
    read(archive).unwrap_err().to_string()
}
