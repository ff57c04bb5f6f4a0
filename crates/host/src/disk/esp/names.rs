//! Names on FAT: a short one of eight and three letters, and a long one in records in front of it.

use super::directory::RECORD_BYTES;

/// The UTF-16 units in a record of a long name, and where they are in it.
const UNITS: usize = 13;
const PLACES: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// The longest name, in UTF-16 units.
const LONG_MAX: usize = 255;

/// What no long name has in it.
const FORBIDDEN: &str = "\"*/:<>?\\|";

/// A short name, and the long one where that is another.
#[derive(Debug)]
pub(super) struct Names {
    short: [u8; 11],
    long: Option<Vec<u16>>,
}

/// The names of a file called `name`, of which the short one is none of `taken`. `None` where FAT has no such name.
pub(super) fn of(name: &str, taken: &[[u8; 11]]) -> Option<Names> {
    let is_fine = |character: char| character >= ' ' && !FORBIDDEN.contains(character);
    let long: Vec<u16> = name.encode_utf16().collect();
    let ends_well = !name.ends_with('.') && !name.ends_with(' ');
    if name.is_empty() || !name.chars().all(is_fine) || !ends_well || long.len() > LONG_MAX {
        return None;
    }
    if let Some(short) = as_it_is(name).filter(|short| !taken.contains(short)) {
        return Some(Names { short, long: None });
    }
    let short = (1..1_000_000).map(|number| numbered(name, number)).find(|short| !taken.contains(short))?;
    Some(Names { short, long: Some(long) })
}

/// A name that is a short one already.
fn as_it_is(name: &str) -> Option<[u8; 11]> {
    let (base, suffix) = name.split_once('.').unwrap_or((name, ""));
    let is_short = |part: &str, max| part.len() <= max && part.bytes().all(is_short_byte);
    (!base.is_empty() && is_short(base, 8) && is_short(suffix, 3)).then(|| joined(base, suffix))
}

/// `NAME~1.EXT`: the beginning of the name and a number.
fn numbered(name: &str, number: u32) -> [u8; 11] {
    let (base, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
    let plain = |part: &str, max: usize| -> String {
        part.chars().map(|c| c.to_ascii_uppercase()).filter(|&c| is_short_char(c)).take(max).collect()
    };
    let tail = format!("~{number}");
    joined(&(plain(base, 8 - tail.len()) + &tail), &plain(suffix, 3))
}

/// ASCII parts, of at most eight and three bytes, padded with blanks.
fn joined(base: &str, suffix: &str) -> [u8; 11] {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.as_bytes());
    short[8..8 + suffix.len()].copy_from_slice(suffix.as_bytes());
    short
}

fn is_short_char(character: char) -> bool {
    u8::try_from(character).is_ok_and(is_short_byte)
}

fn is_short_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(&byte)
}

impl Names {
    pub(super) const fn short(&self) -> [u8; 11] {
        self.short
    }

    /// How many records the two take.
    pub(super) fn records(&self) -> usize {
        1 + self.long.as_ref().map_or(0, |long| long.len().div_ceil(UNITS))
    }

    /// Writes the records of the long name, its end first.
    pub(super) fn write_long(&self, bytes: &mut Vec<u8>) {
        let Some(long) = &self.long else { return };
        let pieces: Vec<&[u16]> = long.chunks(UNITS).collect();
        for (index, piece) in pieces.iter().enumerate().rev() {
            let is_last = index + 1 == pieces.len();
            let mut record = [0; RECORD_BYTES];
            // At most 20 of them, as names are no longer than 255.
            record[0] = (index + 1) as u8 | if is_last { 0x40 } else { 0 };
            record[11] = 0x0F;
            record[13] = self.checksum();
            // Behind the name a zero, then ones.
            let units = piece.iter().copied().chain([0]).chain(std::iter::repeat(0xFFFF));
            for (place, unit) in PLACES.into_iter().zip(units) {
                record[place..place + 2].copy_from_slice(&unit.to_le_bytes());
            }
            bytes.extend(record);
        }
    }

    /// What ties the long name to the short one.
    fn checksum(&self) -> u8 {
        self.short.iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(name: &str, taken: &[[u8; 11]]) -> Option<(String, bool)> {
        let names = of(name, taken)?;
        Some((String::from_utf8_lossy(&names.short).into_owned(), names.long.is_some()))
    }

    #[test]
    fn short_names_are_taken_as_they_are_and_others_get_a_number() {
        let is = |short: &str, long| Some((short.to_owned(), long));
        assert_eq!(short("BOOTX64.EFI", &[]), is("BOOTX64 EFI", false));
        assert_eq!(short("EFI", &[]), is("EFI        ", false));
        assert_eq!(short("Linux", &[]), is("LINUX~1    ", true));
        assert_eq!(short("sealed_12+3.efi", &[]), is("SEALED~1EFI", true));
        assert_eq!(short("sealed_13+3.efi", &[*b"SEALED~1EFI"]), is("SEALED~2EFI", true));
        assert_eq!(short("größe", &[]), is("GRE~1      ", true));
    }

    #[test]
    fn names_that_fat_does_not_have_are_refused() {
        for name in ["", ".", "..", "ends.", "ends ", "a:b", "a\\b", "a\nb", &"n".repeat(256)] {
            assert_eq!(short(name, &[]), None, "{name:?}");
        }
    }
}
