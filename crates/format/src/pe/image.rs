use std::mem::{offset_of, size_of};
use std::ops::Range;

use zerocopy::FromBytes;

use super::PeError;
use super::certificates;
use super::header::{
    CERTIFICATE_ALIGNMENT, CERTIFICATES_ENTRY, Directory, EFI_APPLICATION, FileHeader, MAGIC_32, MAGIC_64,
    OptionalHeader, PE_MAGIC, PE_OFFSET_AT, SectionHeader,
};

/// Zeros for the bytes between a file's end and its certificate table.
static ZEROS: [u8; CERTIFICATE_ALIGNMENT] = [0; CERTIFICATE_ALIGNMENT];

/// What a program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// x86-64.
    X86_64,
    /// AArch64.
    Aarch64,
    /// Another one, by its number in the specification.
    Other(u16),
}

impl Machine {
    const fn of_number(number: u16) -> Self {
        match number {
            0x8664 => Self::X86_64,
            0xaa64 => Self::Aarch64,
            other => Self::Other(other),
        }
    }
}

/// A section, as its header has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The name, without the zeros behind it; what is not UTF-8 in it is replaced.
    pub name: String,
    /// Where it is in memory, from the image's begin.
    pub memory: Range<u32>,
    /// Where its bytes are in the file, with those that align the end.
    pub file: Range<usize>,
}

/// A PE32+ image for EFI whose sections and signatures are within the file.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    bytes: &'a [u8],
    pub(super) optional_at: usize,
    pub(super) file_header_at: usize,
    pub(super) sections_at: usize,
    pub(super) optional: OptionalHeader,
    /// Where the entry of the certificate table is, and what it says.
    pub(super) table_entry_at: usize,
    pub(super) table: Range<usize>,
    machine: Machine,
    sections: Vec<Section>,
}

impl<'a> Image<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// Something else, another kind of PE, or one whose parts are not within the file or overlap.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PeError> {
        let file_header_at = file_header_at(bytes)?;
        let cut = |place: &str| PeError::CutOff { place: place.to_owned(), file_bytes: bytes.len() };
        let header: FileHeader = read(bytes, file_header_at).ok_or_else(|| cut("the file header"))?;
        let optional_at = end(file_header_at, size_of::<FileHeader>());
        let optional = optional_header(bytes, optional_at, &header)?;
        let directories_at = end(optional_at, size_of::<OptionalHeader>());
        let table_entry_at = end(directories_at, CERTIFICATES_ENTRY.saturating_mul(size_of::<Directory>()));
        let entry: Directory = read(bytes, table_entry_at).ok_or_else(|| cut("the data directories"))?;
        let table = certificates::table(&entry, bytes.len())?;
        let sections_at = end(optional_at, header.optional_header_bytes.get().into());
        let mut image = Self {
            bytes,
            optional_at,
            file_header_at,
            sections_at,
            optional,
            table_entry_at,
            table,
            machine: Machine::of_number(header.machine.get()),
            sections: Vec::new(),
        };
        image.read_sections(header.sections.get().into())?;
        certificates::entries(image.table_bytes())?;
        Ok(image)
    }

    fn read_sections(&mut self, count: usize) -> Result<(), PeError> {
        let headers_end = end(self.sections_at, count.saturating_mul(size_of::<SectionHeader>()));
        if headers_end > self.headers_bytes() || self.headers_bytes() > self.table.start {
            return Err(PeError::damaged("the headers are longer than they say, or than the file"));
        }
        for index in 0..count {
            let at = end(self.sections_at, index.saturating_mul(size_of::<SectionHeader>()));
            let header: SectionHeader = read(self.bytes, at).expect("the headers are within the file");
            self.sections.push(section(&header, self.table.start, self.bytes.len())?);
        }
        let mut in_file: Vec<_> = self.sections.iter().filter(|section| !section.file.is_empty()).collect();
        in_file.sort_by_key(|section| section.file.start);
        let mut free = self.headers_bytes();
        for section in in_file {
            if section.file.start < free {
                return Err(PeError::damaged(format!("the section {} begins within another", section.name)));
            }
            free = section.file.end;
        }
        Ok(())
    }

    /// The whole file.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it runs on.
    #[must_use]
    pub const fn machine(&self) -> Machine {
        self.machine
    }

    /// The sections, in the order of their headers.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// What is in the section of this name, without what aligns its end; `None` if there is none.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        let in_file = self.bytes.get(section.file.clone())?;
        let memory_bytes = section.memory.end.saturating_sub(section.memory.start);
        Some(in_file.get(..usize::try_from(memory_bytes).ok()?).unwrap_or(in_file))
    }

    /// Whether it is for EFI: what firmware starts, or a kernel with such a beginning.
    #[must_use]
    pub fn is_efi_application(&self) -> bool {
        self.optional.subsystem.get() == EFI_APPLICATION
    }

    /// The signatures in it, each a PKCS#7 with what may align its end.
    #[must_use]
    pub fn signatures(&self) -> Vec<&'a [u8]> {
        certificates::entries(self.table_bytes()).expect("they were read once already")
    }

    /// The bytes that a signature is over, in their order (Authenticode, "Calculating the PE Image Hash"; EDK2's
    /// `HashPeImage`): headers without checksum and entry of the certificate table, sections by their place in the file,
    /// what follows them up to the certificate table, and what will align that.
    #[must_use]
    pub fn signed_parts(&self) -> Vec<&'a [u8]> {
        let checksum_at = end(self.optional_at, offset_of!(OptionalHeader, checksum));
        let mut parts = vec![
            0..checksum_at,
            end(checksum_at, size_of::<u32>())..self.table_entry_at,
            end(self.table_entry_at, size_of::<Directory>())..self.headers_bytes(),
        ];
        let mut sections: Vec<_> = self.sections.iter().map(|section| section.file.clone()).collect();
        sections.sort_by_key(|file| file.start);
        // As firmware counts, which takes sections for being without gaps.
        let hashed = sections.iter().fold(self.headers_bytes(), |sum, file| end(sum, file.len()));
        parts.extend(sections);
        parts.push(hashed..self.table.start);
        let mut parts: Vec<&[u8]> = parts.into_iter().filter_map(|part| self.bytes.get(part)).collect();
        if self.table.is_empty() {
            parts.push(ZEROS.get(..padding(self.bytes.len(), CERTIFICATE_ALIGNMENT)).unwrap_or_default());
        }
        parts
    }

    pub(super) fn headers_bytes(&self) -> usize {
        usize::try_from(self.optional.headers_bytes.get()).unwrap_or(usize::MAX)
    }

    fn table_bytes(&self) -> &'a [u8] {
        self.bytes.get(self.table.clone()).unwrap_or_default()
    }
}

/// The position after `bytes` at `at`. Both are of 32 bits, or come from the file's length.
pub(super) const fn end(at: usize, bytes: usize) -> usize {
    at.saturating_add(bytes)
}

/// How many bytes align `at`.
pub(super) const fn padding(at: usize, alignment: usize) -> usize {
    match at.checked_rem(alignment) {
        None | Some(0) => 0,
        Some(over) => alignment.saturating_sub(over),
    }
}

pub(super) fn read<T: FromBytes>(bytes: &[u8], at: usize) -> Option<T> {
    T::read_from_prefix(bytes.get(at..)?).ok().map(|(value, _)| value)
}

/// Where the file header is, behind the PE header's magic.
fn file_header_at(bytes: &[u8]) -> Result<usize, PeError> {
    let not = |problem| PeError::NotPe { problem };
    if !bytes.starts_with(b"MZ") {
        return Err(not("it does not begin with MZ"));
    }
    let at = read::<zerocopy::little_endian::U32>(bytes, PE_OFFSET_AT);
    let at =
        at.and_then(|at| usize::try_from(at.get()).ok()).ok_or_else(|| not("it ends in the DOS header"))?;
    let after = bytes.get(at..).and_then(|rest| rest.strip_prefix(PE_MAGIC));
    after.ok_or_else(|| not("it has no PE header"))?;
    Ok(end(at, PE_MAGIC.len()))
}

fn optional_header(bytes: &[u8], at: usize, header: &FileHeader) -> Result<OptionalHeader, PeError> {
    let cut = || PeError::CutOff { place: "the optional header".to_owned(), file_bytes: bytes.len() };
    let optional: OptionalHeader = read(bytes, at).ok_or_else(cut)?;
    match optional.magic.get() {
        MAGIC_64 => {}
        MAGIC_32 => return Err(PeError::Kind { found: "one of 32 bits".to_owned() }),
        other => return Err(PeError::Kind { found: format!("of the unknown kind {other:#x}") }),
    }
    let with_table =
        end(size_of::<OptionalHeader>(), (CERTIFICATES_ENTRY.saturating_add(1)).saturating_mul(8));
    if usize::from(header.optional_header_bytes.get()) < with_table
        || usize::try_from(optional.directories.get()).is_ok_and(|number| number <= CERTIFICATES_ENTRY)
    {
        return Err(PeError::Kind { found: "without a place for signatures".to_owned() });
    }
    Ok(optional)
}

fn section(header: &SectionHeader, limit: usize, file_bytes: usize) -> Result<Section, PeError> {
    let name = header.name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    let start = usize::try_from(header.file_offset.get()).unwrap_or(usize::MAX);
    let bytes = usize::try_from(header.file_bytes.get()).unwrap_or(usize::MAX);
    let file = if bytes == 0 { 0..0 } else { start..end(start, bytes) };
    if file.end > limit {
        return Err(PeError::CutOff { place: format!("the section {name}"), file_bytes });
    }
    let memory_start = header.memory_offset.get();
    let memory_end = memory_start.checked_add(header.memory_bytes.get());
    let memory_end = memory_end
        .ok_or_else(|| PeError::damaged(format!("the section {name} ends behind the last address")))?;
    Ok(Section { name, memory: memory_start..memory_end, file })
}
