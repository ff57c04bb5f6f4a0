//! The escapes of dumps: `\\`, `\n`, `\r`, `\t` and `\xHH`.

use std::borrow::Cow;

use super::LineError;

/// What is escaped beyond backslashes, blanks and what is not printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Also {
    /// Nothing.
    Nothing,
    /// A field that is only `-`, which would mean that there is none.
    LoneDash,
    /// Nothing, and blanks are left as they are: for people to read.
    NotBlanks,
    /// `=`, which separates an attribute's name from its value.
    Equals,
}

/// Appends `bytes` to `out`, escaped.
pub fn escape(bytes: &[u8], also: Also, out: &mut Vec<u8>) {
    if also == Also::LoneDash && bytes == b"-" {
        out.extend_from_slice(b"\\x2d");
        return;
    }
    for byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b' ' if also == Also::NotBlanks => out.push(b' '),
            b'=' if also == Also::Equals => out.extend_from_slice(b"\\x3d"),
            byte if byte.is_ascii_graphic() => out.push(*byte),
            byte => {
                const HEX: [u8; 16] = *b"0123456789abcdef";
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
                out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

/// The bytes that `text` in the field called `field` stands for.
pub(super) fn unescape<'a>(text: &'a [u8], field: &'static str) -> Result<Cow<'a, [u8]>, LineError> {
    if !text.contains(&b'\\') {
        return Ok(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(bytes.into()),
            [b'\\', tail @ ..] => {
                let (byte, tail) = one_escape(tail)
                    .ok_or(LineError::Escape { field, position: text.len().saturating_sub(rest.len()) })?;
                bytes.push(byte);
                tail
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
        }
    }
}

/// The byte that the escape at the start of `text` stands for (behind its backslash), and the rest.
fn one_escape(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'\\', rest @ ..] => Some((b'\\', rest)),
        [b'n', rest @ ..] => Some((b'\n', rest)),
        [b'r', rest @ ..] => Some((b'\r', rest)),
        [b't', rest @ ..] => Some((b'\t', rest)),
        [b'x', high, low, rest @ ..] => Some(((hex_digit(*high)? << 4) | hex_digit(*low)?, rest)),
        _ => None,
    }
}

/// The value of a hex digit of either case.
fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_escaping() {
        let all: Vec<u8> = (0..=255).collect();
        for also in [Also::Nothing, Also::LoneDash, Also::Equals] {
            for bytes in [&all[..], b"-", b"a-b", b"", b"="] {
                let mut text = Vec::new();
                escape(bytes, also, &mut text);
                assert!(text.iter().all(u8::is_ascii_graphic));
                assert_eq!(unescape(&text, "PATH").unwrap(), bytes);
            }
        }
    }

    #[test]
    fn bad_escapes_are_told_by_position() {
        assert_eq!(
            unescape(b"\\x41\\X\\x5A\\t", "PATH"),
            Err(LineError::Escape { field: "PATH", position: 4 })
        );
        for text in [&b"ab\\"[..], b"ab\\x", b"ab\\x1", b"ab\\xg0", b"ab\\q"] {
            assert_eq!(unescape(text, "PATH"), Err(LineError::Escape { field: "PATH", position: 2 }));
        }
        assert_eq!(unescape(b"\\xFf\\x5a", "PATH").unwrap(), &b"\xff\x5a"[..]);
    }
}
