//! The notations of numbers and times.

use super::error::NumberProblem;
use crate::tree::Time;

/// A numeric header field: octal digits, or base-256 when the first bit is set (GNU tar manual,
/// "Extensions to the Archive Format"): a big-endian number in two's complement of the other bits.
pub(super) fn header_number(field: &[u8]) -> Result<i64, NumberProblem> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            let sign = if first & 0x40 == 0 { 0 } else { -1 };
            let top = sign << 6 | i128::from(first & 0x3f);
            let number = rest
                .iter()
                .try_fold(top, |number: i128, byte| number.checked_mul(256)?.checked_add(i128::from(*byte)))
                .ok_or(NumberProblem::OutOfRange)?;
            i64::try_from(number).map_err(|_| NumberProblem::OutOfRange)
        }
        _ => octal(field),
    }
}

/// Octal digits after spaces and NULs, ended by a space, a NUL or the field's end; 0 if there are none.
pub(super) fn octal(field: &[u8]) -> Result<i64, NumberProblem> {
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    field.iter().skip_while(|byte| blank(byte)).take_while(|byte| !blank(byte)).try_fold(
        0_i64,
        |number, digit| match digit {
            b'0'..=b'7' => number
                .checked_mul(8)
                .and_then(|number| number.checked_add(i64::from(digit & 7)))
                .ok_or(NumberProblem::OutOfRange),
            _ => Err(NumberProblem::NotANumber),
        },
    )
}

/// Decimal digits and nothing else, at most `i64::MAX`: no offset or size of a file is beyond.
pub(super) fn decimal(text: &[u8]) -> Result<u64, NumberProblem> {
    if text.is_empty() {
        return Err(NumberProblem::NotANumber);
    }
    text.iter().try_fold(0, |number, digit| push_digit(number, *digit))
}

/// `number` with a further decimal digit.
pub(super) fn push_digit(number: u64, digit: u8) -> Result<u64, NumberProblem> {
    let value = match digit {
        b'0'..=b'9' => digit & 15,
        _ => return Err(NumberProblem::NotANumber),
    };
    number
        .checked_mul(10)
        .and_then(|number| number.checked_add(u64::from(value)))
        .filter(|number| i64::try_from(*number).is_ok())
        .ok_or(NumberProblem::OutOfRange)
}

/// A PAX time: seconds in decimal, perhaps negative, perhaps with a fraction. Digits after the ninth
/// are cut, towards the past.
pub(super) fn time(text: &[u8]) -> Result<Time, NumberProblem> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = decimal(parts.next().unwrap_or_default())?;
    let (nanoseconds, exact) = fraction(parts.next().unwrap_or_default())?;
    let seconds = i64::try_from(seconds).map_err(|_| NumberProblem::OutOfRange)?;
    if !negative {
        return Ok(Time { seconds, nanoseconds });
    }
    let nanoseconds = nanoseconds.saturating_add(u32::from(!exact));
    let borrowed = i64::from(nanoseconds > 0);
    Ok(Time {
        seconds: seconds.saturating_neg().saturating_sub(borrowed),
        nanoseconds: if nanoseconds > 0 { 1_000_000_000_u32.saturating_sub(nanoseconds) } else { 0 },
    })
}

/// The nanoseconds of the digits after a point, and whether that is exact.
fn fraction(digits: &[u8]) -> Result<(u32, bool), NumberProblem> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberProblem::NotANumber);
    }
    let (kept, cut) = digits.split_at_checked(9).unwrap_or((digits, b""));
    let padded = kept.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds =
        padded.fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit & 15)));
    Ok((nanoseconds, cut.iter().all(|digit| *digit == b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields_end_at_a_blank_and_may_be_empty() {
        assert_eq!(octal(b"0000644\0"), Ok(0o644));
        assert_eq!(octal(b"   644 \0"), Ok(0o644));
        assert_eq!(octal(b"\x00 0644 x"), Ok(0o644));
        assert_eq!(octal(b"777777777777"), Ok(0o777_777_777_777));
        assert_eq!(octal(b"\0\0\0\0"), Ok(0));
        assert_eq!(octal(b"0000648\0"), Err(NumberProblem::NotANumber));
        assert_eq!(octal(b"-1 "), Err(NumberProblem::NotANumber));
        assert_eq!(octal(&[b'7'; 30]), Err(NumberProblem::OutOfRange));
    }

    #[test]
    fn base_256_covers_all_of_64_bits_and_no_more() {
        assert_eq!(header_number(b"\x80\0\0\0\0\0\x01\x02"), Ok(0x102));
        assert_eq!(header_number(&[0xff; 12]), Ok(-1));
        assert_eq!(header_number(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Ok(-2));
        assert_eq!(header_number(b"\xbf"), Ok(0x3f));
        assert_eq!(header_number(b"\xc0"), Ok(-64));
        let mut field = [0; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&i64::MAX.to_be_bytes());
        assert_eq!(header_number(&field), Ok(i64::MAX));
        field[4..].copy_from_slice(&i64::MIN.to_be_bytes());
        assert_eq!(header_number(&field), Err(NumberProblem::OutOfRange));
        field[..4].fill(0xff);
        assert_eq!(header_number(&field), Ok(i64::MIN));
        field[3] = 0;
        assert_eq!(header_number(&field), Err(NumberProblem::OutOfRange));
    }

    #[test]
    fn times_are_cut_towards_the_past() {
        let at = |seconds, nanoseconds| Ok(Time { seconds, nanoseconds });
        assert_eq!(time(b"1350244992.023960108"), at(1_350_244_992, 23_960_108));
        assert_eq!(time(b"5"), at(5, 0));
        assert_eq!(time(b"5."), at(5, 0));
        assert_eq!(time(b"0.5"), at(0, 500_000_000));
        assert_eq!(time(b"0.1234567899"), at(0, 123_456_789));
        assert_eq!(time(b"-1"), at(-1, 0));
        assert_eq!(time(b"-0.25"), at(-1, 750_000_000));
        assert_eq!(time(b"-1.0000000001"), at(-2, 999_999_999));
        assert_eq!(time(b"-0.9999999999"), at(-1, 0));
        assert_eq!(time(b"9223372036854775807"), at(i64::MAX, 0));
        assert_eq!(time(b"-9223372036854775807.5"), at(i64::MIN, 500_000_000));
        assert_eq!(time(b"9223372036854775808"), Err(NumberProblem::OutOfRange));
        for bad in [b"".as_slice(), b"-", b".5", b"+1", b"1.x", b"1e3", b"--1", b"1.2.3"] {
            assert_eq!(time(bad), Err(NumberProblem::NotANumber), "{bad:?}");
        }
    }
}
