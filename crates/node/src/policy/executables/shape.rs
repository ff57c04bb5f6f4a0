//! What a file is by how it begins.

/// How much of a file tells what it is: the kernel reads 256 bytes for `#!` (`BINPRM_BUF_SIZE`),
/// and a program's headers with its loader's path are in the first page.
pub const HEAD_BYTES: usize = 4096;

/// How much of a script's first line the kernel reads.
const SCRIPT_LINE_BYTES: usize = 256;

/// What a file is to somebody who executes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// An ELF file.
    Elf(Elf),
    /// A file that begins with `#!` and an interpreter.
    Script(Script),
    /// Anything else.
    Other,
}

/// An ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// Whether it is a program or a library, which are mapped to be executed. Object files, kernel
    /// modules and core dumps are not.
    pub is_mapped: bool,
    /// The dynamic loader's path (`PT_INTERP`).
    pub loader: Option<Vec<u8>>,
}

/// A script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The path after `#!`.
    pub interpreter: Vec<u8>,
    /// The rest of the line, which the interpreter gets as one argument.
    pub argument: Option<Vec<u8>>,
}

impl Shape {
    /// What a file is that begins with `head`: its first [`HEAD_BYTES`], or all of it.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let script = || script(head).map(Self::Script);
        elf(head).map(Self::Elf).or_else(script).unwrap_or(Self::Other)
    }

    /// The word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Elf(Elf { loader: Some(_), .. }) => "program",
            Self::Elf(_) => "elf",
            Self::Script(_) => "script",
            Self::Other => "other",
        }
    }
}

/// As fs/binfmt_script.c reads it.
fn script(head: &[u8]) -> Option<Script> {
    let start = head.get(..SCRIPT_LINE_BYTES).unwrap_or(head).strip_prefix(b"#!")?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let ends = |byte: &u8| matches!(byte, b'\n' | 0);
    let end = start.iter().position(ends);
    // Without an end, an interpreter's path that fills the rest may go on: the kernel refuses that.
    let is_cut = end.is_none() && head.len() >= SCRIPT_LINE_BYTES;
    let line = start.get(..end.unwrap_or(start.len())).unwrap_or_default();
    let first = line.iter().position(|byte| !is_blank(byte))?;
    let line = line.get(first..).unwrap_or_default();
    let length = line.iter().position(is_blank);
    if is_cut && length.is_none() {
        return None;
    }
    let (interpreter, rest) = line.split_at(length.unwrap_or(line.len()));
    let rest = trim(rest, is_blank);
    Some(Script { interpreter: interpreter.to_vec(), argument: (!rest.is_empty()).then(|| rest.to_vec()) })
}

fn trim(bytes: &[u8], is_blank: impl Fn(&u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

const ET_EXEC: u64 = 2;
const ET_DYN: u64 = 3;
const PT_INTERP: u64 = 3;

/// The System V ABI's "ELF Header" and "Program Header", as far as it matters here.
fn elf(head: &[u8]) -> Option<Elf> {
    let identity = head.strip_prefix(b"\x7fELF")?;
    let is_64 = *identity.first()? == 2;
    let fields = Fields { head, is_big_endian: *identity.get(1)? == 2 };
    let kind = fields.number(16, 2)?;
    let is_mapped = matches!(kind, ET_EXEC | ET_DYN);
    Some(Elf { is_mapped, loader: if is_mapped { fields.loader(is_64) } else { None } })
}

struct Fields<'a> {
    head: &'a [u8],
    is_big_endian: bool,
}

impl<'a> Fields<'a> {
    /// The unsigned number in `length` bytes at `offset`.
    fn number(&self, offset: usize, length: usize) -> Option<u64> {
        let bytes = self.head.get(offset..offset.checked_add(length)?)?;
        let shift = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.is_big_endian { bytes.iter().fold(0, shift) } else { bytes.iter().rev().fold(0, shift) })
    }

    fn place(&self, offset: usize, length: usize) -> Option<usize> {
        usize::try_from(self.number(offset, length)?).ok()
    }

    fn loader(&self, is_64: bool) -> Option<Vec<u8>> {
        // Where the header says where program headers are, how long each is, how many there are,
        // and where such a header has its segment's offset and length; and the length of addresses.
        let (table, entry, count, offset, length, word) =
            if is_64 { (32, 54, 56, 8, 32, 8) } else { (28, 42, 44, 4, 16, 4) };
        let (start, size) = (self.place(table, word)?, self.place(entry, 2)?);
        let headers =
            (0..self.place(count, 2)?).map_while(|index| start.checked_add(index.checked_mul(size)?));
        for header in headers.take_while(|header| *header < self.head.len()) {
            if self.number(header, 4)? == PT_INTERP {
                let from = self.place(header.checked_add(offset)?, word)?;
                let to = from.checked_add(self.place(header.checked_add(length)?, word)?)?;
                let path: &'a [u8] = self.head.get(from..to)?;
                return path
                    .split(|byte| *byte == 0)
                    .next()
                    .filter(|path| !path.is_empty())
                    .map(<[u8]>::to_vec);
            }
        }
        None
    }
}
