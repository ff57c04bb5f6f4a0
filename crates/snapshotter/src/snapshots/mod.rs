//! Snapshots, as containerd knows them, and what each call does to them. Nothing here is asynchronous or knows gRPC.
//!
//! A snapshot is a row in the [state](crate::state) and a directory; a committed one is a layer of the store instead of a
//! directory where the store has its layer and those below it. The directory is made before its row, and goes
//! after it: what a kill leaves behind is a directory that no row has, which is swept at the next start.

mod allowed;
mod apply;
mod directories;
mod info;
mod known;
mod layers;
mod lost;
mod named;
mod recovered;
#[cfg(test)]
mod tests;
mod unpacked;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use sealpack_store::Store;

pub use apply::{Applied, Blob, Given, Target};
pub use info::Info;
pub use named::{Images, Named};
pub use recovered::Recovered;
pub use unpacked::{Blobs, TakenIn};

use crate::bases::{Based, Bases};
use crate::chains::Index;
use crate::error::Error;
use crate::filter::Filters;
use crate::metrics::Metrics;
use crate::mounts::{self, Mount};
use crate::rules::Rules;
use crate::state::{Change, Kind, Labels, Row, State, Unpacked, Usage};
use directories::Directories;
use known::is_of_target;
use layers::Below;

/// All snapshots of one containerd.
#[derive(Debug)]
pub struct Snapshotter {
    store: Store,
    rules: Rules,
    index: Index,
    bases: Bases,
    directories: Directories,
    state: Mutex<State>,
    conversions: apply::Conversions,
    /// Held for reading from when a chain is held in the store until a row says so, and for writing while those are
    /// released that no row has.
    holding: RwLock<()>,
    /// Whether containerd lets this apply layers, rather than to mount snapshots and unpack them itself.
    applies: AtomicBool,
    metrics: Arc<Metrics>,
    /// Snapshots whose layers the store has lost, as far as it was noticed.
    lost: Mutex<BTreeSet<String>>,
    /// Who wants to know of layers that containerd has unpacked, and of those that are lost.
    hears_of_layers: Mutex<Option<Sender<()>>>,
    /// Who wants to know of layers that were committed.
    hears_of_committed: Mutex<Option<Sender<String>>>,
    /// Who knows what images are called.
    images: OnceLock<Box<dyn Images>>,
    known_images: Mutex<named::Known>,
}

/// What there is to say about the snapshots when they are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A row cannot be read.
    Broken {
        /// The snapshot.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A row could not be read, and was made again from what the store has.
    Restored {
        /// The snapshot.
        name: String,
    },
    /// The store lost what a snapshot consists of.
    LayersLost {
        /// The snapshot.
        name: String,
        /// Its highest layer.
        layer: sealpack_format::DiffId,
    },
    /// The database of the snapshots is gone, and what it was of is there.
    Forgotten {
        /// How many directories.
        directories: usize,
        /// How many chains of layers.
        chains: usize,
    },
    /// A directory that no snapshot has cannot be removed.
    Stays {
        /// Why, with its path.
        why: String,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken { name, why } => write!(f, "what is kept of snapshot {name} cannot be read: {why}"),
            Self::Restored { name } => {
                write!(f, "what is kept of snapshot {name} was damaged, and was made again")
            }
            Self::LayersLost { name, layer } => write!(
                f,
                "the store has lost layer {layer}, or one below it, of snapshot {name}: it comes back if containerd still has \
                 the blob; else remove its image, and pull it again"
            ),
            Self::Forgotten { directories, chains } => write!(
                f,
                "the database of the snapshots is gone: {directories} directories of containers stay, and so do {chains} chains \
                 of layers, which are snapshots again when containerd asks for them"
            ),
            Self::Stays { why } => write!(f, "what no snapshot has stays behind: {why}"),
        }
    }
}

impl Snapshotter {
    /// Opens the snapshots that are kept beside what the store has, and sweeps what a kill left behind. `mounts` is a
    /// directory for the mounts of layers, which need not be there, and which may go with a reboot.
    ///
    /// # Errors
    /// [`Error::StateInUse`] while another process has them; [`Error::Path`] where overlayfs could not be told the
    /// directory; others of the system and of the database.
    pub fn open(store: Store, rules: Rules, mounts: &Path) -> Result<(Self, Vec<Notice>), Error> {
        let root = store.snapshotter_path();
        check_path(&root)?;
        check_path(mounts)?;
        let directories = Directories::open(&root)?;
        let mut state = State::open(&root.join("state.redb"))?;
        let forgotten = forgotten(&mut state, &directories, &store)?;
        if let Some(highest) = directories.all()?.into_iter().max() {
            state.pass_over(highest);
        }
        let broken = |(name, broken): (&str, &crate::state::Broken)| Notice::Broken {
            name: name.to_owned(),
            why: broken.why.clone(),
        };
        let mut notices: Vec<Notice> = state.broken().map(broken).chain(forgotten).collect();
        let metrics = Arc::new(Metrics::default());
        let snapshotter = Self {
            bases: Bases::new(&store, mounts, Arc::clone(&metrics))?,
            index: Index::default(),
            store,
            rules,
            directories,
            state: Mutex::new(state),
            conversions: apply::Conversions::default(),
            holding: RwLock::default(),
            applies: AtomicBool::new(false),
            metrics,
            lost: Mutex::default(),
            hears_of_layers: Mutex::default(),
            hears_of_committed: Mutex::default(),
            images: OnceLock::new(),
            known_images: Mutex::default(),
        };
        notices.extend(snapshotter.heal()?);
        notices.extend(snapshotter.sweep()?);
        Ok((snapshotter, notices))
    }

    /// Has `observer` hear of each image that is mounted for containers to be made on, and at which level.
    pub fn tell_of_mounts(&self, observer: impl Fn(&Based) + Send + Sync + 'static) {
        self.bases.tell(observer);
    }

    /// Has `sender` hear when there may be more in [`unpacked`](Self::unpacked) or [`lost`](Self::lost).
    pub fn tell_of_layers(&self, sender: Sender<()>) {
        *self.hears_of_layers.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    fn tell(&self) {
        if let Some(hears) = &*self.hears_of_layers.lock().unwrap_or_else(PoisonError::into_inner) {
            // Whoever does not hear it finds it at the next start.
            _ = hears.send(());
        }
    }

    /// Has `sender` hear of each snapshot of a layer that is committed, of which containers may be made soon.
    pub fn tell_of_committed(&self, sender: Sender<String>) {
        *self.hears_of_committed.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How many snapshots there are, by kind.
    #[must_use]
    pub fn count(&self) -> [(&'static str, usize); 3] {
        let state = self.state();
        [Kind::Active, Kind::View, Kind::Committed]
            .map(|kind| (kind.name(), state.rows().filter(|(_, row)| row.kind == kind).count()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A change is in memory only after it is on the disk, and then whole but for panics in maps' insertions.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an active snapshot on `parent`, which may be empty, and answers what to mount for it.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::ParentNotFound`]; [`Error::ParentNotCommitted`]; of the system.
    pub fn prepare(&self, key: &str, parent: &str, labels: Labels) -> Result<Vec<Mount>, Error> {
        self.create(Kind::Active, key, parent, labels)
    }

    /// Makes a view of `parent`, and answers what to mount for it.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn view(&self, key: &str, parent: &str, labels: Labels) -> Result<Vec<Mount>, Error> {
        self.create(Kind::View, key, parent, labels)
    }

    fn create(&self, kind: Kind, key: &str, parent: &str, labels: Labels) -> Result<Vec<Mount>, Error> {
        wanted(key, "key")?;
        self.restore(parent)?;
        let below = {
            let state = self.state();
            check_new(&state, key, parent)?;
            layers::below(&state, parent)?
        };
        let is_extraction = kind == Kind::Active && is_extraction(key);
        self.noticed(parent, self.check_rules(key, parent, is_extraction.then_some(&labels)))?;
        if kind == Kind::Active
            && (is_extraction || is_of_target(key, &labels))
            && let Some(mount) = self.answer_known(key, parent, &labels)?
        {
            return Ok(vec![mount]);
        }
        // What is mounted now stays until there is a row that needs it.
        let holding = self.hold();
        let lowers = self.noticed(parent, self.lowers(&below, is_extraction))?;
        let mut state = self.state();
        check_new(&state, key, parent)?;
        if layers::below(&state, parent)? != below {
            // The store has its layers since a moment ago, and its directories go.
            drop((state, holding));
            return self.create(kind, key, parent, labels);
        }
        let id = state.new_id();
        // That of what is not mounted is not needed: nobody writes there.
        let like = lowers.first().filter(|lower| !is_extraction || lower.exists());
        self.directories.make(id, like.map(PathBuf::as_path))?;
        let mut row = Row::new(id, kind, parent.to_owned(), labels);
        // A pod's annotations are labels of its containers' snapshots, where they say nothing of images.
        row.image = row.image.filter(|_| is_extraction);
        let mount = self.mount(&row, &lowers);
        if let Err(error) = state.change(Change::default().put(key, row)) {
            drop(state);
            _ = self.directories.remove(id);
            return Err(error);
        }
        Ok(vec![mount])
    }

    /// Makes what the first container on a snapshot's layers needs, if no snapshot is on it: then it may be an image's
    /// highest.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ChainLost`]; of the store.
    pub fn make_ready(&self, name: &str) -> Result<(), Error> {
        let _holding = self.hold();
        let layered = {
            let state = self.state();
            let is_below_another = state.rows().any(|(_, row)| row.parent == name);
            state.get(name)?.layered.filter(|_| !is_below_another)
        };
        layered.map_or(Ok(()), |layered| self.bases.make_image(&self.store, &self.index, &layered.chain))
    }

    /// What to mount for a snapshot that is not committed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Kind`] for a committed one; what stands against mounting its layers; [`Error::Refused`],
    /// [`Error::Rules`] and [`Error::OtherImage`] for a container of an image that must not be used.
    pub fn mounts(&self, key: &str) -> Result<Vec<Mount>, Error> {
        let (row, below) = {
            let state = self.state();
            let row = state.get(key)?;
            if row.kind == Kind::Committed {
                return Err(is_another_kind(key, row, "active or a view"));
            }
            (row.clone(), layers::below(&state, &row.parent)?)
        };
        if !is_extraction(key) {
            self.check_started(key, &row.parent)?;
        }
        let lowers = self.noticed(&row.parent, self.lowers(&below, is_extraction(key)))?;
        Ok(vec![self.mount(&row, &lowers)])
    }

    /// The directories of what a snapshot is based on, the highest first. Layers are mounted; not for a snapshot that is
    /// there only to get a layer, where that is applied by this and nobody looks into the mount.
    fn lowers(&self, below: &[Below], is_extraction: bool) -> Result<Vec<PathBuf>, Error> {
        let is_looked_into = !(is_extraction && self.applies.load(Ordering::Relaxed));
        let path = |below: &Below| match below {
            Below::Directory(id) => Ok(self.directories.content(*id)),
            Below::Layers(chain) if is_looked_into => self.bases.mount(&self.store, &self.index, chain),
            Below::Layers(chain) => Ok(self.bases.path(chain)),
        };
        below.iter().map(path).collect()
    }

    fn mount(&self, row: &Row, lowers: &[PathBuf]) -> Mount {
        let upper = (row.kind == Kind::Active).then(|| self.directories.upper(row.id));
        mounts::of(lowers, upper.as_ref(), &self.directories.content(row.id))
    }

    /// Commits an active snapshot as `name`: it never changes again, and others can be based on it. `onto`, which may
    /// be empty, is the parent of one that was prepared without.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::NotFound`]; [`Error::Kind`]; [`Error::OtherParent`]; as [`prepare`](Self::prepare).
    pub fn commit(&self, name: &str, key: &str, labels: Labels, onto: &str) -> Result<(), Error> {
        wanted(name, "name")?;
        self.restore(onto)?;
        let active = self.committable(&self.state(), name, key, onto)?;
        let _holding = self.hold();
        let layered = self.layered_on(&active, name, onto)?;
        // Takes long for large ones. Whoever writes meanwhile breaks containerd's rules, and only the figure is wrong.
        let usage = match &layered {
            Some(layered) => self.usage_of(layered)?,
            None => self.directories.usage(active.id)?,
        };
        let mut state = self.state();
        let mut row = self.committable(&state, name, key, onto)?.committed(labels, usage, layered);
        // One that was applied and is a directory was written to besides.
        let is_unpacked = active.layered.is_none() && is_extraction(key);
        row.unpacked = (is_unpacked && unpacked::chain_of_name(name).is_some()).then_some(Unpacked::Waits);
        let waits = row.unpacked.is_some();
        state.change(Change::default().remove(key).put(name, row))?;
        drop(state);
        if waits {
            self.tell();
        }
        if layered.is_some()
            && let Some(hears) = &*self.hears_of_committed.lock().unwrap_or_else(PoisonError::into_inner)
        {
            // Without one, the first container waits a little longer.
            _ = hears.send(name.to_owned());
        }
        // What is not removed now is swept.
        layered.map_or(Ok(()), |_| self.directories.remove(active.id).or(Ok(())))
    }

    /// The row of a snapshot that can be committed, with the parent that it is to have.
    fn committable(&self, state: &State, name: &str, key: &str, onto: &str) -> Result<Row, Error> {
        if state.has(name) {
            return Err(Error::Exists(name.to_owned()));
        }
        let mut row = state.get(key)?.clone();
        if row.kind != Kind::Active {
            return Err(is_another_kind(key, &row, "active"));
        }
        if !onto.is_empty() && row.parent != onto {
            if !row.parent.is_empty() {
                let (name, parent, other) = (key.to_owned(), row.parent, onto.to_owned());
                return Err(Error::OtherParent { name, parent, other });
            }
            check_parent(state, onto)?;
            onto.clone_into(&mut row.parent);
        }
        Ok(row)
    }

    /// What is known of a snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Broken`].
    pub fn stat(&self, name: &str) -> Result<Info, Error> {
        self.restore(name)?;
        Ok(Info::of(name, self.state().get(name)?))
    }

    /// Changes the labels of a snapshot: all of them without `fields`, else those that are named as `labels.KEY`, of
    /// which the ones that `labels` has not, or empty, go.
    ///
    /// # Errors
    /// [`Error::Immutable`] for other fields; [`Error::NotFound`]; of the database.
    pub fn update(&self, name: &str, labels: &Labels, fields: &[String]) -> Result<Info, Error> {
        let mut state = self.state();
        let mut row = state.get(name)?.clone();
        if fields.is_empty() {
            row.labels.clone_from(labels);
        }
        for field in fields {
            match (field.as_str(), field.strip_prefix("labels.")) {
                ("labels", _) => row.labels.clone_from(labels),
                (_, Some(key)) => match labels.get(key).filter(|value| !value.is_empty()) {
                    Some(value) => drop(row.labels.insert(key.to_owned(), value.clone())),
                    None => drop(row.labels.remove(key)),
                },
                _ => return Err(Error::Immutable { name: name.to_owned(), field: field.clone() }),
            }
        }
        row.touch();
        let info = Info::of(name, &row);
        state.change(Change::default().put(name, row))?;
        Ok(info)
    }

    /// What is known of all snapshots that are asked for.
    pub fn list(&self, filters: &Filters) -> Vec<Info> {
        let state = self.state();
        let asked_for = state.rows().filter(|object| filters.match_object(object));
        asked_for.map(|(name, row)| Info::of(name, row)).collect()
    }

    /// What a snapshot takes, without what it is based on. Of snapshots with the same layer the oldest one counts, and the
    /// others take nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; of the system.
    pub fn usage(&self, name: &str) -> Result<Usage, Error> {
        let row = {
            let state = self.state();
            let row = state.get(name)?;
            let is_same = |other: &Row| other.layered.map(|it| it.layer) == row.layered.map(|it| it.layer);
            let is_counted =
                |other: &Row| other.kind == Kind::Committed && other.id < row.id && is_same(other);
            if row.layered.is_some() && state.rows().any(|(_, other)| is_counted(other)) {
                return Ok(Usage::default());
            }
            row.clone()
        };
        row.usage.map_or_else(|| self.directories.usage(row.id), Ok)
    }

    /// Removes a snapshot that no other is based on, with all that is in it. One that cannot be read goes, too.
    ///
    /// # Errors
    /// [`Error::HasChildren`]; [`Error::NotFound`]; of the database and the system.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let id = {
            let mut state = self.state();
            let id = match state.get(name) {
                Ok(row) => Some(row.id),
                Err(Error::Broken { .. }) => {
                    state.broken().find(|(own, _)| *own == name).and_then(|(_, it)| it.id)
                }
                Err(error) => return Err(error),
            };
            if state.has_children(name) {
                return Err(Error::HasChildren(name.to_owned()));
            }
            state.change(Change::default().remove(name))?;
            // Only damage has one number in two rows; what the other has may be a running container's.
            id.filter(|id| !state.has_directory(*id))
        };
        id.map_or(Ok(()), |id| self.directories.remove(id))
    }

    /// Removes directories that no snapshot has, and lets the store's layers go that none needs.
    ///
    /// # Errors
    /// Where it is not known which there are.
    pub fn sweep(&self) -> Result<Vec<Notice>, Error> {
        let orphans: Vec<u64> = {
            let state = self.state();
            // While the state is ours nobody makes any; and no number is given twice.
            self.directories.all()?.into_iter().filter(|id| !state.owns_directory(*id)).collect()
        };
        let removed = orphans.into_iter().map(|id| self.directories.remove(id));
        let mut problems: Vec<Error> = removed.filter_map(Result::err).collect();
        problems.extend(self.remove_unpacked().err());
        problems.extend(self.sweep_layers()?);
        Ok(problems.into_iter().map(|error| Notice::Stays { why: error.to_string() }).collect())
    }
}

/// What there is of snapshots whose database is gone: it is not swept as what nobody has.
fn forgotten(state: &mut State, directories: &Directories, store: &Store) -> Result<Option<Notice>, Error> {
    if !state.is_new() {
        return Ok(None);
    }
    let (ids, chains) = (directories.all()?, store.held_chains()?);
    if ids.is_empty() && chains.is_empty() {
        return Ok(None);
    }
    state.adopt(ids.iter().max().copied().unwrap_or_default(), &chains)?;
    Ok(Some(Notice::Forgotten { directories: ids.len(), chains: chains.len() }))
}

fn wanted(text: &str, what: &'static str) -> Result<(), Error> {
    if text.is_empty() { Err(Error::Lacks(what)) } else { Ok(()) }
}

/// That there can be a snapshot with that key on that parent.
fn check_new(state: &State, key: &str, parent: &str) -> Result<(), Error> {
    if state.has(key) {
        return Err(Error::Exists(key.to_owned()));
    }
    check_parent(state, parent)
}

/// Whether a snapshot is one that containerd prepares to unpack a layer: it calls these `extract-` and something, behind
/// the namespace and a number.
fn is_extraction(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with("extract-"))
}

fn check_parent(state: &State, parent: &str) -> Result<(), Error> {
    if parent.is_empty() {
        return Ok(());
    }
    match state.get(parent) {
        Ok(row) if row.kind == Kind::Committed => Ok(()),
        Ok(_) => Err(Error::ParentNotCommitted(parent.to_owned())),
        Err(Error::NotFound(name)) => Err(Error::ParentNotFound(name)),
        Err(error) => Err(error),
    }
}

fn is_another_kind(name: &str, row: &Row, wanted: &'static str) -> Error {
    Error::Kind { name: name.to_owned(), is: row.kind.name(), wanted }
}

/// That overlayfs's options, as one text, can have this path.
fn check_path(path: &Path) -> Result<(), Error> {
    let is_plain = path.to_str().is_some_and(|text| !text.contains([':', ',', '\\']));
    if is_plain { Ok(()) } else { Err(Error::Path(path.to_owned())) }
}
