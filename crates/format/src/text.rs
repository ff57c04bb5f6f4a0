//! How things are written for people, wherever that is: numbers, sizes, and what may not act.

/// Whether a character, instead of being seen, does something to those around it or to the terminal, or is not seen at all:
/// controls, marks that turn the direction of writing, joiners, fillers, variation selectors and tags.
#[must_use]
pub const fn acts(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// A number of things: `1 layer`, `2 layers`.
#[must_use]
pub fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A size as people read it: `1.5 MB`, in powers of 1000.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit_bytes: u128 = 1000;
    // Rounded; nothing that is said of 64 bits fills twice as many.
    let tenths = |unit_bytes: u128| {
        let doubled = u128::from(bytes).saturating_mul(20).saturating_add(unit_bytes);
        doubled.checked_div(unit_bytes.saturating_mul(2)).unwrap_or_default()
    };
    let mut units = UNITS.into_iter().peekable();
    while tenths(unit_bytes) >= 10_000 && units.peek() != UNITS.last() {
        unit_bytes = unit_bytes.saturating_mul(1000);
        units.next();
    }
    let (tenths, unit) = (tenths(unit_bytes), units.next().unwrap_or_default());
    format!(
        "{}.{} {unit}",
        tenths.checked_div(10).unwrap_or_default(),
        tenths.checked_rem(10).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_naturally_at_their_limits() {
        let shown = [0, 999, 1000, 1549, 999_949, 999_950, 1_500_000, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.5 kB", "999.9 kB", "1.0 MB", "1.5 MB", "18.4 EB"]);
    }
}
