//! What README.md and the pages in docs/ point at is there: files, and headings in them.

use anyhow::{Context, Result, ensure};
use sealpack_tests::paths;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn what_the_pages_point_at_is_there() -> Result<()> {
    let mut pages = vec![paths::workspace().join("README.md"), paths::workspace().join("CHANGELOG.md")];
    for place in ["docs", "docs/formats"] {
        for entry in fs::read_dir(paths::workspace().join(place))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    let mut followed = 0;
    for page in pages {
        let text = fs::read_to_string(&page)?;
        for link in links(&text) {
            followed += 1;
            follow(&page, link).with_context(|| format!("{} points at {link}", page.display()))?;
        }
    }
    ensure!(followed > 100, "only {followed} links were found");
    Ok(())
}

/// The targets of links that are in this project, outside of code.
fn links(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut links = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        if !in_code && !line.starts_with("    ") {
            links.extend(
                line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target),
            );
        }
    }
    links.retain(|target| !target.contains("://"));
    links
}

fn follow(page: &Path, link: &str) -> Result<()> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let path: PathBuf = if file.is_empty() {
        page.to_owned()
    } else {
        page.parent().context("a page is in a directory")?.join(file)
    };
    ensure!(path.exists(), "nothing is there");
    if heading.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(&path)?;
    ensure!(headings(&text).any(|name| name == heading), "there is no such heading");
    Ok(())
}

/// What a page's headings are called in links: lowercase, hyphens for blanks, and no punctuation.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| line.strip_prefix('#')).map(|line| {
        let name = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |letter: char| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ => letter.is_alphanumeric().then_some(letter),
        };
        name.chars().filter_map(kept).collect()
    })
}
