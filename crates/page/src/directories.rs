//! Many files by a few directories.

use std::collections::BTreeMap;

use sealpack_format::tree::shown;

/// The most groups that files are in.
pub(crate) const GROUPS_MAX: usize = 28;

/// Files of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The directory, without a slash at its end: the root's is empty.
    directory: Vec<u8>,
    /// Whether it is what is left of the directory without those below it that are groups of their own.
    is_rest: bool,
    /// The places of its files.
    pub(crate) files: Vec<usize>,
}

impl Group {
    /// The directory, for people; what is left of one as `/usr/*`.
    pub(crate) fn label(&self) -> String {
        match (self.is_rest, shown(&self.directory)) {
            (true, directory) => format!("{directory}/*"),
            (false, directory) if directory.is_empty() => "/".to_owned(),
            (false, directory) => directory,
        }
    }
}

/// Divides files, by their absolute paths, among at most [`GROUPS_MAX`] directories: the one with the most files is divided
/// by those below it until none is large, or there are enough. By directory.
pub(crate) fn grouped<'p>(paths: impl Iterator<Item = &'p [u8]>) -> Vec<Group> {
    let paths: Vec<&[u8]> = paths.collect();
    let mut groups = vec![Group { directory: Vec::new(), is_rest: false, files: (0..paths.len()).collect() }];
    let mut whole = Vec::new();
    while let Some(place) = largest(&groups, paths.len()) {
        let group = groups.swap_remove(place);
        let room = GROUPS_MAX - groups.len() - whole.len();
        match parts(&group, &paths, room) {
            parts if parts.is_empty() => whole.push(group),
            parts => groups.extend(parts),
        }
    }
    groups.extend(whole);
    groups.retain(|group| !group.files.is_empty());
    groups.sort_by(|one, other| (&one.directory, one.is_rest).cmp(&(&other.directory, other.is_rest)));
    groups
}

/// The place of the group to divide next: one that holds more than a few of all files.
fn largest(groups: &[Group], all: usize) -> Option<usize> {
    let enough = (all / GROUPS_MAX).max(1);
    let large = groups.iter().enumerate().filter(|(_, group)| !group.is_rest && group.files.len() > enough);
    let (place, _) = large.max_by(|(_, one), (_, other)| {
        one.files.len().cmp(&other.files.len()).then_with(|| other.directory.cmp(&one.directory))
    })?;
    Some(place)
}

/// The directories below that of a group which are worth a group of their own, with what is left; none if there is no such
/// directory, or no room.
fn parts(group: &Group, paths: &[&[u8]], room: usize) -> Vec<Group> {
    let mut below: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    let mut rest = Vec::new();
    for file in &group.files {
        let path = paths.get(*file).copied().unwrap_or_default();
        let inside = path.get(group.directory.len() + 1..).unwrap_or_default();
        match inside.iter().position(|byte| *byte == b'/') {
            Some(end) => below.entry(&path[..group.directory.len() + 1 + end]).or_default().push(*file),
            None => rest.push(*file),
        }
    }
    let mut below: Vec<(&[u8], Vec<usize>)> = below.into_iter().collect();
    below.sort_by_key(|(directory, files)| (std::cmp::Reverse(files.len()), *directory));
    // What is a hundredth of all is seen; the rest needs room, too.
    let few = paths.len() / 100;
    let own = below.iter().take(room.saturating_sub(1)).take_while(|(_, files)| files.len() > few).count();
    for (_, files) in below.split_off(own) {
        rest.extend(files);
    }
    if below.is_empty() {
        return Vec::new();
    }
    rest.sort_unstable();
    let mut parts: Vec<Group> = below
        .into_iter()
        .map(|(directory, files)| Group { directory: directory.to_vec(), is_rest: false, files })
        .collect();
    parts.push(Group { directory: group.directory.clone(), is_rest: true, files: rest });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(paths: &[String]) -> Vec<(String, usize)> {
        let groups = grouped(paths.iter().map(String::as_bytes));
        groups.iter().map(|group| (group.label(), group.files.len())).collect()
    }

    fn many(directory: &str, number: usize) -> Vec<String> {
        (0..number).map(|file| format!("{directory}/{file}")).collect()
    }

    #[test]
    fn large_directories_are_divided_and_small_ones_put_together() {
        let mut paths = many("/usr/bin", 300);
        paths.extend(many("/usr/lib/a", 200));
        paths.extend(many("/usr/lib/b", 90));
        paths.extend(many("/usr/lib/c", 2));
        paths.extend(many("/etc", 3));
        paths.push("/init".to_owned());
        let expected =
            [("/*", 4), ("/usr/bin", 300), ("/usr/lib/*", 2), ("/usr/lib/a", 200), ("/usr/lib/b", 90)];
        assert_eq!(labels(&paths), expected.map(|(label, files)| (label.to_owned(), files)));
    }

    #[test]
    fn every_file_is_in_one_group_and_there_are_never_too_many() {
        for paths in [
            (0..5000).map(|file| format!("/d{}/e{}/f{file}", file % 70, file % 7)).collect::<Vec<_>>(),
            (0..100).map(|depth| "/a".repeat(depth + 1)).collect(),
            many("", 40),
            Vec::new(),
        ] {
            let groups = grouped(paths.iter().map(String::as_bytes));
            let mut files: Vec<usize> = groups.iter().flat_map(|group| group.files.clone()).collect();
            files.sort_unstable();
            assert_eq!(files, (0..paths.len()).collect::<Vec<_>>());
            assert!(groups.len() <= GROUPS_MAX, "{}", groups.len());
        }
    }

    #[test]
    fn paths_that_are_not_text_are_shown_so() {
        let paths: [&[u8]; 2] = [b"/\xff\xfe/a", b"/\xff\xfe/b"];
        assert_eq!(grouped(paths.into_iter())[0].label(), "/\\xff\\xfe");
    }
}
