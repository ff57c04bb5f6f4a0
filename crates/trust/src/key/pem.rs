use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{KeyError, found};

/// The most bytes of a file with keys or certificates that are looked at.
const FILE_SIZE_MAX: usize = 1024 * 1024;

/// More characters than the base64 of any supported private key has.
const KEY_BASE64_MAX: usize = 16 * 1024;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One block of a PEM file, or a DER file as a whole.
pub(super) struct Block {
    /// What stands after `BEGIN`; nothing for DER.
    pub(super) label: Option<String>,
    pub(super) der: Zeroizing<Vec<u8>>,
    /// Whether a header says so, as in OpenSSL's traditional forms (RFC 1421, `Proc-Type: 4,ENCRYPTED`).
    pub(super) is_encrypted: bool,
}

/// The blocks of a PEM file in their order, with whatever stands between them left out; or the one of a DER file.
///
/// # Errors
/// Nothing there, too much, or a block that is not as RFC 7468 has it.
pub(super) fn blocks(bytes: &[u8]) -> Result<Vec<Block>, KeyError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(KeyError::Empty);
    }
    if bytes.len() > FILE_SIZE_MAX {
        return Err(KeyError::TooLarge { size_bytes: bytes.len(), limit_bytes: FILE_SIZE_MAX });
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(KeyError::Pem { line: 1, problem: "UTF-16 text; save it as ASCII or UTF-8" });
    }
    if is_bare_base64(bytes) {
        let problem = "base64 without the lines BEGIN and END around it; `base64 -d` makes DER of it";
        return Err(KeyError::Pem { line: 1, problem });
    }
    if is_der(bytes) || !has_begin(bytes) {
        return Ok(vec![Block { label: None, der: Zeroizing::new(bytes.to_vec()), is_encrypted: false }]);
    }
    // What stands around the blocks may be in any encoding; the blocks themselves are ASCII.
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // Lines may end as Unix, Windows or old Macs have it.
    let ends_removed = |line: &str| line.strip_suffix('\r').map_or(line.len(), str::len);
    let lines = text.split('\n').flat_map(|line| line[..ends_removed(line)].split('\r'));
    let mut lines = lines.zip(1..);
    let mut blocks = Vec::new();
    while let Some((line, number)) = lines.next() {
        if let Some(rest) = line.trim().strip_prefix(BEGIN) {
            let label = rest.strip_suffix(DASHES).ok_or(KeyError::Pem {
                line: number,
                problem: "a BEGIN line that does not end in five dashes",
            })?;
            blocks.push(block(label, number, &mut lines)?);
        } else if blocks.is_empty() && line.contains(BEGIN) {
            return Err(KeyError::Pem {
                line: number,
                problem: "BEGIN does not stand at the beginning of its line",
            });
        }
    }
    Ok(blocks)
}

/// The DER of a file with one thing that is not secret: DER, or PEM with one of these labels.
pub(crate) fn der_of_file(bytes: &[u8], labels: &[&str], wanted: &'static str) -> Result<Vec<u8>, KeyError> {
    match &blocks(bytes)?[..] {
        [block] if block.label.as_deref().is_none_or(|label| labels.contains(&label)) => {
            Ok(block.der.to_vec())
        }
        blocks @ [_] => Err(found::in_file(blocks, wanted)),
        several => Err(KeyError::Several { count: several.len(), what: "PEM blocks" }),
    }
}

/// Reads a block up to its END line.
fn block<'a>(
    label: &str,
    begin: usize,
    lines: &mut impl Iterator<Item = (&'a str, usize)>,
) -> Result<Block, KeyError> {
    // Sized at once: growing would leave copies of a private key behind.
    let mut base64 = Zeroizing::new(String::with_capacity(KEY_BASE64_MAX));
    let mut is_encrypted = false;
    for (line, number) in lines {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix(END) {
            if rest.strip_suffix(DASHES) != Some(label) {
                return Err(KeyError::Pem { line: number, problem: "an END line of another kind of block" });
            }
            let der = STANDARD.decode(base64.as_bytes()).map(Zeroizing::new);
            let der = der.map_err(|_| KeyError::Pem { line: begin, problem: "the block is not base64" })?;
            return Ok(Block { label: Some(label.to_owned()), der, is_encrypted });
        }
        if line.starts_with(BEGIN) {
            return Err(KeyError::Pem { line: number, problem: "a block begins inside another" });
        }
        match line.split_once(':') {
            Some((name, value)) => is_encrypted |= name == "Proc-Type" && value.contains("ENCRYPTED"),
            None => base64.push_str(line),
        }
    }
    Err(KeyError::Pem { line: begin, problem: "the block has no END line" })
}

/// Whether the bytes are one DER sequence as a whole.
fn is_der(bytes: &[u8]) -> bool {
    use der::{Decode, asn1::AnyRef};
    bytes.first() == Some(&0x30) && AnyRef::from_der(bytes).is_ok()
}

/// Whether the bytes are nothing but the base64 of DER, as the lines between BEGIN and END are.
fn is_bare_base64(bytes: &[u8]) -> bool {
    // A sequence's first byte and a length of two bytes.
    if !bytes.trim_ascii_start().starts_with(b"MI") {
        return false;
    }
    let digits = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
    STANDARD.decode(Zeroizing::new(digits.collect::<Vec<u8>>()).as_slice()).map(Zeroizing::new).is_ok()
}

fn has_begin(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// The PEM form of `der`, in lines of 64 characters (RFC 7468).
pub(super) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    // Sized at once: growing would leave copies of a private key behind.
    let mut text =
        Zeroizing::new(String::with_capacity(base64.len() + base64.len() / 32 + 2 * label.len() + 64));
    *text += BEGIN;
    *text += label;
    *text += "-----\n";
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        *text += line;
        *text += "\n";
        rest = after;
    }
    *text += END;
    *text += label;
    *text += "-----\n";
    text
}
