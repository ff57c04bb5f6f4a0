//! Which UKI runs, which comes next, and which one if that does not come up.

use sealpack_format::boot::BootParameters;

use super::entry::Entry;
use super::firmware::LoaderVariables;
use super::name::FileName;
use super::pattern::fits;

/// What decides about the next start, besides the UKIs that are there. The tests fill it; a host's is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The boot loader's variables.
    pub variables: LoaderVariables,
    /// The pattern in the boot loader's own configuration.
    pub configured: Option<String>,
    /// What the host was booted from, as its command line says; `None` for a host that is none.
    pub booted: Option<BootParameters>,
}

/// Why an entry comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextBy {
    /// It is the best of them.
    Order,
    /// The variable `LoaderEntryOneShot` has it, for one start.
    OneShot,
    /// The variable `LoaderEntryDefault` has it.
    Variable,
    /// The boot loader's configuration has it.
    Configuration,
}

/// The UKIs on the ESP, and what becomes of them. Numbers are places in `entries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boots {
    /// All, in systemd-boot's order; behind them what it passes over.
    pub entries: Vec<Entry>,
    /// Which one runs, as far as it is there still; more than one may have the same image.
    pub running: Option<usize>,
    /// Which one comes next.
    pub next: Option<usize>,
    /// Why that one.
    pub next_by: NextBy,
    /// Which one comes if that one were not there. By itself it does only where the one before counts its tries.
    pub fallback: Option<usize>,
}

impl Boots {
    /// Works out what comes of `entries`.
    #[must_use]
    pub fn of(mut entries: Vec<Entry>, facts: &Facts) -> Self {
        entries.sort_by(|a, b| a.release.is_none().cmp(&b.release.is_none()).then_with(|| a.order(b)));
        let all: Vec<usize> = (0..entries.len()).filter(|index| entries[*index].release.is_some()).collect();
        let running = running(&entries, facts);
        let (next, next_by) = choose(&entries, &all, facts);
        let others: Vec<usize> = all.iter().copied().filter(|index| Some(*index) != next).collect();
        // What is said for one start only counts no more then.
        let later = Facts {
            variables: LoaderVariables { one_shot: None, ..facts.variables.clone() },
            ..facts.clone()
        };
        let (fallback, _) = choose(&entries, &others, &later);
        Self { entries, running, next, next_by, fallback }
    }

    /// The entry that runs.
    #[must_use]
    pub fn running(&self) -> Option<&Entry> {
        self.running.map(|index| &self.entries[index])
    }

    /// The entry that comes next.
    #[must_use]
    pub fn next(&self) -> Option<&Entry> {
        self.next.map(|index| &self.entries[index])
    }

    /// The entry that comes if the next one were not there.
    #[must_use]
    pub fn fallback(&self) -> Option<&Entry> {
        self.fallback.map(|index| &self.entries[index])
    }

    /// Whether systemd-boot goes to the fallback by itself if the next one does not come up: it does where the next one's
    /// tries are counted.
    #[must_use]
    pub fn falls_back(&self) -> bool {
        self.fallback.is_some() && self.next().is_some_and(|next| next.name.counter.is_some())
    }

    /// The entries that are neither what runs, nor what comes next, nor what is fallen back to: by their numbers.
    #[must_use]
    pub fn superfluous(&self) -> Vec<usize> {
        let needed = [self.running, self.next, self.fallback];
        (0..self.entries.len()).filter(|index| !needed.contains(&Some(*index))).collect()
    }
}

/// The entry that was chosen at the start, whatever it counts by now, if it starts what runs; else the first that does.
fn running(entries: &[Entry], facts: &Facts) -> Option<usize> {
    let booted = facts.booted.as_ref()?;
    let selected = facts.variables.selected.as_deref().and_then(FileName::parse);
    let is_selected = |entry: &Entry| {
        selected.as_ref().is_some_and(|selected| entry.name.is_of(selected)) && entry.starts(booted)
    };
    // What was started has a try counted.
    let may_run = |entry: &Entry| {
        entry.starts(booted) && entry.name.counter.is_none_or(|counter| counter.done.is_some())
    };
    let first = |is: &dyn Fn(&Entry) -> bool| entries.iter().position(is);
    first(&is_selected).or_else(|| first(&may_run)).or_else(|| first(&|entry| entry.starts(booted)))
}

/// Which of some entries, by their numbers, systemd-boot takes (`config_select_default_entry`, src/boot/boot.c).
fn choose(entries: &[Entry], of: &[usize], facts: &Facts) -> (Option<usize>, NextBy) {
    let variables = &facts.variables;
    let saved = |pattern: &Option<String>| match pattern.as_deref() {
        Some("@saved") => variables.last_booted.clone(),
        _ => pattern.clone(),
    };
    let found = |pattern: Option<String>| {
        let pattern = pattern?.to_lowercase();
        of.iter().copied().find(|index| fits(&pattern, &entries[*index].file_name.to_lowercase()))
    };
    let ways = [
        (variables.one_shot.clone(), NextBy::OneShot),
        (saved(&variables.default), NextBy::Variable),
        (saved(&facts.configured), NextBy::Configuration),
    ];
    for (pattern, by) in ways {
        if let Some(index) = found(pattern) {
            return (Some(index), by);
        }
    }
    (of.first().copied(), NextBy::Order)
}
