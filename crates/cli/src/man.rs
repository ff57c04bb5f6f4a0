//! Pages of docs/ as pages of the manual: the one text is the source of both, so that they say the same.
//!
//! What is understood of Markdown is what such pages have: a heading, paragraphs, indented blocks, tables, `code`,
//! **emphasis** and links. A page with more is refused by a test.

use std::fmt::Write as _;

/// A page of docs/ that is a page of the manual, too.
#[derive(Debug)]
pub(crate) struct Page {
    /// What it is called, such as `sealpack.toml`.
    pub(crate) name: &'static str,
    /// Of the manual.
    pub(crate) section: u8,
    /// What it is about, in a few words.
    pub(crate) about: &'static str,
    /// The text, in Markdown.
    pub(crate) text: &'static str,
}

/// The settings of a machine.
pub(crate) const SETTINGS: Page = Page {
    name: "sealpack.toml",
    section: 5,
    about: "what the programs of a machine use where nobody says otherwise",
    text: include_str!("../../../docs/sealpack.toml.md"),
};

/// A part of a page between empty lines.
#[derive(Debug, PartialEq, Eq)]
enum Block<'t> {
    Heading(&'t str),
    Paragraph(String),
    Verbatim(Vec<&'t str>),
    /// What the columns are called, and the rows.
    Table(Vec<&'t str>, Vec<Vec<&'t str>>),
}

impl Page {
    /// The file's name.
    pub(crate) fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }

    /// The page as man(1) reads it.
    pub(crate) fn roff(&self) -> String {
        let (name, about) = (escaped(self.name), escaped(self.about));
        let mut out = format!(
            ".TH {} {} \"\" \"sealpack\" \"File formats\"\n.SH NAME\n{name} \\- {about}\n.SH DESCRIPTION\n",
            self.name, self.section
        );
        for block in blocks(self.text) {
            block.write(&mut out);
        }
        out.push_str(".SH SEE ALSO\n.BR sealpack (1)\n");
        out
    }
}

impl Block<'_> {
    fn write(&self, out: &mut String) {
        match self {
            Self::Heading(text) => line(out, &format!(".SH {}", escaped(&text.to_uppercase()))),
            Self::Paragraph(text) => {
                out.push_str(".PP\n");
                line(out, &inline(text));
            }
            Self::Verbatim(lines) => {
                out.push_str(".PP\n.RS 4\n.nf\n");
                lines.iter().for_each(|text| line(out, &guarded(&escaped(text))));
                out.push_str(".fi\n.RE\n");
            }
            Self::Table(columns, rows) => rows.iter().for_each(|row| entry(out, columns, row)),
        }
    }
}

/// A row: what it is about, and below that what the other columns say, those behind the second with the column's name.
fn entry(out: &mut String, columns: &[&str], cells: &[&str]) {
    let Some((tag, rest)) = cells.split_first() else { return };
    out.push_str(".TP\n");
    line(out, &inline(tag));
    let Some((meaning, more)) = rest.split_first() else { return };
    let mut text = inline(meaning);
    for (column, cell) in columns.iter().skip(2).zip(more).filter(|(_, cell)| !cell.is_empty()) {
        write!(text, " ({column}: {})", inline(cell)).expect("a text takes what is written to it");
    }
    line(out, &text);
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    // Empty lines in the middle of an indented block belong to it.
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut was_empty = true;
    for text in lines {
        if text.is_empty() {
            was_empty = true;
            continue;
        }
        let begins = std::mem::take(&mut was_empty);
        if let Some(verbatim) = text.strip_prefix("    ") {
            match blocks.last_mut() {
                Some(Block::Verbatim(lines)) => {
                    lines.extend(begins.then_some(""));
                    lines.push(verbatim);
                }
                _ => blocks.push(Block::Verbatim(vec![verbatim])),
            }
        } else if let Some(heading) = text.strip_prefix("## ") {
            blocks.push(Block::Heading(heading));
        } else if text.starts_with("# ") {
            // The page's own name.
        } else if text.starts_with('|') {
            table_line(&mut blocks, text, begins);
        } else {
            match blocks.last_mut() {
                Some(Block::Paragraph(paragraph)) if !begins => {
                    paragraph.push(' ');
                    paragraph.push_str(text);
                }
                _ => blocks.push(Block::Paragraph(text.to_owned())),
            }
        }
    }
    blocks
}

fn table_line<'t>(blocks: &mut Vec<Block<'t>>, text: &'t str, begins: bool) {
    let cells: Vec<&str> = text.trim_matches('|').split('|').map(str::trim).collect();
    match blocks.last_mut() {
        Some(Block::Table(..))
            if cells.iter().all(|cell| cell.trim_matches('-').is_empty() && cell.len() > 2) => {}
        Some(Block::Table(_, rows)) if !begins => rows.push(cells),
        _ => blocks.push(Block::Table(cells, Vec::new())),
    }
}

/// A text with its marks as man(1) has them.
fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (plain, marked) = rest.split_at(at);
        out.push_str(&escaped(plain));
        rest = match span(marked) {
            Some((shown, after)) => {
                out.push_str(&shown);
                after
            }
            None => {
                let (mark, after) = marked.split_at(1);
                out.push_str(&escaped(mark));
                after
            }
        };
    }
    out.push_str(&escaped(rest));
    guarded(&out)
}

/// What a text that begins with a mark shows first, and what is behind that.
fn span(text: &str) -> Option<(String, &str)> {
    let bold = |shown: &str| format!("\\fB{}\\fR", escaped(shown));
    if let Some(code) = text.strip_prefix('`') {
        return code.split_once('`').map(|(code, after)| (bold(code), after));
    }
    if let Some(strong) = text.strip_prefix("**") {
        return strong.split_once("**").map(|(strong, after)| (bold(strong), after));
    }
    let (shown, after) = text.strip_prefix('[')?.split_once("](")?;
    let (_, after) = after.split_once(')')?;
    Some((escaped(shown), after))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// A line that man(1) does not take for a request.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_page_becomes_one_of_the_manual() {
        let text = "# x\n\nFirst `a-b` and\n[more](x.md).\n\n    one = 1\n\n    .two\n\n## Part\n\n| key | means | or |\n| --- | --- | --- |\n\
                    | `k` | **it** | `-o` |\n| `l` | that | |\n";
        let page = Page { name: "x.y", section: 5, about: "tests it", text };
        let expected = ".TH x.y 5 \"\" \"sealpack\" \"File formats\"\n.SH NAME\nx.y \\- tests it\n.SH DESCRIPTION\n\
                        .PP\nFirst \\fBa\\-b\\fR and more.\n.PP\n.RS 4\n.nf\none = 1\n\n\\&.two\n.fi\n.RE\n.SH PART\n\
                        .TP\n\\fBk\\fR\n\\fBit\\fR (or: \\fB\\-o\\fR)\n.TP\n\\fBl\\fR\nthat\n.SH SEE ALSO\n.BR sealpack (1)\n";
        assert_eq!(page.roff(), expected);
        assert_eq!(page.file_name(), "x.y.5");
    }

    /// What this does not understand would be printed with its marks.
    #[test]
    fn the_page_about_settings_has_nothing_that_is_not_understood() {
        for text in SETTINGS.text.lines() {
            let plain =
                !["```", "- ", "* ", "1. ", "> ", "### ", "<"].iter().any(|mark| text.starts_with(mark));
            assert!(plain, "{text}");
        }
        let page = SETTINGS.roff();
        for mark in ["`", "](", "**", "| "] {
            assert!(!page.contains(mark), "{mark} is left: {page}");
        }
    }
}
