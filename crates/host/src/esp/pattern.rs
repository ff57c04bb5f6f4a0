//! Patterns by which systemd-boot finds the entry that was chosen.

/// Whether a pattern fits all of a name (`efi_fnmatch`, src/boot/efi-string.c): `*` is any text, `?` one character, `[…]`
/// one of a set with ranges, a backslash takes the next character as it is. A pattern that is not whole fits nothing.
///
/// Where it does not go on, only the last `*` takes more: whatever those before it took does as well. So its time is at most
/// the product of both lengths, whoever wrote the pattern.
#[must_use]
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut pattern, mut name) = (&pattern[..], &name[..]);
    let mut last: Option<(&[char], &[char])> = None;
    loop {
        if let ['*', rest @ ..] = pattern {
            (pattern, last) = (rest, Some((rest, name)));
            continue;
        }
        if pattern.is_empty() && name.is_empty() {
            return true;
        }
        if let Some((rest, left)) = one(pattern, name) {
            (pattern, name) = (rest, left);
            continue;
        }
        let Some((rest, [_, left @ ..])) = last else { return false };
        (pattern, name, last) = (rest, left, Some((rest, left)));
    }
}

/// What is left of both, where what is first in the pattern fits the name's first character.
fn one<'t>(pattern: &'t [char], name: &'t [char]) -> Option<(&'t [char], &'t [char])> {
    let (character, left) = name.split_first()?;
    let rest = match pattern {
        ['?', rest @ ..] => Some(rest),
        ['[', rest @ ..] => set(rest, *character).filter(|(is_in, _)| *is_in).map(|(_, rest)| rest),
        ['\\', literal, rest @ ..] => (literal == character).then_some(rest),
        ['\\'] | [] => None,
        [literal, rest @ ..] => (literal == character).then_some(rest),
    };
    rest.map(|rest| (rest, left))
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
