//! What patterns with stars and sets have in common, whoever's they are: fnmatch(3)'s, depmod's, systemd-boot's.

/// Whether a pattern fits all of a text. `star` is any text; `one` answers with what comes behind the first element of a
/// pattern, if that fits an item of the text.
///
/// Where it does not go on, only the last star takes more: whatever those before it took does as well. So its time is at most
/// the product of both lengths, whoever wrote the pattern.
pub fn fits<T: Copy + PartialEq>(
    pattern: &[T],
    text: &[T],
    star: T,
    one: impl for<'p> Fn(&'p [T], T) -> Option<&'p [T]>,
) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What is behind the last star, and the text that it has not taken.
    let mut last: Option<(&[T], &[T])> = None;
    loop {
        if let Some((first, rest)) = pattern.split_first()
            && *first == star
        {
            (pattern, last) = (rest, Some((rest, text)));
            continue;
        }
        if pattern.is_empty() && text.is_empty() {
            return true;
        }
        if let Some((item, left)) = text.split_first()
            && let Some(rest) = one(pattern, *item)
        {
            (pattern, text) = (rest, left);
            continue;
        }
        let Some((rest, [_, left @ ..])) = last else { return false };
        (pattern, text, last) = (rest, left, Some((rest, left)));
    }
}

/// Whether an item is one of a set's members, without the brackets; two of them with a `dash` between are all from the first
/// to the second one.
pub fn is_member<T: Copy + PartialOrd>(mut members: &[T], dash: T, item: T) -> bool {
    loop {
        members = match members {
            [] => return false,
            [low, middle, high, rest @ ..] if *middle == dash => {
                if (*low..=*high).contains(&item) {
                    return true;
                }
                rest
            }
            [member, rest @ ..] => {
                if *member == item {
                    return true;
                }
                rest
            }
        };
    }
}
