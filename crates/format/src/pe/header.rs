//! The headers as they stand in the file.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where the DOS header says the PE header is (`e_lfanew`).
pub(super) const PE_OFFSET_AT: usize = 0x3c;
/// What stands in front of [`FileHeader`].
pub(super) const PE_MAGIC: &[u8] = b"PE\0\0";
/// `IMAGE_NT_OPTIONAL_HDR64_MAGIC`.
pub(super) const MAGIC_64: u16 = 0x20b;
/// `IMAGE_NT_OPTIONAL_HDR32_MAGIC`.
pub(super) const MAGIC_32: u16 = 0x10b;
/// `IMAGE_SUBSYSTEM_EFI_APPLICATION`.
pub(super) const EFI_APPLICATION: u16 = 10;
/// `IMAGE_DIRECTORY_ENTRY_SECURITY`.
pub(super) const CERTIFICATES_ENTRY: usize = 4;
/// To what the certificate table and each entry in it are aligned.
pub(super) const CERTIFICATE_ALIGNMENT: usize = 8;
/// `WIN_CERT_REVISION_2_0`.
pub(super) const CERTIFICATE_REVISION: u16 = 0x0200;
/// `WIN_CERT_TYPE_PKCS_SIGNED_DATA`.
pub(super) const PKCS_SIGNED_DATA: u16 = 2;

/// The COFF file header (section 3.3).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileHeader {
    pub(super) machine: U16,
    pub(super) sections: U16,
    time: U32,
    symbol_table: U32,
    symbols: U32,
    pub(super) optional_header_bytes: U16,
    characteristics: U16,
}

/// The optional header of PE32+ without the data directories (sections 3.4.1 and 3.4.2).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct OptionalHeader {
    pub(super) magic: U16,
    linker_version: U16,
    code_bytes: U32,
    pub(super) initialized_data_bytes: U32,
    uninitialized_data_bytes: U32,
    entry_point: U32,
    code_base: U32,
    image_base: U64,
    pub(super) section_alignment: U32,
    pub(super) file_alignment: U32,
    versions: [U16; 6],
    win32_version: U32,
    pub(super) image_bytes: U32,
    pub(super) headers_bytes: U32,
    pub(super) checksum: U32,
    pub(super) subsystem: U16,
    dll_characteristics: U16,
    stack_and_heap: [U64; 4],
    loader_flags: U32,
    pub(super) directories: U32,
}

/// An entry of the data directories (section 3.4.3).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Directory {
    /// In memory; for the certificate table in the file.
    pub(super) offset: U32,
    pub(super) bytes: U32,
}

/// A section header (section 4).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SectionHeader {
    pub(super) name: [u8; 8],
    pub(super) memory_bytes: U32,
    pub(super) memory_offset: U32,
    pub(super) file_bytes: U32,
    pub(super) file_offset: U32,
    pub(super) relocations: [U32; 2],
    pub(super) counts: [U16; 2],
    pub(super) characteristics: U32,
}

/// The head of an entry of the certificate table (section 5.7; `WIN_CERTIFICATE`).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct CertificateHeader {
    /// With this head, without the bytes that align the next one.
    pub(super) bytes: U32,
    pub(super) revision: U16,
    pub(super) kind: U16,
}
