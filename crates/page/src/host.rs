//! A machine: what its kernel enforces, whom it trusts, what is mounted, and what was denied.

use sealpack_format::text::count;

use crate::markup::Markup;
use crate::model::{Denial, Host, Keyring, Mount};
use crate::table::{Cell, State, badge, details, table};

/// How many kinds of denials are shown.
const DENIALS_MAX: usize = 200;
/// The levels, the highest first.
const LEVELS: [&str; 4] = ["enforced", "signed", "verified", "plain"];

pub(crate) fn section(markup: &mut Markup, host: &Host) {
    markup.within("p", &[], |markup| {
        let (state, word) =
            if host.enforcing { (State::Good, "enforcing") } else { (State::Note, "not enforcing") };
        badge(markup, state, word);
        markup.text(" Kernel ");
        markup.name(&host.kernel);
        markup.text(". IPE: ");
        markup.name(&host.enforces);
    });
    if let Some(policy) = &host.policy {
        details(markup, "The policy that decides", |markup| {
            markup.within("pre", &[("tabindex", "0"), ("aria-label", "The policy that decides")], |markup| {
                for line in policy.lines() {
                    markup.text(line);
                    markup.line();
                }
            });
        });
    }
    levels(markup, host);
    mounts(markup, &host.mounts);
    keyrings(markup, &host.keyrings);
    denials(markup, &host.denials);
}

fn unknown(markup: &mut Markup, why: &str) {
    markup.within("p", &[], |markup| {
        badge(markup, State::Note, "not known");
        markup.text(" ");
        markup.name(why);
    });
}

fn levels(markup: &mut Markup, host: &Host) {
    let rows: Vec<Vec<Cell>> = host
        .levels
        .iter()
        .map(|level| {
            let (state, word, text) = match &level.how {
                Ok(how) => (State::Good, "yes", how),
                Err(why) => (State::Note, "no", why),
            };
            let badge = Cell::Badge(state, word.to_owned());
            vec![Cell::Text(level.name.clone()), badge, Cell::Name(text.clone())]
        })
        .collect();
    table(markup, "Levels that mounts can reach", &["Level", "Reached", "How, or why not"], &rows);
}

fn mounts(markup: &mut Markup, mounts: &Result<Vec<Mount>, String>) {
    markup.element("h3", &[], "Mounted images, by level");
    let mounts = match mounts {
        Ok(mounts) => mounts,
        Err(why) => return unknown(markup, why),
    };
    if mounts.is_empty() {
        return markup.element("p", &[("class", "dim")], "No image is mounted.");
    }
    let order = |mount: &Mount| {
        let level = mount.level.as_ref().ok();
        LEVELS.iter().position(|known| level.is_some_and(|level| level == known)).unwrap_or(LEVELS.len())
    };
    by_level(markup, mounts);
    let mut sorted: Vec<&Mount> = mounts.iter().collect();
    sorted.sort_by_key(|mount| (order(mount), &mount.target));
    let rows: Vec<Vec<Cell>> = sorted.into_iter().map(mount).collect();
    table(markup, "Mounts", &["Target", "Image", "Level", "Why not more", "Since (UTC)"], &rows);
}

/// How many mounts are of each level; of how many that is not known, if of any.
fn by_level(markup: &mut Markup, mounts: &[Mount]) {
    let of = |level: &str| mounts.iter().filter(|mount| mount.level.as_deref() == Ok(level)).count();
    let unknown = mounts.iter().filter(|mount| mount.level.is_err()).count();
    let unknown = Some(("not known", unknown)).filter(|(_, number)| *number > 0);
    markup.within("dl", &[("class", "figures")], |markup| {
        for (level, number) in LEVELS.into_iter().map(|level| (level, of(level))).chain(unknown) {
            markup.within("div", &[], |markup| {
                markup.element("dt", &[], level);
                markup.element("dd", &[], &number.to_string());
            });
        }
    });
}

fn mount(mount: &Mount) -> Vec<Cell> {
    let (level, why) = match &mount.level {
        Ok(level) => {
            let state = match level.as_str() {
                "enforced" | "signed" => State::Good,
                "plain" => State::Bad,
                _ => State::Note,
            };
            (Cell::Badge(state, level.clone()), &mount.why_not_more)
        }
        Err(why) => (Cell::Badge(State::Note, "not known".to_owned()), why),
    };
    vec![
        Cell::Name(mount.target.clone()),
        Cell::Name(mount.image.clone()),
        level,
        Cell::Name(why.clone()),
        Cell::Text(mount.since.clone().unwrap_or_default()),
    ]
}

fn keyrings(markup: &mut Markup, keyrings: &[Keyring]) {
    markup.element("h3", &[], "Whom the kernel trusts");
    let rows: Vec<Vec<Cell>> = keyrings
        .iter()
        .map(|keyring| {
            let keys = match &keyring.keys {
                Ok(keys) if keys.is_empty() => Cell::Text("nothing".to_owned()),
                Ok(keys) => Cell::Name(keys.join("; ")),
                Err(why) => Cell::Badge(State::Note, why.clone()),
            };
            let number = keyring.keys.as_ref().map_or(String::new(), |keys| keys.len().to_string());
            vec![Cell::Code(keyring.name.clone()), Cell::Number(number), keys]
        })
        .collect();
    table(markup, "Keyrings", &["Keyring", "Certificates", "Whose"], &rows);
}

fn denials(markup: &mut Markup, denials: &Result<Vec<Denial>, String>) {
    markup.element("h3", &[], "Denied since the machine started");
    let denials = match denials {
        Ok(denials) => denials,
        Err(why) => return unknown(markup, why),
    };
    if denials.is_empty() {
        return markup.element("p", &[("class", "dim")], "Nothing, as far as the log goes back.");
    }
    let row = |denial: &Denial| {
        let (what, why) = (Cell::Name(denial.what.clone()), Cell::Name(denial.why.clone()));
        vec![what, Cell::Number(denial.count.to_string()), why]
    };
    let rows: Vec<Vec<Cell>> = denials.iter().take(DENIALS_MAX).map(row).collect();
    table(markup, "Denials, as far as the log goes back", &["What", "Times", "Why"], &rows);
    if let Some(more) = denials.len().checked_sub(DENIALS_MAX).filter(|more| *more > 0) {
        markup.element("p", &[("class", "dim")], &format!("and {} more", count(more as u64, "kind")));
    }
}
