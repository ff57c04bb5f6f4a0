//! What became of the image that had the name before.

use sealpack_format::text::{count, size};
use sealpack_format::tree::shown;

use crate::directories::{Group, grouped};
use crate::markup::Markup;
use crate::model::{Change, ChangedFile, Difference, Image, Totals};
use crate::table::{Cell, State, badge, details, paths, table};

/// How many files are named one by one.
const PATHS_MAX: usize = 200;

pub(crate) fn of_image(markup: &mut Markup, image: &Image) {
    markup.within("article", &[], |markup| {
        markup.within("h3", &[], |markup| markup.name(&image.names.join(", ")));
        match &image.change {
            None => markup.element("p", &[("class", "dim")], "No other image had the name before."),
            Some(Err(why)) => markup.within("p", &[], |markup| {
                badge(markup, State::Note, "not known");
                markup.text(" ");
                markup.name(why);
            }),
            Some(Ok(change)) => shown_change(markup, change),
        }
    });
    markup.line();
}

fn shown_change(markup: &mut Markup, change: &Change) {
    markup.within("p", &[], |markup| {
        markup.text("The image before is ");
        markup.element("code", &[("class", "digest")], &change.before);
        markup.text(&format!(", which came {} UTC.", change.pulled));
    });
    let number = |wanted: fn(&Difference) -> bool| {
        change.files.iter().filter(|file| wanted(&file.difference)).count() as u64
    };
    let objects = |totals: Totals| format!("{} ({})", size(totals.bytes), count(totals.number, "object"));
    markup.within("dl", &[("class", "figures")], |markup| {
        for (title, text) in [
            ("files added", number(|it| *it == Difference::Added).to_string()),
            ("removed", number(|it| *it == Difference::Removed).to_string()),
            ("changed", number(|it| matches!(it, Difference::Changed(_))).to_string()),
            ("kept", objects(change.both)),
            ("new", objects(change.new)),
            ("gone", objects(change.gone)),
        ] {
            markup.within("div", &[], |markup| {
                markup.element("dt", &[], title);
                markup.element("dd", &[], &text);
            });
        }
    });
    if change.files.is_empty() {
        return markup.element("p", &[], "All files are the same.");
    }
    let groups = grouped(change.files.iter().map(|file| file.path.as_slice()));
    directories(markup, change, &groups);
    let named: Vec<_> = change.files.iter().take(PATHS_MAX).map(named).collect();
    details(markup, "The files", |markup| paths(markup, &named, change.files.len()));
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
