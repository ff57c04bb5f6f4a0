//! The order of versions (UAPI.10, Version Format Specification), as systemd-boot has it (`strverscmp_improved`,
//! src/fundamental/string-util-fundamental.c).

use std::cmp::Ordering;

/// How two versions compare: the newer is the greater.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        (a, b) = (from_meaningful(a), from_meaningful(b));
        // What is behind a tilde comes before what has none.
        if let Some(order) = at_mark(&mut a, &mut b, b'~') {
            return order;
        }
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        for mark in [b'-', b'^', b'.'] {
            if let Some(order) = at_mark(&mut a, &mut b, mark) {
                return order;
            }
        }
        let part = if starts(a, u8::is_ascii_digit) || starts(b, u8::is_ascii_digit) {
            let (number, other) = (split(&mut a, u8::is_ascii_digit), split(&mut b, u8::is_ascii_digit));
            let order = (!number.is_empty()).cmp(&!other.is_empty());
            let (number, other) = (without_zeros(number), without_zeros(other));
            order.then(number.len().cmp(&other.len())).then(number.cmp(other))
        } else {
            split(&mut a, u8::is_ascii_alphabetic).cmp(split(&mut b, u8::is_ascii_alphabetic))
        };
        if part != Ordering::Equal {
            return part;
        }
    }
}

/// From the first character on that means something.
fn from_meaningful(text: &[u8]) -> &[u8] {
    let means = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'~' | b'-' | b'^' | b'.');
    &text[text.iter().position(means).unwrap_or(text.len())..]
}

/// If one of the two begins with a mark and the other does not, it is the lesser; if both do, they go on behind it.
fn at_mark(a: &mut &[u8], b: &mut &[u8], mark: u8) -> Option<Ordering> {
    let (has, other_has) = (a.first() == Some(&mark), b.first() == Some(&mark));
    if has != other_has {
        return Some(other_has.cmp(&has));
    }
    if has {
        (*a, *b) = (&a[1..], &b[1..]);
    }
    None
}

fn starts(text: &[u8], is: fn(&u8) -> bool) -> bool {
    text.first().is_some_and(is)
}

/// Takes off the front what is of one kind.
fn split<'t>(text: &mut &'t [u8], is: fn(&u8) -> bool) -> &'t [u8] {
    let end = text.iter().position(|byte| !is(byte)).unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    *text = rest;
    part
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|digit| **digit == b'0').count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_the_specification() {
        // Each is older than the next: the specification's own list, and names as they are on an ESP.
        for ordered in [
            &[
                "122.1",
                "123~rc1-1",
                "123",
                "123-a",
                "123-a.1",
                "123-1",
                "123-1.1",
                "123^post1",
                "123.a-1",
                "123.1-1",
                "123a-1",
                "124-1",
            ][..],
            &["", "~"][..1],
            &["1795804495", "1795804496", "11795804495"],
            &["sealed_1+3.efi", "sealed_2.efi", "sealed_10.efi"],
            &["1.0~rc1", "1.0"],
            &["a", "ab", "b", "1"],
        ] {
            for pair in ordered.windows(2) {
                assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
                assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
            }
        }
        for (a, b) in [("1_", "1"), ("01", "1"), ("", ""), ("1_é2", "1 2"), ("~", "~")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
