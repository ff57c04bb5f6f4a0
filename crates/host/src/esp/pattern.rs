//! Patterns by which systemd-boot finds the entry that was chosen.

use sealpack_format::glob;

/// Whether a pattern fits all of a name (`efi_fnmatch`, src/boot/efi-string.c): `*` is any text, `?` one character, `[…]`
/// one of a set with ranges, a backslash takes the next character as it is. A pattern that is not whole fits nothing.
#[must_use]
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    glob::fits(&pattern, &name, '*', one)
}

/// What comes behind the first element of a pattern, if that fits a character.
fn one(pattern: &[char], character: char) -> Option<&[char]> {
    match pattern {
        ['?', rest @ ..] => Some(rest),
        ['[', rest @ ..] => set(rest, character),
        ['\\', literal, rest @ ..] => (*literal == character).then_some(rest),
        ['\\'] | [] => None,
        [literal, rest @ ..] => (*literal == character).then_some(rest),
    }
}

/// What comes behind the set that begins `pattern`, behind its bracket, if a character is in it. A `]` that is its first
/// character is.
fn set(pattern: &[char], character: char) -> Option<&[char]> {
    let end = pattern.iter().skip(1).position(|character| *character == ']')? + 1;
    let (members, rest) = (&pattern[..end], &pattern[end + 1..]);
    glob::is_member(members, '-', character).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esp::FileName;

    #[test]
    fn a_pattern_fits_as_systemd_boots_do() {
        for (pattern, name, does) in [
            ("a.efi", "a.efi", true),
            ("a.efi", "b.efi", false),
            ("*", "", true),
            ("a*i", "a.efi", true),
            ("a?efi", "a.efi", true),
            ("a?", "a", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[]a]", "]", true),
            ("[", "[", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a", false),
            ("**a**", "bab", true),
        ] {
            assert_eq!(fits(pattern, name), does, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_somebody_wrote_for_that_takes_no_time() {
        // With all ways tried, this would not end.
        let name = "a".repeat(255);
        assert!(!fits(&("*a".repeat(120) + "b"), &name));
        assert!(fits(&("*a".repeat(120) + "*"), &name));
        assert!(fits("*ab*b?", "aabab_bc"));
        assert!(fits("*[.+]e*i", "x.f+e.efi"));
    }

    #[test]
    fn the_pattern_of_an_entry_fits_until_its_tries_are_spent() {
        let pattern = FileName::parse("Sealed_7+3.efi").and_then(|name| name.pattern()).expect("a pattern");
        for (name, does) in [
            ("sealed_7.efi", true),
            ("sealed_7+3.efi", true),
            ("sealed_7+1-2.efi", true),
            ("sealed_7+0-3.efi", false),
            ("sealed_7+0.efi", false),
            ("sealed_71.efi", false),
            ("sealed_7+x.efi", false),
        ] {
            assert_eq!(fits(&pattern, name), does, "{name}");
        }
        assert_eq!(FileName::parse("a*.efi").and_then(|name| name.pattern()), None);
    }
}
