//! What changes on the ESP, worked out before any of it is done.

use std::path::Path;

use sealpack_format::boot::BootParameters;
use sha2::{Digest, Sha256};

use super::choose::Chosen;
use super::error::UpgradeError;
use crate::esp::{Boots, Counter, Entry, Esp, Facts, FileName, LoaderVariables, NextBy, firmware};

/// What becomes of the variable by which an entry is always started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is.
    None,
    /// It goes.
    Clear,
    /// It gets this pattern.
    Set(String),
}

/// Where a host is with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs, and comes next too.
    Running,
    /// It comes next.
    Next,
    /// Something is to be done for that.
    ToDo,
}

/// What is to be done so that an image comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where the host is before.
    pub state: State,
    /// Entries that go, before anything is written.
    pub remove: Vec<Entry>,
    /// The UKI that is written: what its name begins with.
    pub write: Option<String>,
    /// An entry that gets its tries back.
    pub again: Option<Entry>,
    /// What becomes of the variable.
    pub variable: Change,
    /// The UKIs that stay, or come: what they start, with their names.
    pub kept: Vec<(String, BootParameters)>,
}

/// Plans to have a UKI come next. What runs stays, and if that has not yet come up for good, one that has. `again`: also one
/// that did not come up, or that somebody went back from.
///
/// # Errors
/// [`UpgradeError::Failed`], [`UpgradeError::LastTry`], [`UpgradeError::PutBack`]; [`UpgradeError::Unnameable`].
pub fn to(boots: &Boots, facts: &Facts, chosen: &Chosen, again: bool) -> Result<Plan, UpgradeError> {
    let sha256: [u8; 32] = Sha256::digest(&chosen.bytes).into();
    let there = boots.entries.iter().position(|entry| entry.sha256 == sha256 && entry.release.is_some());
    let (mut plan, new) = match there {
        Some(index) => present(boots, index, again)?,
        None => absent(boots, chosen, sha256),
    };
    if plan.state == State::ToDo {
        let is_other = |entry: &&Entry| {
            !plan.remove.contains(entry)
                && plan.again.as_ref() != Some(entry)
                && entry.file_name != new.file_name
        };
        let others = boots.entries.iter().filter(is_other);
        let entries: Vec<Entry> = others.cloned().chain([new.clone()]).collect();
        plan.variable = change(&entries, &new, facts)?;
    }
    let stays = boots.entries.iter().filter(|entry| !plan.remove.contains(entry));
    plan.kept = stays.chain([&new]).filter_map(kept).collect();
    Ok(plan)
}

fn kept(entry: &Entry) -> Option<(String, BootParameters)> {
    Some((entry.file_name.clone(), entry.uki.as_ref().ok()?.command_line.boot().clone()))
}

/// With an entry that is there already. Answers with what it will be.
fn present(boots: &Boots, index: usize, again: bool) -> Result<(Plan, Entry), UpgradeError> {
    let entry = &boots.entries[index];
    let state = match (boots.next == Some(index), boots.running == Some(index)) {
        (true, true) => State::Running,
        (true, false) if !entry.is_spent() => State::Next,
        _ => State::ToDo,
    };
    let nothing = Plan {
        state,
        remove: Vec::new(),
        write: None,
        again: None,
        variable: Change::None,
        kept: Vec::new(),
    };
    if state != State::ToDo {
        return Ok((nothing, entry.clone()));
    }
    let file = entry.file_name.clone();
    if entry.is_spent() {
        // Whoever marks it as good looks for the name that it was started by.
        if boots.running == Some(index) {
            return Err(UpgradeError::LastTry { file });
        }
        if !again {
            return Err(UpgradeError::Failed { file });
        }
        let name = entry.name.with(Some(Counter::NEW));
        let new = Entry { file_name: name.to_string(), name, ..entry.clone() };
        return Ok((Plan { again: Some(entry.clone()), ..nothing }, new));
    }
    if boots.next_by == NextBy::Variable && !again {
        return Err(UpgradeError::PutBack { file });
    }
    Ok((nothing, entry.clone()))
}

/// With a UKI that is to be written. Answers with what its entry will be.
fn absent(boots: &Boots, chosen: &Chosen, sha256: [u8; 32]) -> (Plan, Entry) {
    let remove = not_needed(boots);
    let stays = |stem: &str| {
        let name = FileName { stem: stem.to_owned(), counter: None };
        boots.entries.iter().any(|entry| entry.name.is_of(&name) && !remove.contains(entry))
    };
    let usual = format!("sealed_{}", chosen.uki.epoch().unwrap_or_default());
    let [first, second, third, fourth, ..] = sha256;
    let stem = match stays(&usual) {
        // Of another image of that epoch, or of the same with another command line, say, or another signer.
        true => format!("{usual}_{first:02x}{second:02x}{third:02x}{fourth:02x}"),
        false => usual,
    };
    let name = FileName { stem: stem.clone(), counter: Some(Counter::NEW) };
    let entry = Entry {
        file_name: name.to_string(),
        name,
        size_bytes: chosen.bytes.len() as u64,
        sha256,
        release: Some(chosen.uki.release.clone()),
        uki: Ok(chosen.uki.clone()),
    };
    let (write, variable) = (Some(stem), Change::None);
    (Plan { state: State::ToDo, remove, write, again: None, variable, kept: Vec::new() }, entry)
}

/// The entries that are of no use beside a new one: all but what runs, or would be started where nothing of the host runs,
/// and, while that has not been blessed, the best that has.
fn not_needed(boots: &Boots) -> Vec<Entry> {
    let base = boots.running.or(boots.next);
    let is_good = |index: &usize| {
        let entry = &boots.entries[*index];
        let is_host = entry.uki.is_ok() && entry.release.is_some();
        Some(*index) != base && is_host && entry.name.counter.is_none()
    };
    let counts = base.is_some_and(|index| boots.entries[index].name.counter.is_some());
    let good = counts.then(|| (0..boots.entries.len()).find(is_good)).flatten();
    let is_needed = |index: &usize| Some(*index) == base || Some(*index) == good;
    // What others put there is theirs.
    let is_ours = |entry: &&Entry| entry.uki.is_ok() || entry.release.is_none();
    let entries =
        (0..boots.entries.len()).filter(|index| !is_needed(index)).map(|index| &boots.entries[index]);
    entries.filter(is_ours).cloned().collect()
}

/// What has to become of the variable so that `wanted` comes next among `entries`: nothing, where that does; or what is
/// known to have it come.
fn change(entries: &[Entry], wanted: &Entry, facts: &Facts) -> Result<Change, UpgradeError> {
    let comes_next = |default: Option<String>| {
        // What is said for one start only passes.
        let variables = LoaderVariables { default, one_shot: None, ..facts.variables.clone() };
        let facts = Facts { variables, ..facts.clone() };
        Boots::of(entries.to_vec(), &facts).next().is_some_and(|next| next.file_name == wanted.file_name)
    };
    if comes_next(facts.variables.default.clone()) {
        return Ok(Change::None);
    }
    if comes_next(None) {
        return Ok(Change::Clear);
    }
    let file = || wanted.file_name.clone();
    let pattern = wanted.name.pattern().ok_or_else(|| UpgradeError::Unnameable { file: file() })?;
    match comes_next(Some(pattern.clone())) {
        true => Ok(Change::Set(pattern)),
        false => Err(UpgradeError::Ambiguous { file: file() }),
    }
}

/// Plans to have the fallback come next.
///
/// # Errors
/// [`UpgradeError::NoFallback`]: there is none, or none with tries left; [`UpgradeError::Unnameable`].
pub fn back_to(boots: &Boots, facts: &Facts) -> Result<(Plan, Entry), UpgradeError> {
    let fallback = boots.fallback().filter(|entry| entry.uki.is_ok() && !entry.is_spent());
    let next = boots.next().map_or_else(|| "none".to_owned(), |next| next.file_name.clone());
    let fallback = fallback.ok_or(UpgradeError::NoFallback { next })?;
    let plan = Plan {
        state: State::ToDo,
        remove: Vec::new(),
        write: None,
        again: None,
        variable: change(&boots.entries, fallback, facts)?,
        kept: boots.entries.iter().filter_map(kept).collect(),
    };
    Ok((plan, fallback.clone()))
}

impl Plan {
    /// That the ESP has room for it, and nothing else of that name.
    ///
    /// # Errors
    /// As [`Esp::check_room`] and [`Esp::check_name`].
    pub fn check_room(&self, esp: &Esp, chosen: &Chosen) -> Result<(), UpgradeError> {
        match &self.write {
            Some(stem) => {
                let removed: Vec<&Entry> = self.remove.iter().collect();
                esp.check_name(stem, &removed)?;
                Ok(esp.check_room(chosen.bytes.len() as u64, &removed)?)
            }
            None => Ok(esp.check_writable()?),
        }
    }

    /// Does it: each step is on the disk, or in the firmware, before the next. Answers with the name of the UKI, where one
    /// was written or got its tries back.
    ///
    /// # Errors
    /// Of the ESP and the firmware. What was started before is then started still.
    pub fn apply(
        &self,
        esp: &Esp,
        chosen: Option<&Chosen>,
        variables: &Path,
    ) -> Result<Option<String>, UpgradeError> {
        for entry in &self.remove {
            esp.remove(entry)?;
        }
        let name = match (&self.write, chosen, &self.again) {
            (Some(stem), Some(chosen), _) => Some(esp.write(stem, &chosen.bytes)?),
            (_, _, Some(entry)) => Some(esp.count(entry, Some(Counter::NEW))?),
            _ => None,
        };
        match &self.variable {
            Change::None => {}
            Change::Clear => firmware::set_default(variables, None)?,
            Change::Set(pattern) => firmware::set_default(variables, Some(pattern))?,
        }
        Ok(name)
    }
}
