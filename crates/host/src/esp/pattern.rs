//! Patterns by which systemd-boot finds the entry that was chosen.

/// Whether a pattern fits all of a name (`efi_fnmatch`, src/boot/efi-string.c): `*` is any text, `?` one character, `[…]`
/// one of a set with ranges, a backslash takes the next character as it is. A pattern that is not whole fits nothing.
#[must_use]
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    fits_from(&pattern, &name)
}

fn fits_from(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], name) => name.is_empty(),
        (['*', rest @ ..], name) => {
            // Several are as one, so that this is not as deep as they are many.
            let rest = &rest[rest.iter().take_while(|character| **character == '*').count()..];
            (0..=name.len()).any(|skipped| fits_from(rest, &name[skipped..]))
        }
        (_, []) => false,
        (['?', rest @ ..], [_, name @ ..]) => fits_from(rest, name),
        (['[', rest @ ..], [character, name @ ..]) => match set(rest, *character) {
            Some((true, rest)) => fits_from(rest, name),
            _ => false,
        },
        (['\\', literal, rest @ ..], [character, name @ ..]) => literal == character && fits_from(rest, name),
        (['\\'], _) => false,
        ([literal, rest @ ..], [character, name @ ..]) => literal == character && fits_from(rest, name),
    }
}

/// Whether a character is in the set that begins `pattern`, behind its bracket, and what comes behind the set. A `]` that
/// is its first character is in it.
fn set(pattern: &[char], character: char) -> Option<(bool, &[char])> {
    let end = pattern.iter().skip(1).position(|character| *character == ']')? + 1;
    let (mut members, rest) = (&pattern[..end], &pattern[end + 1..]);
    let mut is_in = false;
    loop {
        members = match members {
            [] => return Some((is_in, rest)),
            [low, '-', high, members @ ..] => {
                is_in |= (*low..=*high).contains(&character);
                members
            }
            [member, members @ ..] => {
                is_in |= *member == character;
                members
            }
        };
    }
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
