//! Names that may be meant by one that is not there.

/// No more are named.
const NAMES_MAX: usize = 3;

/// How many letters may be wrong.
const TYPOS_MAX: usize = 2;

/// Those of `names` that may be meant by `asked`, which is written out as they are: the same image of another registry or
/// namespace, another tag of it, or a name with a letter or two that differ. The likeliest first.
pub(crate) fn similar<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut ranked: Vec<(usize, &str)> =
        names.filter_map(|name| rank(asked, name).map(|rank| (rank, name))).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(NAMES_MAX).map(|(_, name)| name.to_owned()).collect()
}

/// How far `name` is from `asked`; nothing for what is something else.
fn rank(asked: &str, name: &str) -> Option<usize> {
    let last = |text: &'_ str| text.rsplit('/').next().map(str::to_owned);
    let image =
        |text: &str| last(text).map(|last| last.split([':', '@']).next().unwrap_or_default().to_owned());
    if last(asked) == last(name) {
        return Some(0);
    }
    let typos = typos(asked, name);
    if typos <= TYPOS_MAX {
        return Some(typos);
    }
    (image(asked) == image(name)).then_some(TYPOS_MAX + 1)
}

/// The fewest letters to change, add or leave out that make one of the other (Levenshtein's distance); more than
/// [`TYPOS_MAX`] where that is clear without counting.
fn typos(one: &str, other: &str) -> usize {
    if one.len().abs_diff(other.len()) > TYPOS_MAX {
        return usize::MAX;
    }
    let other = other.as_bytes();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for column in 0..other.len() {
            let changed = diagonal + usize::from(letter != other[column]);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_meant_is_named_and_nothing_else() {
        let names = [
            "registry.example.org/prod/app:1",
            "registry.example.org/prod/app:2",
            "docker.io/library/debian:12",
            "docker.io/library/python:3",
        ];
        let meant = |asked: &str| similar(asked, names.into_iter());
        assert_eq!(meant("docker.io/library/app:1"), [names[0], names[1]]);
        assert_eq!(meant("docker.io/library/debain:12"), [names[2]]);
        assert_eq!(meant("docker.io/library/debian:13"), [names[2]]);
        assert_eq!(meant("docker.io/library/alpine:3"), [""; 0]);
        assert_eq!(meant("0123456789abcdef"), [""; 0]);
    }

    #[test]
    fn letters_that_differ_are_counted() {
        for (one, other, number) in
            [("", "", 0), ("a", "", 1), ("abc", "abd", 1), ("abc", "acb", 2), ("ab", "ba", 2)]
        {
            assert_eq!(typos(one, other), number, "{one} {other}");
        }
    }
}
