//! What stands in a crate's sources, without its tests and comments.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The lines of a crate's code that have one of `words`, as `path:line`.
pub(crate) fn lines_with<'w>(directory: &Path, words: &'w [&str]) -> impl Iterator<Item = String> + 'w {
    code(&directory.join("src")).into_iter().flat_map(move |(path, text)| {
        let lines: Vec<String> = code_lines(&text)
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
            .map(|(number, _)| format!("{}:{number}", path.display()))
            .collect();
        lines
    })
}

/// The files below a directory that are not only for tests.
fn code(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    collect(directory, &mut files);
    assert!(!files.is_empty(), "{} has sources", directory.display());
    let for_tests: BTreeSet<PathBuf> =
        files.iter().flat_map(|(path, text)| modules_for_tests(path, text)).collect();
    files.retain(|(path, _)| !path.ancestors().any(|part| for_tests.contains(&part.with_extension(""))));
    files
}

fn collect(directory: &Path, files: &mut Vec<(PathBuf, String)>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory can be read to its end").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            files.push((path, text));
        }
    }
}

/// The modules that a file declares for tests, as paths without an ending.
fn modules_for_tests(path: &Path, text: &str) -> Vec<PathBuf> {
    let is_face =
        path.file_stem().is_some_and(|stem| ["lib", "mod", "main"].iter().any(|face| stem == *face));
    let below = if is_face { path.parent().unwrap_or(path).to_owned() } else { path.with_extension("") };
    let lines: Vec<&str> = text.lines().collect();
    lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(|name| below.join(name))
        .collect()
}

/// The lines with their numbers; without comments, and without modules for tests that are inside the file.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut before, mut in_tests) = ("", false);
    text.lines().zip(1..).filter_map(move |(line, number)| {
        in_tests |= before == "#[cfg(test)]" && line.contains("mod ") && line.ends_with('{');
        let is_code = !in_tests && !line.trim_start().starts_with("//");
        // The formatter has what begins at the margin end there.
        in_tests &= line != "}";
        before = line;
        is_code.then_some((number, line))
    })
}

#[test]
fn tests_and_comments_are_not_looked_at_and_what_follows_them_is() {
    let text = "a();\n// b();\n#[cfg(test)]\nmod tests {\n    c();\n}\nd();\n";
    let found: Vec<_> = code_lines(text).collect();
    assert_eq!(found, [(1, "a();"), (3, "#[cfg(test)]"), (7, "d();")]);
    let modules = modules_for_tests(Path::new("src/lib.rs"), "#[cfg(test)]\nmod fault;\nmod other;\n");
    assert_eq!(modules, [Path::new("src/fault")]);
    let modules = modules_for_tests(Path::new("src/pull.rs"), "#[cfg(test)]\nmod tests;\n");
    assert_eq!(modules, [Path::new("src/pull/tests")]);
}
