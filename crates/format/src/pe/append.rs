//! A stub becomes a UKI.

use std::mem::{offset_of, size_of};

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use super::certificates::{remove_signatures, write};
use super::header::{FileHeader, SectionHeader};
use super::image::{end, padding};
use super::{Image, PeError};

/// `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`.
const DATA: u32 = 0x4000_0040;
/// `IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_READ`, as others have the kernel.
const CODE: u32 = 0x4000_0020;

/// A section that is to be there.
#[derive(Debug, Clone, Copy)]
pub struct NewSection<'a> {
    /// 1 to 8 bytes, with the dot.
    pub name: &'a str,
    /// What is in it.
    pub content: &'a [u8],
    /// Whether it is a program.
    pub is_code: bool,
}

/// The image with these sections behind its own, in this order, without signatures. The same in, the same out.
///
/// # Errors
/// There is no room for their headers, a name is no name or is there already, or the file would be too large.
pub fn append_sections(image: &Image<'_>, sections: &[NewSection<'_>]) -> Result<Vec<u8>, PeError> {
    check_names(image, sections)?;
    let mut file = remove_signatures(image)?;
    let headers_at = new_headers_at(image, sections.len())?;
    let (in_memory, in_file) = alignments(image)?;
    let ends = image.sections().iter().map(|section| section.memory.end);
    let mut memory = aligned(ends.max().unwrap_or_default(), in_memory)?;
    let mut optional = image.optional;
    file.resize(end(file.len(), padding(file.len(), in_file)), 0);
    for (index, section) in sections.iter().enumerate() {
        let start = file.len();
        file.extend_from_slice(section.content);
        file.resize(end(file.len(), padding(file.len(), in_file)), 0);
        let number = |value: usize| u32::try_from(value).map_err(|_| PeError::TooLarge);
        let (memory_bytes, file_bytes) =
            (number(section.content.len())?, number(file.len().saturating_sub(start))?);
        let header = SectionHeader {
            name: name(section.name).ok_or_else(|| PeError::Name(section.name.to_owned()))?,
            memory_bytes: U32::new(memory_bytes),
            memory_offset: U32::new(memory),
            file_bytes: U32::new(file_bytes),
            file_offset: U32::new(number(start)?),
            relocations: [U32::ZERO; 2],
            counts: [U16::ZERO; 2],
            characteristics: U32::new(if section.is_code { CODE } else { DATA }),
        };
        let at = end(headers_at, index.saturating_mul(size_of::<SectionHeader>()));
        write(&mut file, at, header.as_bytes());
        memory = aligned(memory.checked_add(memory_bytes).ok_or(PeError::TooLarge)?, in_memory)?;
        let data = optional.initialized_data_bytes.get().checked_add(file_bytes);
        optional.initialized_data_bytes.set(data.ok_or(PeError::TooLarge)?);
    }
    optional.image_bytes.set(memory);
    optional.checksum.set(0);
    write(&mut file, image.optional_at, optional.as_bytes());
    let count = image.sections().len().saturating_add(sections.len());
    let count = u16::try_from(count).map(U16::new).map_err(|_| PeError::TooLarge)?;
    let count_at = end(image.file_header_at, offset_of!(FileHeader, sections));
    write(&mut file, count_at, count.as_bytes());
    Ok(file)
}

fn check_names(image: &Image<'_>, sections: &[NewSection<'_>]) -> Result<(), PeError> {
    for (index, section) in sections.iter().enumerate() {
        let mut others = sections.iter().take(index).map(|earlier| earlier.name);
        let mut theirs = image.sections().iter().map(|section| section.name.as_str());
        if others.any(|name| name == section.name) || theirs.any(|name| name == section.name) {
            return Err(PeError::Again(section.name.to_owned()));
        }
    }
    Ok(())
}

/// Where the first of `wanted` headers goes.
fn new_headers_at(image: &Image<'_>, wanted: usize) -> Result<usize, PeError> {
    let header = size_of::<SectionHeader>();
    let at = end(image.sections_at, image.sections().len().saturating_mul(header));
    let free = image.bytes().get(at..image.headers_bytes()).unwrap_or_default();
    // Bytes that are in use for something else are none.
    let free = free.iter().take_while(|byte| **byte == 0).count();
    let room = free.checked_div(header).unwrap_or_default();
    if wanted > room {
        return Err(PeError::NoRoom { wanted, room });
    }
    Ok(at)
}

/// Of sections, in memory and in the file.
fn alignments(image: &Image<'_>) -> Result<(u32, usize), PeError> {
    let (memory, file) = (image.optional.section_alignment.get(), image.optional.file_alignment.get());
    let file_bytes = usize::try_from(file).unwrap_or(usize::MAX);
    // What the specification allows for the file.
    if !memory.is_power_of_two()
        || !file.is_power_of_two()
        || !(512..=65_536).contains(&file)
        || memory < file
    {
        return Err(PeError::damaged(format!("sections cannot be aligned to {memory} and {file} bytes")));
    }
    Ok((memory, file_bytes))
}

fn aligned(address: u32, alignment: u32) -> Result<u32, PeError> {
    address.checked_next_multiple_of(alignment).ok_or(PeError::TooLarge)
}

/// The name as a header has it.
fn name(name: &str) -> Option<[u8; 8]> {
    let mut field = [0; 8];
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    field.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    Some(field)
}
