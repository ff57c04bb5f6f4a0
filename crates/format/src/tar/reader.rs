use std::vec;

use super::error::{Error, ErrorKind};
use super::header::{BLOCK_BYTES, Block, Header, sparse_block, until_nul};
use super::member::{Body, Described, Extensions, describe, path};
use super::pax::{Pax, Scope};
use super::sparse::{MapReader, Region, SparseMap};
use super::{Event, Limits, Member};

/// Reads one tar stream. See the [module](super).
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    ignore_zeros: bool,
    stream: Stream,
    state: State,
    /// The headers that wait for their member.
    extensions: Extensions,
    /// What the global extended headers said so far.
    global: Pax,
    /// How many bytes of holes may still come.
    hole_bytes: u64,
    /// The member that is being read, for errors.
    current: Position,
    failed: Option<Error>,
}

#[derive(Debug, Default)]
struct Position {
    name: Vec<u8>,
    offset: u64,
}

impl Position {
    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(Some(&self.name), self.offset, kind)
    }
}

#[derive(Debug)]
enum State {
    /// At a block that is a header or zeros.
    Header,
    /// Behind a block of zeros.
    SecondZero,
    /// In an extended header.
    Extension(Extension),
    /// At a block of an old GNU sparse map.
    OldSparse(Box<Mapless<SparseMap>>),
    /// At a block of a version 1.0 sparse map.
    MapInData(Box<Mapless<MapReader>>),
    /// In a member's contents.
    Contents(Contents),
    /// In padding, or in something that nobody wants: so many bytes are left of it.
    Skip(u64),
    /// Behind the end of the archive.
    Ended,
}

/// An extended header on its way in.
#[derive(Debug)]
struct Extension {
    typeflag: u8,
    left: u64,
    padding: u64,
    bytes: Vec<u8>,
}

/// A sparse file whose map is not complete.
#[derive(Debug)]
struct Mapless<M> {
    member: Member,
    map: M,
    /// Bytes left of the map (if it counts as data) and the data.
    archived: u64,
    padding: u64,
}

/// The contents of a member, as far as they have not been handed out.
#[derive(Debug)]
struct Contents {
    /// Bytes of the hole that comes first.
    hole: u64,
    /// Bytes of data that come then.
    data: u64,
    regions: vec::IntoIter<Region>,
    /// Where the hole and the data end in the file.
    end: u64,
    size: u64,
    /// Bytes to skip in the archive after the member.
    behind: u64,
}

impl Reader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            hole_bytes: limits.hole_bytes,
            limits,
            ignore_zeros: false,
            stream: Stream { position: 0, block: [0; BLOCK_BYTES], filled: 0 },
            state: State::Header,
            extensions: Extensions::default(),
            global: Pax::default(),
            current: Position::default(),
            failed: None,
        }
    }

    /// Reads on after blocks of zeros instead of ending there, as `tar --ignore-zeros` does: the
    /// members of all archives in a concatenation. [`Event::End`] never comes then.
    #[must_use]
    pub fn ignoring_zeros(mut self) -> Self {
        self.ignore_zeros = true;
        self
    }

    /// Takes bytes from the front of `input` (advancing it) and says what comes next. The same bytes
    /// give the same events however they are cut into inputs, save that runs of data are cut with them.
    ///
    /// # Errors
    /// A malformed or truncated member, or one beyond the [`Limits`]. The reader does not go on after
    /// an error: it repeats it.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Event<'a>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance(input);
        self.failed = result.as_ref().err().cloned();
        result
    }

    /// Says that the stream ends here. The end is fine between members, with or without the blocks of
    /// zeros that should be there, and in the padding behind the last member.
    ///
    /// # Errors
    /// A stream that ends in a header or a member; the error of [`next`](Self::next), if there was one.
    pub fn finish(self) -> Result<(), Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let truncated = ErrorKind::Truncated { end: self.stream.position };
        match self.state {
            State::Ended => Ok(()),
            State::Header | State::SecondZero if self.stream.filled > 0 => {
                Err(Error::new(None, self.stream.block_offset(), truncated))
            }
            State::Header | State::SecondZero => self.no_extension_left(),
            State::Skip(left) if left < BLOCK_LENGTH => self.no_extension_left(),
            _ => Err(self.current.error(truncated)),
        }
    }

    /// How many bytes were taken from the stream.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.stream.position
    }

    fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Result<Event<'a>, Error> {
        loop {
            let event = match &mut self.state {
                State::Contents(contents) => match contents.next(&mut self.stream, input) {
                    Some(event) => Some(event),
                    None => {
                        self.state = State::Skip(contents.behind);
                        Some(Event::MemberEnd)
                    }
                },
                State::Skip(left) => {
                    let skipped = self.stream.take(input, *left);
                    *left = left.saturating_sub(length(skipped));
                    let event = (*left > 0).then_some(Event::NeedInput);
                    if event.is_none() {
                        self.state = State::Header;
                    }
                    event
                }
                State::Extension(extension) => {
                    let bytes = self.stream.take(input, extension.left);
                    extension.left = extension.left.saturating_sub(length(bytes));
                    extension.bytes.extend_from_slice(bytes);
                    if extension.left > 0 {
                        return Ok(Event::NeedInput);
                    }
                    self.end_extension()?;
                    None
                }
                State::Ended => {
                    self.stream.take(input, u64::MAX);
                    Some(Event::NeedInput)
                }
                State::Header | State::SecondZero | State::OldSparse(_) | State::MapInData(_) => {
                    match self.stream.block(input) {
                        Some(block) => self.block(&block)?,
                        None => Some(Event::NeedInput),
                    }
                }
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// Takes a full block, in one of the states that wait for such.
    fn block(&mut self, block: &Block) -> Result<Option<Event<'static>>, Error> {
        match std::mem::replace(&mut self.state, State::Header) {
            State::Header if is_zero(block) => {
                self.no_extension_left()?;
                if !self.ignore_zeros {
                    self.state = State::SecondZero;
                }
                Ok(None)
            }
            State::Header => self.header(block),
            State::SecondZero if is_zero(block) => {
                self.state = State::Ended;
                Ok(Some(Event::End))
            }
            State::SecondZero => {
                let offset = self.stream.block_offset().saturating_sub(BLOCK_LENGTH);
                Err(Error::new(None, offset, ErrorKind::LoneZeroBlock))
            }
            State::OldSparse(mapless) => {
                self.old_sparse(mapless, block).map_err(|kind| self.current.error(kind))
            }
            State::MapInData(mapless) => {
                self.map_in_data(mapless, block).map_err(|kind| self.current.error(kind))
            }
            other => {
                self.state = other;
                Ok(None)
            }
        }
    }

    fn header(&mut self, block: &Block) -> Result<Option<Event<'static>>, Error> {
        let offset = self.stream.block_offset();
        let header = Header::parse(block).map_err(|kind| Error::new(None, offset, kind))?;
        self.current = Position { name: header.path(), offset };
        match header.typeflag() {
            b'x' | b'X' | b'g' | b'L' | b'K' => self.begin_extension(header),
            b'V' => self.skip_label(header),
            _ => return self.begin_member(header, offset),
        }
        .map(|()| None)
        .map_err(|kind| self.current.error(kind))
    }

    fn begin_extension(&mut self, header: &Header) -> Result<(), ErrorKind> {
        let left = header.size()?;
        let limit = u64::try_from(self.limits.extended_header_bytes).unwrap_or(u64::MAX);
        if left > limit {
            return Err(ErrorKind::Limit { what: "bytes in an extended header", limit });
        }
        let (typeflag, padding) = (header.typeflag(), padding(left));
        self.state = State::Extension(Extension { typeflag, left, padding, bytes: Vec::new() });
        Ok(())
    }

    fn end_extension(&mut self) -> Result<(), Error> {
        let State::Extension(extension) = std::mem::replace(&mut self.state, State::Header) else {
            return Ok(());
        };
        self.state = State::Skip(extension.padding);
        let bytes = extension.bytes;
        let name = || Some(until_nul(&bytes)).filter(|name| !name.is_empty()).map(<[u8]>::to_vec);
        match extension.typeflag {
            b'g' => {
                let applied = self.global.apply(&bytes, Scope::Global, &self.limits);
                return applied.map_err(|kind| self.current.error(kind));
            }
            b'L' => self.extensions.long_name = name(),
            b'K' => self.extensions.long_link = name(),
            _ => {
                let mut pax = self.global.clone();
                let applied = pax.apply(&bytes, Scope::Local, &self.limits);
                applied.map_err(|kind| self.current.error(kind))?;
                self.extensions.pax = Some(pax);
            }
        }
        if self.extensions.offset.is_none() {
            self.extensions.offset = Some(self.current.offset);
            self.extensions.name = std::mem::take(&mut self.current.name);
        }
        Ok(())
    }

    /// A volume's label is no member; it takes what was said about it along.
    fn skip_label(&mut self, header: &Header) -> Result<(), ErrorKind> {
        self.extensions = Extensions::default();
        self.state = State::Skip(padded(header.size()?));
        Ok(())
    }

    fn begin_member(&mut self, header: &Header, offset: u64) -> Result<Option<Event<'static>>, Error> {
        let mut extensions = std::mem::take(&mut self.extensions);
        self.current.offset = extensions.offset.unwrap_or(offset);
        let mut pax = extensions.pax.take().unwrap_or_else(|| self.global.clone());
        let path = path(header, &mut extensions, &mut pax, &self.limits);
        let path = path.map_err(|kind| self.current.error(kind))?;
        self.current.name.clone_from(&path);
        let described = describe(header, path, self.current.offset, &mut extensions, pax, &self.limits);
        let Described { member, body } = described.map_err(|kind| self.current.error(kind))?;
        match body {
            Body::Data(size) => Ok(Some(self.begin_contents(member, Contents::plain(size)))),
            Body::Ignored(size) => {
                let contents = Contents { behind: padded(size), ..Contents::plain(0) };
                Ok(Some(self.begin_contents(member, contents)))
            }
            Body::Sparse(map, archived) => self
                .begin_sparse(member, map, archived, padding(archived))
                .map_err(|kind| self.current.error(kind)),
            Body::OldSparse(map, archived) => {
                let padding = padding(archived);
                self.state = State::OldSparse(Box::new(Mapless { member, map, archived, padding }));
                Ok(None)
            }
            Body::MapInData(archived) => {
                let (map, padding) = (MapReader::default(), padding(archived));
                self.state = State::MapInData(Box::new(Mapless { member, map, archived, padding }));
                Ok(None)
            }
        }
    }

    fn begin_contents(&mut self, member: Member, contents: Contents) -> Event<'static> {
        self.state = State::Contents(contents);
        Event::Member(member)
    }

    fn begin_sparse(
        &mut self,
        member: Member,
        map: SparseMap,
        archived: u64,
        padding: u64,
    ) -> Result<Option<Event<'static>>, ErrorKind> {
        let size = member.size;
        let regions = map.finish(size, archived)?;
        self.hole_bytes =
            self.hole_bytes.checked_sub(size.saturating_sub(archived)).ok_or(ErrorKind::Limit {
                what: "bytes of holes, those of earlier members counted",
                limit: self.limits.hole_bytes,
            })?;
        let contents =
            Contents { hole: 0, data: 0, regions: regions.into_iter(), end: 0, size, behind: padding };
        Ok(Some(self.begin_contents(member, contents)))
    }

    fn old_sparse(
        &mut self,
        mut mapless: Box<Mapless<SparseMap>>,
        block: &Block,
    ) -> Result<Option<Event<'static>>, ErrorKind> {
        let block = sparse_block(block);
        mapless.map.push_block(&block, self.limits.sparse_regions)?;
        if block.is_extended {
            self.state = State::OldSparse(mapless);
            return Ok(None);
        }
        let Mapless { member, map, archived, padding } = *mapless;
        self.begin_sparse(member, map, archived, padding)
    }

    fn map_in_data(
        &mut self,
        mut mapless: Box<Mapless<MapReader>>,
        block: &Block,
    ) -> Result<Option<Event<'static>>, ErrorKind> {
        let counted = mapless.archived.checked_sub(BLOCK_LENGTH);
        mapless.archived = counted.ok_or(super::SparseProblem::Malformed)?;
        if !mapless.map.push_block(block, self.limits.sparse_regions)? {
            self.state = State::MapInData(mapless);
            return Ok(None);
        }
        let Mapless { member, map, archived, padding } = *mapless;
        self.begin_sparse(member, map.into_map(), archived, padding)
    }

    /// Checks that no extended header waits for a member.
    fn no_extension_left(&self) -> Result<(), Error> {
        match self.extensions.offset {
            Some(offset) => Err(Error::new(Some(&self.extensions.name), offset, ErrorKind::NoMember)),
            None => Ok(()),
        }
    }
}

impl Contents {
    fn plain(size: u64) -> Self {
        let regions = Vec::new().into_iter();
        Self { hole: 0, data: size, regions, end: size, size, behind: padding(size) }
    }

    /// The next piece, `None` if there is no more.
    fn next<'a>(&mut self, stream: &mut Stream, input: &mut &'a [u8]) -> Option<Event<'a>> {
        loop {
            if self.hole > 0 {
                return Some(Event::Hole(std::mem::take(&mut self.hole)));
            }
            if self.data > 0 {
                let bytes = stream.take(input, self.data);
                self.data = self.data.saturating_sub(length(bytes));
                return Some(if bytes.is_empty() { Event::NeedInput } else { Event::Data(bytes) });
            }
            let end = match self.regions.next() {
                Some(region) => {
                    self.data = region.length;
                    region.offset
                }
                None if self.end < self.size => self.size,
                None => return None,
            };
            self.hole = end.saturating_sub(self.end);
            self.end = end.saturating_add(self.data);
        }
    }
}

/// The position in the stream, and a block that is being gathered there.
#[derive(Debug)]
struct Stream {
    position: u64,
    block: Block,
    filled: usize,
}

impl Stream {
    /// At most `limit` bytes from the front of `input`.
    fn take<'a>(&mut self, input: &mut &'a [u8], limit: u64) -> &'a [u8] {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (taken, rest) = input.split_at_checked(limit).unwrap_or((*input, &[]));
        *input = rest;
        self.position = self.position.saturating_add(length(taken));
        taken
    }

    /// A full block, once there is one.
    fn block(&mut self, input: &mut &[u8]) -> Option<Block> {
        let free = self.block.get_mut(self.filled..).unwrap_or_default();
        let missing = free.len();
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((*input, &[]));
        *input = rest;
        if let Some(free) = free.get_mut(..taken.len()) {
            free.copy_from_slice(taken);
        }
        self.position = self.position.saturating_add(length(taken));
        if taken.len() < missing {
            self.filled = self.filled.saturating_add(taken.len());
            return None;
        }
        self.filled = 0;
        Some(self.block)
    }

    /// Where the block that is being gathered, or was just completed, starts.
    fn block_offset(&self) -> u64 {
        let gathered = if self.filled == 0 { BLOCK_LENGTH } else { u64::try_from(self.filled).unwrap_or(0) };
        self.position.saturating_sub(gathered)
    }
}

const BLOCK_LENGTH: u64 = 512;

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn is_zero(block: &Block) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Bytes between the end of `size` bytes and the next block.
const fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_LENGTH
}

fn padded(size: u64) -> u64 {
    size.saturating_add(padding(size))
}
