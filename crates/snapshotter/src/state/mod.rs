//! What is kept of all snapshots: a database of rows, all of which are in memory, too.
//!
//! Every [change](Change) is one transaction, durable when it is answered. A row that cannot be read is told by name
//! and takes nothing from the others.

mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use sealpack_store::ChainId;

pub use row::{ID_END, Kind, Labels, Layered, Row, Unpacked, Usage};

use crate::error::Error;

/// Rows by names.
const ROWS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshots");

/// The names that directories belong to: known also where the row cannot be read.
const IDS: TableDefinition<'_, u64, &str> = TableDefinition::new("ids");

/// What was there before the database: chains, with nothing said of them, and the highest number of a directory.
const ADOPTED: TableDefinition<'_, &str, u64> = TableDefinition::new("adopted");

/// The name of that number in [`ADOPTED`], which no chain has.
const HIGHEST: &str = "directories";

/// The rows of all snapshots.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    database: Database,
    rows: BTreeMap<String, Row>,
    /// What is wrong with those that cannot be read, and the numbers of their directories where these are known.
    broken: BTreeMap<String, Broken>,
    /// The names of snapshots that are based on another, by that one's.
    children: BTreeMap<String, BTreeSet<String>>,
    next_id: u64,
    is_new: bool,
    /// Chains that were held before there was this database.
    adopted: BTreeSet<ChainId>,
    /// The highest number of a directory that was there before.
    adopted_directories: u64,
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What is wrong with it.
    pub why: String,
    /// The number of its directory, if that is known.
    pub id: Option<u64>,
}

/// What is to change, all of it or nothing.
#[derive(Debug, Default)]
pub struct Change {
    remove: Vec<String>,
    put: Vec<(String, Row)>,
}

impl Change {
    /// A row is to be there, or to be another.
    #[must_use]
    pub fn put(mut self, name: impl Into<String>, row: Row) -> Self {
        self.put.push((name.into(), row));
        self
    }

    /// A row is to go. Removals come first.
    #[must_use]
    pub fn remove(mut self, name: impl Into<String>) -> Self {
        self.remove.push(name.into());
        self
    }
}

impl State {
    /// Opens the database at `path`, or makes it.
    ///
    /// # Errors
    /// [`Error::StateInUse`] while another process has it; [`Error::State`] when it is none, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let is_new = !path.exists();
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => Error::StateInUse(path.to_owned()),
            other => failed(path, other),
        })?;
        let mut state = Self {
            path: path.to_owned(),
            database,
            rows: BTreeMap::new(),
            broken: BTreeMap::new(),
            children: BTreeMap::new(),
            next_id: 1,
            is_new,
            adopted: BTreeSet::new(),
            adopted_directories: 0,
        };
        state.load()?;
        Ok(state)
    }

    fn load(&mut self) -> Result<(), Error> {
        let path = self.path.clone();
        let failed = |error: redb::Error| failed(&path, error);
        let read = self.database.begin_read().map_err(|e| failed(e.into()))?;
        let mut ids = BTreeMap::new();
        match read.open_table(IDS) {
            Ok(table) => {
                for entry in table.iter().map_err(|e| failed(e.into()))? {
                    let (id, name) = entry.map_err(|e| failed(e.into()))?;
                    if id.value() < ID_END {
                        ids.insert(name.value().to_owned(), id.value());
                    }
                }
            }
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(failed(error.into())),
        }
        let table = read.open_table(ROWS).map_err(|e| failed(e.into()))?;
        for entry in table.iter().map_err(|e| failed(e.into()))? {
            let (name, bytes) = entry.map_err(|e| failed(e.into()))?;
            let name = name.value().to_owned();
            match Row::parse(bytes.value()) {
                Ok(row) => self.insert(name, row),
                Err(why) => {
                    let id = ids.get(&name).copied();
                    self.broken.insert(name, Broken { why, id });
                }
            }
        }
        self.load_adopted(&read).map_err(failed)?;
        let numbers = ids.values().copied().chain(self.rows.values().map(|row| row.id));
        self.next_id = numbers.chain([self.adopted_directories]).max().map_or(1, |id| id + 1);
        Ok(())
    }

    fn load_adopted(&mut self, read: &redb::ReadTransaction) -> Result<(), redb::Error> {
        let table = match read.open_table(ADOPTED) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            other => other?,
        };
        for entry in table.iter()? {
            let (name, number) = entry?;
            match name.value() {
                HIGHEST => self.adopted_directories = number.value().min(ID_END - 1),
                name => self.adopted.extend(name.parse::<ChainId>().ok()),
            }
        }
        Ok(())
    }

    /// Whether there was no database before this.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Notes what was there before the database: directories up to a number, and these chains.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn adopt(&mut self, highest: u64, chains: &[ChainId]) -> Result<(), Error> {
        let write = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            {
                // That rows are looked for at the next start.
                let (_, _) = (write.open_table(ROWS)?, write.open_table(IDS)?);
                let mut table = write.open_table(ADOPTED)?;
                table.insert(HIGHEST, highest)?;
                for chain in chains {
                    table.insert(chain.to_string().as_str(), 0)?;
                }
            }
            write.commit()?;
            Ok(())
        };
        write().map_err(|error| failed(&self.path, error))?;
        self.adopted = chains.iter().copied().collect();
        self.adopted_directories = highest;
        self.next_id = self.next_id.max(highest + 1);
        Ok(())
    }

    /// The chains that were held before there was this database, and of which no row says that they are not needed.
    #[must_use]
    pub const fn adopted(&self) -> &BTreeSet<ChainId> {
        &self.adopted
    }

    fn insert(&mut self, name: String, row: Row) {
        if !row.parent.is_empty() {
            self.children.entry(row.parent.clone()).or_default().insert(name.clone());
        }
        self.next_id = self.next_id.max(row.id + 1);
        self.broken.remove(&name);
        if let Some(layered) = row.layered {
            self.adopted.remove(&layered.chain);
        }
        self.rows.insert(name, row);
    }

    fn take(&mut self, name: &str) {
        self.broken.remove(name);
        let Some(row) = self.rows.remove(name) else { return };
        if let Some(children) = self.children.get_mut(&row.parent) {
            children.remove(name);
            if children.is_empty() {
                self.children.remove(&row.parent);
            }
        }
    }

    /// Does a change. Durable on return; when it fails, nothing has changed.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn change(&mut self, change: Change) -> Result<(), Error> {
        self.write(&change).map_err(|error| failed(&self.path, error))?;
        for name in &change.remove {
            self.take(name);
        }
        for (name, row) in change.put {
            self.take(&name);
            self.insert(name, row);
        }
        Ok(())
    }

    fn write(&self, change: &Change) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let (mut rows, mut ids) = (write.open_table(ROWS)?, write.open_table(IDS)?);
            for name in &change.remove {
                rows.remove(name.as_str())?;
                if let Some(id) = self.id(name) {
                    ids.remove(id)?;
                }
            }
            let mut adopted = write.open_table(ADOPTED)?;
            for (name, row) in &change.put {
                // From now on it is needed as long as a row has it.
                if let Some(layered) = row.layered.filter(|layered| self.adopted.contains(&layered.chain)) {
                    adopted.remove(layered.chain.to_string().as_str())?;
                }
                rows.insert(name.as_str(), row.to_bytes().as_slice())?;
                ids.insert(row.id, name.as_str())?;
            }
        }
        write.commit()?;
        Ok(())
    }

    fn id(&self, name: &str) -> Option<u64> {
        let row = self.rows.get(name).map(|row| row.id);
        row.or_else(|| self.broken.get(name).and_then(|broken| broken.id))
    }

    /// A number for a directory, which no other has had since this was opened.
    pub const fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Gives no number up to `id` any more: there is a directory of that number, whoever's it is.
    pub fn pass_over(&mut self, id: u64) {
        self.next_id = self.next_id.max(id + 1);
    }

    /// The row of a snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Broken`].
    pub fn get(&self, name: &str) -> Result<&Row, Error> {
        match (self.rows.get(name), self.broken.get(name)) {
            (Some(row), _) => Ok(row),
            (None, Some(broken)) => Err(Error::Broken { name: name.to_owned(), why: broken.why.clone() }),
            (None, None) => Err(Error::NotFound(name.to_owned())),
        }
    }

    /// Whether the directory of that number is a readable row's.
    #[must_use]
    pub fn has_directory(&self, id: u64) -> bool {
        self.rows.values().any(|row| row.id == id)
    }

    /// Whether a name is in use.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.rows.contains_key(name)
    }

    /// Whether a name was not given to anything, not to what cannot be read either.
    #[must_use]
    pub fn is_free(&self, name: &str) -> bool {
        !self.rows.contains_key(name) && !self.broken.contains_key(name)
    }

    /// All rows that can be read, in the order of their names.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.rows.iter().map(|(name, row)| (name.as_str(), row))
    }

    /// The rows that cannot be read.
    pub fn broken(&self) -> impl Iterator<Item = (&str, &Broken)> {
        self.broken.iter().map(|(name, broken)| (name.as_str(), broken))
    }

    /// Whether any snapshot is based on that one.
    #[must_use]
    pub fn has_children(&self, name: &str) -> bool {
        self.children.contains_key(name)
    }

    /// Whether a directory belongs to a row, which may be one that cannot be read.
    #[must_use]
    pub fn owns_directory(&self, id: u64) -> bool {
        let broken = self.broken.values().any(|broken| broken.id.is_none_or(|known| known == id));
        broken || id <= self.adopted_directories || self.has_directory(id)
    }

    /// The snapshot and those below it, down to the one without a parent.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`] where one is missing; [`Error::Broken`].
    pub fn ancestry(&self, name: &str) -> Result<Vec<(&str, &Row)>, Error> {
        let (mut found, mut next) = (Vec::new(), name);
        while !next.is_empty() {
            let (name, row) = match self.rows.get_key_value(next) {
                Some((name, row)) => (name.as_str(), row),
                None => {
                    return Err(match self.get(next) {
                        Err(error @ Error::Broken { .. }) => error,
                        _ => Error::ParentNotFound(next.to_owned()),
                    });
                }
            };
            // Names are given once, to what has its parent already; only damage makes a circle.
            if found.len() > self.rows.len() {
                let why = "it is among its own parents".to_owned();
                return Err(Error::Broken { name: name.to_owned(), why });
            }
            found.push((name, row));
            next = &row.parent;
        }
        Ok(found)
    }
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::State { path: path.to_owned(), problem: error.to_string() }
}

#[cfg(test)]
mod tests;
