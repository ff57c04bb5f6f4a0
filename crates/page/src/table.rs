//! Tables, badges, and other things that several parts of a page have.

use crate::markup::Markup;

/// How something is; shown by a sign and a word, not by a colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Not as it should be.
    Bad,
}

impl State {
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }

    const fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Note => "–",
            Self::Bad => "✗",
        }
    }
}

/// A cell of a table.
pub(crate) enum Cell {
    /// The program's own words.
    Text(String),
    /// A number, or a size.
    Number(String),
    /// A day, which is not broken.
    Day(String),
    /// What others have named.
    Name(String),
    /// A digest, a rule: characters of one width.
    Code(String),
    /// How something is.
    Badge(State, String),
}

/// A word about how something is.
pub(crate) fn badge(markup: &mut Markup, state: State, text: &str) {
    let class = format!("badge {}", state.class());
    markup.within("span", &[("class", &class)], |markup| {
        markup.element("span", &[("aria-hidden", "true")], state.sign());
        markup.text(" ");
        markup.text(text);
    });
}

/// A table that can be moved about in by the keyboard where it is wider than the page. The first column names the row.
pub(crate) fn table(markup: &mut Markup, caption: &str, header: &[&str], rows: &[Vec<Cell>]) {
    let region = [("class", "scroll"), ("role", "region"), ("tabindex", "0"), ("aria-label", caption)];
    markup.within("div", &region, |markup| {
        markup.within("table", &[], |markup| {
            markup.element("caption", &[], caption);
            markup.within("thead", &[], |markup| {
                markup.within("tr", &[], |markup| {
                    for (column, title) in header.iter().enumerate() {
                        let is_number =
                            rows.iter().any(|row| matches!(row.get(column), Some(Cell::Number(_))));
                        let class = if is_number { "number" } else { "" };
                        markup.element("th", &[("scope", "col"), ("class", class)], title);
                    }
                });
            });
            markup.within("tbody", &[], |markup| rows.iter().for_each(|row| table_row(markup, row)));
        });
    });
    markup.line();
}

fn table_row(markup: &mut Markup, row: &[Cell]) {
    markup.within("tr", &[], |markup| {
        for (column, content) in row.iter().enumerate() {
            let class = if matches!(content, Cell::Number(_)) { "number" } else { "" };
            match column {
                0 => {
                    markup.within("th", &[("scope", "row"), ("class", class)], |markup| cell(markup, content))
                }
                _ => markup.within("td", &[("class", class)], |markup| cell(markup, content)),
            }
        }
    });
    markup.line();
}

pub(crate) fn cell(markup: &mut Markup, content: &Cell) {
    match content {
        Cell::Text(text) | Cell::Number(text) => markup.text(text),
        Cell::Day(day) => markup.element("span", &[("class", "day")], day),
        Cell::Name(name) => markup.name(name),
        Cell::Code(code) => markup.element("code", &[], code),
        Cell::Badge(state, text) => badge(markup, *state, text),
    }
}

/// What is there for those who want more: closed until then, open on paper.
pub(crate) fn details(markup: &mut Markup, title: &str, inside: impl FnOnce(&mut Markup)) {
    markup.within("details", &[], |markup| {
        markup.element("summary", &[], title);
        inside(markup);
    });
    markup.line();
}

/// How many files of a kind are named one by one of each of so many images.
pub(crate) fn named_max(images: usize) -> usize {
    const MOST: usize = 100;
    const FEWEST: usize = 10;
    const OF_ALL: usize = 500;
    OF_ALL.checked_div(images).unwrap_or(MOST).clamp(FEWEST, MOST)
}

/// Names of files, no more than `most`, and how many there are besides.
pub(crate) fn paths(markup: &mut Markup, paths: &[(String, String)], all: usize) {
    markup.within("ul", &[("class", "paths")], |markup| {
        for (path, remark) in paths {
            markup.within("li", &[], |markup| {
                markup.name(path);
                if !remark.is_empty() {
                    markup.text(" ");
                    markup.element("span", &[("class", "dim")], remark);
                }
            });
        }
        if let Some(more) = all.checked_sub(paths.len()).filter(|more| *more > 0) {
            markup.element("li", &[("class", "dim")], &format!("and {more} more"));
        }
    });
}

/// The beginning of a digest, which tells it from the others of a page.
pub(crate) fn short(digest: &str) -> String {
    let hex = digest.rsplit_once(':').map_or(digest, |(_, hex)| hex);
    hex.chars().take(12).collect()
}
