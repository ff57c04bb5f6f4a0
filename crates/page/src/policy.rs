//! What a policy would execute and deny of images.

use std::collections::BTreeMap;

use sealpack_format::text::count;
use sealpack_format::tree::shown;

use crate::directories::{Group, grouped};
use crate::markup::Markup;
use crate::model::{Checked, File, Image, Note, Page, Reason};
use crate::table::{Cell, State, badge, details, named_max, paths, table};
use crate::treemap::{Area, divided};

/// The picture's width, in its own units.
const WIDTH: f64 = 1000.0;
/// Its height, from that of one file to that of many.
const HEIGHTS: (f64, f64) = (60.0, 420.0);
/// The height of a directory's name, and how wide its letters are.
const NAME: (f64, f64) = (18.0, 7.0);

pub(crate) fn section(markup: &mut Markup, page: &Page) {
    if let Some(checked) = page.images.iter().find_map(|image| image.checked.as_ref().ok()) {
        markup.within("p", &[], |markup| {
            markup.text("Judged by the policy ");
            markup.name(&checked.policy);
            markup.text(&format!(", {}.", checked.origin));
        });
    }
    let paths_max = named_max(page.images.len());
    for (image, place) in page.images.iter().zip(0..) {
        markup.within("article", &[], |markup| of_image(markup, image, place, paths_max));
        markup.line();
    }
}

fn of_image(markup: &mut Markup, image: &Image, place: usize, paths_max: usize) {
    markup.within("h3", &[], |markup| markup.name(&image.names.join(", ")));
    let checked = match &image.checked {
        Ok(checked) => checked,
        Err(why) => {
            return markup.within("p", &[], |markup| {
                badge(markup, State::Bad, "not known");
                markup.text(" ");
                markup.name(why);
            });
        }
    };
    let denied = checked.files.iter().filter(|file| !allows(checked, file)).count();
    let all = checked.files.len();
    markup.within("p", &[], |markup| {
        match denied {
            0 => badge(markup, State::Good, &format!("allows all {}", count(all as u64, "file"))),
            _ => badge(markup, State::Bad, &format!("denies {denied} of {}", count(all as u64, "file"))),
        }
        markup.text(&format!(" {}", checked.judged_as));
    });
    if all > 0 {
        let groups = grouped(checked.files.iter().map(|file| file.path.as_slice()));
        picture(markup, checked, &groups, place);
        details(markup, "The same as a table", |markup| directories(markup, checked, &groups));
    }
    reasons(markup, checked, paths_max);
    notes(markup, &checked.notes, paths_max);
}

fn allows(checked: &Checked, file: &File) -> bool {
    checked.reasons.get(file.reason).is_some_and(|reason| reason.allows)
}

/// The numbers of files of a group by reason.
fn by_reason(checked: &Checked, group: &Group) -> Vec<(usize, u64)> {
    let mut numbers: BTreeMap<usize, u64> = BTreeMap::new();
    for file in group.files.iter().filter_map(|file| checked.files.get(*file)) {
        *numbers.entry(file.reason).or_default() += 1;
    }
    // What is denied comes first.
    let allows = |reason: usize| checked.reasons.get(reason).is_some_and(|reason| reason.allows);
    let mut numbers: Vec<_> = numbers.into_iter().collect();
    numbers.sort_by_key(|(reason, _)| (allows(*reason), *reason));
    numbers
}

fn picture(markup: &mut Markup, checked: &Checked, groups: &[Group], place: usize) {
    let label = format!(
        "{} by directory; the larger, the more. The same is in the table below",
        count(checked.files.len() as u64, "file")
    );
    let pattern = format!("denied-{place}");
    markup.within("figure", &[], |markup| {
        let height = (HEIGHTS.0 + 6.0 * checked.files.len() as f64).min(HEIGHTS.1);
        let whole = Area { x: 0.0, y: 0.0, width: WIDTH, height };
        let size = format!("0 0 {WIDTH} {height}");
        markup.within(
            "svg",
            &[("class", "treemap"), ("viewBox", &size), ("role", "img"), ("aria-label", &label)],
            |markup| {
                hatching(markup, &pattern);
                let weights: Vec<u64> = groups.iter().map(|group| group.files.len() as u64).collect();
                for (group, area) in groups.iter().zip(divided(&weights, whole)) {
                    directory(markup, checked, group, area, &pattern);
                }
            },
        );
        markup.within("figcaption", &[], |markup| {
            markup.text(
                "Directories, as large as they have files that can be executed or loaded (* is what is left of one): ",
            );
            markup.element("span", &[("class", "key allowed")], "allowed");
            markup.text(" ");
            markup.element("span", &[("class", "key denied")], "denied");
        });
    });
    markup.line();
}

/// Lines across what is denied, for who sees no difference of colours.
fn hatching(markup: &mut Markup, id: &str) {
    markup.within("defs", &[], |markup| {
        let pattern = [
            ("id", id),
            ("width", "8"),
            ("height", "8"),
            ("patternUnits", "userSpaceOnUse"),
            ("patternTransform", "rotate(45)"),
        ];
        markup.within("pattern", &pattern, |markup| {
            markup.within("rect", &[("class", "denied"), ("width", "8"), ("height", "8")], |_| {});
            markup.within("rect", &[("class", "hatch"), ("width", "1.6"), ("height", "8")], |_| {});
        });
    });
}

fn directory(markup: &mut Markup, checked: &Checked, group: &Group, area: Area, pattern: &str) {
    let name = group.label();
    let has_room = area.height > 2.0 * NAME.0 && area.width > 9.0 * NAME.1;
    let top = if has_room { NAME.0 } else { 0.0 };
    let numbers = by_reason(checked, group);
    markup.within("g", &[], |markup| {
        let weights: Vec<u64> = numbers.iter().map(|(_, number)| *number).collect();
        shape(markup, area.inside(0.0, 0.75), "frame", None, &[]);
        for ((reason, number), area) in numbers.iter().zip(divided(&weights, area.inside(top, 1.5))) {
            let Some(reason) = checked.reasons.get(*reason) else { continue };
            let title = format!("{name}: {} {}", count(*number, "file"), told(reason));
            let (class, fill) = match reason.allows {
                true => ("allowed", None),
                false => ("", Some(format!("url(#{pattern})"))),
            };
            shape(markup, area, class, fill.as_deref(), &[&title]);
        }
        if has_room {
            let (x, y) = (format!("{:.1}", area.x + 5.0), format!("{:.1}", area.y + 14.0));
            markup.element("text", &[("x", &x), ("y", &y)], &fitting(&name, (area.width - 10.0) / NAME.1));
        }
    });
}

/// As much of a path as so many letters are: its end says more than its beginning.
fn fitting(name: &str, letters: f64) -> String {
    let length = name.chars().count();
    if length as f64 <= letters {
        return name.to_owned();
    }
    let skipped = (length as f64 - letters).ceil().max(0.0) as usize + 1;
    std::iter::once('…').chain(name.chars().skip(skipped)).collect()
}

fn shape(markup: &mut Markup, area: Area, class: &str, fill: Option<&str>, title: &[&str]) {
    let numbers = [area.x, area.y, area.width, area.height].map(|number| format!("{number:.1}"));
    let [x, y, width, height] = &numbers;
    let mut attributes = vec![("x", x.as_str()), ("y", y), ("width", width), ("height", height)];
    match fill {
        Some(fill) => attributes.push(("fill", fill)),
        None => attributes.push(("class", class)),
    }
    markup.within("rect", &attributes, |markup| {
        title.iter().for_each(|title| markup.element("title", &[], title));
    });
}

fn told(reason: &Reason) -> String {
    format!("{}: {}", if reason.allows { "allowed" } else { "denied" }, reason.why)
}

fn directories(markup: &mut Markup, checked: &Checked, groups: &[Group]) {
    let row = |group: &Group| {
        let numbers = by_reason(checked, group);
        let allows = |place: usize| checked.reasons.get(place).is_some_and(|reason| reason.allows);
        let sum = |wanted: bool| -> u64 {
            numbers.iter().filter(|(reason, _)| allows(*reason) == wanted).map(|(_, number)| number).sum()
        };
        let why = numbers.iter().filter(|(reason, _)| !allows(*reason));
        let why: Vec<&str> = why
            .filter_map(|(reason, _)| checked.reasons.get(*reason))
            .map(|reason| reason.why.as_str())
            .collect();
        vec![
            Cell::Name(group.label()),
            Cell::Number(sum(true).to_string()),
            Cell::Number(sum(false).to_string()),
            Cell::Text(why.join("; ")),
        ]
    };
    let rows: Vec<Vec<Cell>> = groups.iter().map(row).collect();
    table(markup, "Files by directory", &["Directory", "Allowed", "Denied", "Why denied"], &rows);
}

/// By what files are allowed and denied; of those denied, which they are.
fn reasons(markup: &mut Markup, checked: &Checked, paths_max: usize) {
    let of = |place: usize| checked.files.iter().filter(move |file| file.reason == place);
    let mut order: Vec<usize> = (0..checked.reasons.len()).collect();
    order.sort_by_key(|place| (checked.reasons.get(*place).is_some_and(|reason| reason.allows), *place));
    let numbered = || order.iter().filter_map(|place| Some((*place, checked.reasons.get(*place)?)));
    let rows: Vec<Vec<Cell>> = numbered()
        .map(|(place, reason)| {
            vec![
                match reason.allows {
                    true => Cell::Badge(State::Good, "allowed".to_owned()),
                    false => Cell::Badge(State::Bad, "denied".to_owned()),
                },
                Cell::Number(of(place).count().to_string()),
                match reason.more_rules {
                    0 => Cell::Code(reason.rule.clone()),
                    more => Cell::Code(format!("{} and {} like it", reason.rule, count(more as u64, "line"))),
                },
                Cell::Text(reason.why.clone()),
            ]
        })
        .collect();
    if !rows.is_empty() {
        table(markup, "What decides", &["Decision", "Files", "Line of the policy", "Why"], &rows);
    }
    for (place, reason) in numbered().filter(|(_, reason)| !reason.allows) {
        let all = of(place).count();
        let title = format!("{} denied: {}", count(all as u64, "file"), reason.why);
        let named: Vec<(String, String)> = of(place)
            .take(paths_max)
            .map(|file| (shown(&file.path), format!("{}, {}", file.kind, file.operation)))
            .collect();
        details(markup, &title, |markup| paths(markup, &named, all));
    }
}

/// The kinds of notes, with what each is about.
const KINDS: [(&str, &str); 4] = [
    ("privileges", "Files with rights of their own (setuid, setgid, capabilities)"),
    ("open-interpreters", "Interpreters that run what they are given"),
    ("run-time-code", "Code that is made at run time (JIT compilers, closures)"),
    ("missing-interpreter", "Files that cannot be started"),
];

fn notes(markup: &mut Markup, notes: &[Note], paths_max: usize) {
    markup.element("h4", &[], "What no policy can help with");
    if notes.is_empty() {
        markup.element("p", &[], "Nothing was found.");
    }
    let is_known = |note: &&Note| KINDS.iter().any(|(kind, _)| *kind == note.kind);
    for (kind, title) in KINDS {
        note(markup, title, &notes.iter().filter(|note| note.kind == kind).collect::<Vec<_>>(), paths_max);
    }
    note(markup, "Else", &notes.iter().filter(|note| !is_known(note)).collect::<Vec<_>>(), paths_max);
}

/// Notes of a kind, those that say the same together.
fn note(markup: &mut Markup, title: &str, notes: &[&Note], paths_max: usize) {
    if notes.is_empty() {
        return;
    }
    let mut groups: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for note in notes {
        groups.entry(&note.text).or_default().extend(note.path.as_deref());
    }
    let title = format!("{title}: {}", notes.len());
    details(markup, &title, |markup| {
        for (text, files) in groups {
            markup.within("p", &[], |markup| markup.name(text));
            let named: Vec<_> =
                files.iter().take(paths_max).map(|path| (shown(path), String::new())).collect();
            if !named.is_empty() {
                paths(markup, &named, files.len());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn a_name_that_does_not_fit_keeps_its_end() {
        assert_eq!(fitting("/usr/bin", 8.0), "/usr/bin");
        assert_eq!(fitting("/usr/bin", 6.5), "…r/bin");
        assert_eq!(fitting("/usr/bin", 0.0), "…");
    }
}
