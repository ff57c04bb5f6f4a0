//! The table of crates in docs/architecture.md.

use std::collections::BTreeSet;

/// The table's first line, by which it is found.
const HEAD: &str = "| crate | is | may use |";

pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    /// The crate's directory, without `crates/`.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether nobody has made it yet.
    pub(crate) to_come: bool,
    pub(crate) may_use: BTreeSet<String>,
}

#[derive(PartialEq, Eq)]
pub(crate) enum Kind {
    Library,
    Program,
    ForTests,
}

impl Table {
    /// The table in a text; or what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().skip_while(|line| *line != HEAD);
        lines.next().ok_or_else(|| format!("no line is `{HEAD}`"))?;
        let rows: Vec<Row> =
            lines.skip(1).take_while(|line| line.starts_with('|')).map(row).collect::<Result<_, _>>()?;
        let names: BTreeSet<_> = rows.iter().map(|row| row.name.as_str()).collect();
        if names.len() != rows.len() {
            return Err("a crate has two rows".to_owned());
        }
        let unknown = rows.iter().flat_map(|row| &row.may_use).find(|used| !names.contains(used.as_str()));
        match unknown {
            Some(used) => Err(format!("`{used}` may be used, and has no row")),
            None => Ok(Self { rows }),
        }
    }

    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

fn row(line: &str) -> Result<Row, String> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let &[name, is, may_use] = cells.as_slice() else { return Err(format!("`{line}` has not three cells")) };
    let (is, to_come) = match is.strip_suffix(", to come") {
        Some(is) => (is, true),
        None => (is, false),
    };
    let kind = match is {
        "library" => Kind::Library,
        "program" => Kind::Program,
        "for tests" => Kind::ForTests,
        _ => return Err(format!("`{line}`: neither library nor program, nor for tests")),
    };
    let may_use = may_use.split(", ").filter(|used| *used != "-").map(str::to_owned).collect();
    Ok(Row { name: name.to_owned(), kind, to_come, may_use })
}
