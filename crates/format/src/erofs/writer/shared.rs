//! The table of shared attributes: those whose key and value occur more than once.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::order::{Order, to_usize};
use super::rewrite::Attribute;
use crate::erofs::{FormatVersion, xattr};

/// One occurrence of an attribute.
#[derive(Debug, Clone, Copy)]
struct Occurrence {
    /// First the hash of key and value, then the number of the table's entry, then its offset.
    tag: u64,
    place: u32,
    /// Which of the inode's sorted attributes it is.
    ordinal: u32,
}

/// Finds out which attributes occur more than once, without keeping their bytes: occurrences
/// are 16 bytes each, sorted by a hash, and equal hashes are compared in full.
#[derive(Debug, Default)]
pub(super) struct Counter {
    occurrences: Vec<Occurrence>,
    /// Keyed anew in each process, so that no tree can provoke collisions; what is written
    /// does not depend on it.
    hasher: RandomState,
}

impl Counter {
    /// Counts the attributes of the inode at `place`.
    pub(super) fn add(&mut self, place: u32, attributes: &[Attribute<'_>]) {
        for (ordinal, attribute) in (0..).zip(attributes) {
            let mut hasher = self.hasher.build_hasher();
            hasher.write_usize(attribute.key.len());
            hasher.write(&attribute.key);
            hasher.write(&attribute.value);
            self.occurrences.push(Occurrence { tag: hasher.finish(), place, ordinal });
        }
    }

    /// The table for what was counted.
    pub(super) fn into_table(mut self, order: &Order<'_>, version: FormatVersion) -> SharedTable {
        self.occurrences.sort_unstable_by_key(|one| (one.tag, one.place, one.ordinal));
        let mut entries: Vec<Entry> = Vec::new();
        let mut shared = 0;
        let mut start = 0;
        while let Some(run) = run_of_equal_tags(&self.occurrences, start) {
            let end = start.saturating_add(run);
            if run > 1 {
                shared = self.number_run(start, end, shared, order, version, &mut entries);
            }
            start = end;
        }
        self.occurrences.truncate(shared);
        self.occurrences.shrink_to_fit();
        SharedTable::new(entries, self.occurrences)
    }

    /// Gives the occurrences `start..end`, of equal hashes, the numbers of their entries and moves
    /// those that are shared down to `shared`, the end of those moved before. Returns the new end.
    fn number_run(
        &mut self,
        start: usize,
        end: usize,
        mut shared: usize,
        order: &Order<'_>,
        version: FormatVersion,
        entries: &mut Vec<Entry>,
    ) -> usize {
        let first_entry = entries.len();
        let mut attributes = Vec::new();
        for index in start..end {
            let Some(occurrence) = self.occurrences.get_mut(index) else { break };
            let Some(slot) = order.slots.get(to_usize(occurrence.place)) else { break };
            order.attributes(slot, version, &mut attributes);
            let Some(attribute) = attributes.get(to_usize(occurrence.ordinal)) else { break };
            let known = entries.iter().skip(first_entry).position(|entry| entry.is(attribute));
            let number = known.map_or(entries.len(), |known| known.saturating_add(first_entry));
            match entries.get_mut(number) {
                Some(entry) => entry.count = entry.count.saturating_add(1),
                None => entries.push(Entry::new(attribute)),
            }
            occurrence.tag = u64::try_from(number).unwrap_or(u64::MAX);
        }
        for index in start..end {
            let Some(occurrence) = self.occurrences.get(index).copied() else { break };
            let entry = usize::try_from(occurrence.tag).ok().and_then(|number| entries.get(number));
            if entry.is_some_and(|entry| entry.count > 1) {
                if let Some(to) = self.occurrences.get_mut(shared) {
                    *to = occurrence;
                }
                shared = shared.saturating_add(1);
            }
        }
        shared
    }
}

/// The number of occurrences from `start` on that have one tag; none at the end.
fn run_of_equal_tags(occurrences: &[Occurrence], start: usize) -> Option<usize> {
    let rest = occurrences.get(start..)?;
    let tag = rest.first()?.tag;
    Some(rest.iter().take_while(|other| other.tag == tag).count())
}

#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    value: Box<[u8]>,
    count: u32,
    number: usize,
}

impl Entry {
    fn new(attribute: &Attribute<'_>) -> Self {
        Self {
            key: attribute.key.as_ref().into(),
            value: attribute.value.as_ref().into(),
            count: 1,
            number: 0,
        }
    }

    fn is(&self, attribute: &Attribute<'_>) -> bool {
        *self.key == *attribute.key && *self.value == *attribute.value
    }
}

/// The table of shared attributes and who refers to it.
#[derive(Debug)]
pub(super) struct SharedTable {
    /// In the table's order.
    entries: Vec<Entry>,
    size_bytes: u64,
    /// By place and ordinal; tags are offsets in bytes from the table's start.
    occurrences: Vec<Occurrence>,
}

impl SharedTable {
    fn new(mut entries: Vec<Entry>, mut occurrences: Vec<Occurrence>) -> Self {
        (0..).zip(&mut entries).for_each(|(number, entry)| entry.number = number);
        let mut offsets = vec![0; entries.len()];
        entries.retain(|entry| entry.count > 1);
        entries.sort_unstable_by(|one, other| {
            let rank = |entry: &Entry| (entry.key.clone(), entry.value.len(), entry.value.clone());
            rank(other).cmp(&rank(one))
        });
        let mut size_bytes: u64 = 0;
        for entry in &entries {
            if let Some(offset) = offsets.get_mut(entry.number) {
                *offset = size_bytes;
            }
            let (_, suffix) = xattr::split_key(&entry.key);
            size_bytes = size_bytes.saturating_add(xattr::entry_bytes(suffix, &entry.value));
        }
        for occurrence in &mut occurrences {
            let offset = usize::try_from(occurrence.tag).ok().and_then(|number| offsets.get(number));
            occurrence.tag = offset.copied().unwrap_or_default();
        }
        occurrences.sort_unstable_by_key(|one| (one.place, one.ordinal));
        Self { entries, size_bytes, occurrences }
    }

    /// Bytes of the table.
    pub(super) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Keys and values in the table's order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|entry| (entry.key.as_ref(), entry.value.as_ref()))
    }

    /// Who refers to what, to be asked for the inodes in their order.
    pub(super) fn references(&self) -> References<'_> {
        References { rest: &self.occurrences }
    }
}

/// The references to shared attributes that are still ahead.
pub(super) struct References<'a> {
    rest: &'a [Occurrence],
}

impl<'a> References<'a> {
    /// Those of the inode at `place`, which is higher than any place asked for before.
    pub(super) fn of(&mut self, place: u32) -> Shared<'a> {
        let behind = self.rest.iter().take_while(|one| one.place < place).count();
        let rest = self.rest.get(behind..).unwrap_or_default();
        let own = rest.iter().take_while(|one| one.place == place).count();
        let (own, rest) = rest.split_at_checked(own).unwrap_or_default();
        self.rest = rest;
        // The rest stays inline, though the table has it.
        Shared(own.get(..xattr::SHARED_MAX).unwrap_or(own))
    }
}

/// Which attributes of one inode are shared.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a>(&'a [Occurrence]);

impl Shared<'_> {
    /// How many.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Their offsets in the table, in bytes.
    pub(super) fn offsets(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|one| one.tag)
    }

    /// Of all of the inode's attributes, those that are not shared.
    pub(super) fn others<'b, 't>(
        &self,
        attributes: &'b [Attribute<'t>],
    ) -> impl Iterator<Item = &'b Attribute<'t>> {
        let mut shared = self.0.iter().map(|one| one.ordinal).peekable();
        (0..)
            .zip(attributes)
            .filter(move |(ordinal, _)| shared.next_if_eq(ordinal).is_none())
            .map(|(_, attribute)| attribute)
    }
}
