//! For the demo: containers on this host, what root tries there, and what becomes of it.

use crate::checks::{containers, tools};
use anyhow::Result;
use sealpack_guest::report::Row;
use sealpack_guest::root::{AREAS, Tried, Went};

/// So many attempts of one kind are shown, and the others counted.
const SHOWN: usize = 2;

/// A row for each, with the hardening that is there for it.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let tools = tools()?;
    let mut rows = containers::rows()?;
    for area in AREAS {
        let tried = (area.attempts)(&tools)?;
        let why = match area.hardening {
            Some(hardening) => format!("{hardening}: stops {}", hardening.stops()),
            None => "the policy: only what is on signed devices executes".to_owned(),
        };
        for (index, attempt) in tried.iter().take(SHOWN).enumerate() {
            let explained = if index == 0 { why.clone() } else { String::new() };
            rows.push(Row { tried: attempt.what.clone(), said: attempt.went.to_string(), explained });
        }
        rows.extend(others(&tried));
    }
    Ok(rows)
}

/// One row for all that are not shown.
fn others(tried: &[Tried]) -> Option<Row> {
    let others = tried.get(SHOWN..).filter(|others| !others.is_empty())?;
    let through = others.iter().filter(|attempt| attempt.went == Went::Through).count();
    let said = match through {
        0 => "each was refused".to_owned(),
        through => format!("{through} succeeded"),
    };
    Some(Row { tried: format!("{} more of this kind", others.len()), said, explained: String::new() })
}
