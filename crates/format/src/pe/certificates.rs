//! The certificate table: signatures, behind everything else in the file.

use std::mem::{offset_of, size_of};
use std::ops::Range;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use super::header::{
    CERTIFICATE_ALIGNMENT, CERTIFICATE_REVISION, CertificateHeader, Directory, OptionalHeader,
    PKCS_SIGNED_DATA,
};
use super::image::{end, padding, read};
use super::{Image, PeError};

/// The place of the table in a file of this length: empty and at its end if there is none.
pub(super) fn table(entry: &Directory, file_bytes: usize) -> Result<Range<usize>, PeError> {
    let start = usize::try_from(entry.offset.get()).unwrap_or(usize::MAX);
    let bytes = usize::try_from(entry.bytes.get()).unwrap_or(usize::MAX);
    match (start, bytes) {
        (0, 0) => Ok(file_bytes..file_bytes),
        _ if end(start, bytes) == file_bytes && bytes > 0 && padding(start, CERTIFICATE_ALIGNMENT) == 0 => {
            Ok(start..file_bytes)
        }
        _ => Err(PeError::damaged("the certificate table is not the last thing in the file")),
    }
}

/// What the entries of a table hold.
pub(super) fn entries(mut table: &[u8]) -> Result<Vec<&[u8]>, PeError> {
    let mut found = Vec::new();
    while !table.is_empty() {
        let damaged = || PeError::damaged("an entry of the certificate table is longer than the table");
        let header: CertificateHeader = read(table, 0).ok_or_else(damaged)?;
        let bytes = usize::try_from(header.bytes.get()).unwrap_or(usize::MAX);
        let content = table.get(size_of::<CertificateHeader>()..bytes).ok_or_else(damaged)?;
        if (header.revision.get(), header.kind.get()) != (CERTIFICATE_REVISION, PKCS_SIGNED_DATA) {
            return Err(PeError::damaged("an entry of the certificate table is no PKCS#7"));
        }
        found.push(content);
        table = table.get(end(bytes, padding(bytes, CERTIFICATE_ALIGNMENT))..).unwrap_or_default();
    }
    Ok(found)
}

/// What is in the one entry of a certificate table (`WIN_CERTIFICATE`) that these bytes are; `None` if they are none.
#[must_use]
pub fn certificate_content(bytes: &[u8]) -> Option<&[u8]> {
    match entries(bytes).ok()?[..] {
        [content] => Some(content),
        _ => None,
    }
}

/// The file with one more signature, a PKCS#7 in DER, behind those that it has.
///
/// # Errors
/// The file would be too large.
pub fn add_signature(image: &Image<'_>, pkcs7: &[u8]) -> Result<Vec<u8>, PeError> {
    let mut file = image.bytes().to_vec();
    file.resize(end(file.len(), padding(file.len(), CERTIFICATE_ALIGNMENT)), 0);
    let start = if image.table.is_empty() { file.len() } else { image.table.start };
    let bytes = end(size_of::<CertificateHeader>(), pkcs7.len());
    let header = CertificateHeader {
        bytes: U32::new(u32::try_from(bytes).map_err(|_| PeError::TooLarge)?),
        revision: U16::new(CERTIFICATE_REVISION),
        kind: U16::new(PKCS_SIGNED_DATA),
    };
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(pkcs7);
    file.resize(end(file.len(), padding(file.len(), CERTIFICATE_ALIGNMENT)), 0);
    set_table(image, &mut file, start)?;
    Ok(file)
}

/// The file as it was before anybody signed it, but for bytes that may align its end. Without signatures it is the same.
///
/// # Errors
/// None for an image that was read.
pub fn remove_signatures(image: &Image<'_>) -> Result<Vec<u8>, PeError> {
    let mut file = image.bytes().get(..image.table.start).unwrap_or_default().to_vec();
    if !image.table.is_empty() {
        let end = file.len();
        set_table(image, &mut file, end)?;
    }
    Ok(file)
}

/// Has the header of `file` say that the table goes from `start` to the end, and no checksum, which firmware does not
/// look at.
fn set_table(image: &Image<'_>, file: &mut [u8], start: usize) -> Result<(), PeError> {
    let number = |value: usize| u32::try_from(value).map(U32::new).map_err(|_| PeError::TooLarge);
    let bytes = file.len().saturating_sub(start);
    let entry = match bytes {
        0 => Directory { offset: U32::ZERO, bytes: U32::ZERO },
        _ => Directory { offset: number(start)?, bytes: number(bytes)? },
    };
    write(file, image.table_entry_at, entry.as_bytes());
    let checksum_at = end(image.optional_at, offset_of!(OptionalHeader, checksum));
    write(file, checksum_at, U32::ZERO.as_bytes());
    Ok(())
}

/// Writes over bytes that are there.
pub(super) fn write(file: &mut [u8], at: usize, bytes: &[u8]) {
    let place = file.get_mut(at..end(at, bytes.len()));
    place.expect("the headers were read from there").copy_from_slice(bytes);
}
