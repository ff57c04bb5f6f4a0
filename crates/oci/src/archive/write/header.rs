//! The headers of an archive's members: GNU tar's, which everybody reads, with nothing in them that depends on where or
//! when they were written (GNU tar manual, "Basic Tar Format").

/// The unit of a tar.
pub(super) const BLOCK_BYTES: u64 = 512;
/// What marks the end.
pub(super) const END: [u8; 1024] = [0; 1024];
/// Longest name in the header itself.
const NAME_MAX_BYTES: usize = 100;
/// Largest size that fits eleven octal digits.
const OCTAL_MAX: u64 = 0o777_7777_7777;
/// How GNU tar calls the member that has the name of the one behind it.
const LONG_NAME: &[u8] = b"././@LongLink";

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
}

/// The header of a member, one block or several. Its length depends on the name only.
pub(super) fn header(name: &str, kind: Kind, size_bytes: u64) -> Vec<u8> {
    let (letter, mode) = match kind {
        Kind::File => (b'0', 0o644),
        Kind::Directory => (b'5', 0o755),
    };
    let mut blocks = Vec::new();
    if name.len() > NAME_MAX_BYTES {
        let mut long = name.as_bytes().to_vec();
        long.push(0);
        blocks.extend(block(LONG_NAME, b'L', 0o644, long.len() as u64));
        long.resize(long.len().next_multiple_of(512), 0);
        blocks.extend(long);
    }
    let short = &name.as_bytes()[..name.len().min(NAME_MAX_BYTES)];
    blocks.extend(block(short, letter, mode, size_bytes));
    blocks
}

/// How many bytes fill up the last block of a content.
pub(super) const fn padding_bytes(size_bytes: u64) -> u64 {
    size_bytes.wrapping_neg() % BLOCK_BYTES
}

fn block(name: &[u8], letter: u8, mode: u32, size_bytes: u64) -> [u8; 512] {
    let mut block = [0_u8; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name);
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size_bytes <= OCTAL_MAX {
        put(124, format!("{size_bytes:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size_bytes.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[letter]);
    put(257, b"ustar  \0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
