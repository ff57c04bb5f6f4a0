//! What became of the image that had the name before.

use sealpack_format::text::{count, size};
use sealpack_format::tree::shown;

use crate::directories::{Group, grouped};
use crate::markup::Markup;
use crate::model::{Change, ChangedFile, Difference, Image, PackageChange, Totals};
use crate::table::{Cell, State, badge, details, named_max, paths, table};

pub(crate) fn section(markup: &mut Markup, images: &[Image]) {
    for image in images {
        let Some(change) = &image.change else { continue };
        markup.within("article", &[], |markup| {
            markup.within("h3", &[], |markup| markup.name(&image.names.join(", ")));
            match change {
                Ok(change) => shown_change(markup, change, 2 * named_max(images.len())),
                Err(why) => unknown(markup, why),
            }
        });
        markup.line();
    }
    let without: Vec<&str> = images
        .iter()
        .filter(|image| image.change.is_none())
        .flat_map(|image| image.names.iter().map(String::as_str))
        .collect();
    if !without.is_empty() {
        markup.within("p", &[("class", "dim")], |markup| {
            markup.text("No other image had these names before: ");
            markup.name(&without.join(", "));
        });
    }
}

fn unknown(markup: &mut Markup, why: &str) {
    markup.within("p", &[], |markup| {
        badge(markup, State::Note, "not known");
        markup.text(" ");
        markup.name(why);
    });
}

fn shown_change(markup: &mut Markup, change: &Change, most: usize) {
    markup.within("p", &[], |markup| {
        markup.text("The image before is ");
        markup.element("code", &[("class", "digest")], &change.before);
        markup.text(&format!(", which came {} UTC.", change.pulled));
    });
    let number = |wanted: fn(&Difference) -> bool| {
        change.files.iter().filter(|file| wanted(&file.difference)).count() as u64
    };
    let files = |number: u64| (number.to_string(), String::new());
    let objects = |totals: Totals| (size(totals.bytes), count(totals.number, "object"));
    markup.within("dl", &[("class", "figures")], |markup| {
        for (title, (text, more)) in [
            ("files added", files(number(|it| *it == Difference::Added))),
            ("removed", files(number(|it| *it == Difference::Removed))),
            ("changed", files(number(|it| matches!(it, Difference::Changed(_))))),
            ("kept", objects(change.both)),
            ("new", objects(change.new)),
            ("gone", objects(change.gone)),
        ] {
            markup.within("div", &[], |markup| {
                markup.element("dt", &[], title);
                markup.within("dd", &[], |markup| {
                    markup.text(&text);
                    markup.text(" ");
                    markup.element("small", &[], &more);
                });
            });
        }
    });
    match &change.packages {
        None => {}
        Some(Ok(packages)) => changed_packages(markup, packages, most),
        Some(Err(why)) => unknown(markup, why),
    }
    if change.files.is_empty() {
        return markup.element("p", &[], "All files are the same.");
    }
    let groups = grouped(change.files.iter().map(|file| file.path.as_slice()));
    directories(markup, change, &groups);
    let named: Vec<_> = change.files.iter().take(most).map(named).collect();
    details(markup, "The files", |markup| paths(markup, &named, change.files.len()));
}

fn changed_packages(markup: &mut Markup, packages: &[PackageChange], most: usize) {
    let version = |version: &Option<String>| Cell::Code(version.clone().unwrap_or_else(|| "–".to_owned()));
    let row = |package: &PackageChange| {
        vec![Cell::Name(package.name.clone()), version(&package.before), version(&package.now)]
    };
    let rows: Vec<Vec<Cell>> = packages.iter().take(most).map(row).collect();
    let title = format!("{} with another version, new or gone", count(packages.len() as u64, "package"));
    if rows.is_empty() {
        return markup.element("p", &[], "Every package has the version that it had.");
    }
    details(markup, &title, |markup| {
        table(markup, "Packages that differ", &["Package", "Before", "Now"], &rows);
        if let Some(more) = packages.len().checked_sub(most).filter(|more| *more > 0) {
            markup.element("p", &[("class", "dim")], &format!("and {more} more"));
        }
    });
}

fn named(file: &ChangedFile) -> (String, String) {
    let remark = match &file.difference {
        Difference::Added => "added".to_owned(),
        Difference::Removed => "removed".to_owned(),
        Difference::Changed(what) => format!("changed: {}", what.join(", ")),
    };
    (shown(&file.path), remark)
}

fn directories(markup: &mut Markup, change: &Change, groups: &[Group]) {
    let row = |group: &Group| {
        let files = || group.files.iter().filter_map(|place| change.files.get(*place));
        let number = |wanted: fn(&Difference) -> bool| {
            Cell::Number(files().filter(|file| wanted(&file.difference)).count().to_string())
        };
        vec![
            Cell::Name(group.label()),
            number(|it| *it == Difference::Added),
            number(|it| *it == Difference::Removed),
            number(|it| matches!(it, Difference::Changed(_))),
        ]
    };
    let rows: Vec<Vec<Cell>> = groups.iter().map(row).collect();
    table(markup, "Files that differ, by directory", &["Directory", "Added", "Removed", "Changed"], &rows);
}
