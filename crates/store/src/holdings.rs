//! What a store takes on the disk, by kinds of files.

use std::path::Path;

use crate::dir::Dir;
use crate::error::Result;
use crate::gc::Removed;
use crate::places::{BLOBS, IMAGES, LAYERS, OBJECTS, PACKS_PARENT, SEALS};
use crate::store::Store;
use crate::threads::for_each;

/// How many threads look: it is mostly waiting for the filesystem.
const LOOKERS: usize = 8;

/// How many files of each kind a store has, and the sum of their sizes, needed or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Objects.
    pub objects: Removed,
    /// Packs.
    pub packs: Removed,
    /// Metadata images and their hash areas.
    pub images: Removed,
    /// Records of layers and of their packs.
    pub layers: Removed,
    /// Manifests, indexes and configs.
    pub blobs: Removed,
    /// Seals.
    pub seals: Removed,
    /// Everything else: names and their histories, downloads that were interrupted, what is remembered, what was
    /// quarantined.
    pub others: Removed,
}

impl Holdings {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> Removed {
        let Self { objects, packs, images, layers, blobs, seals, others } = self;
        let mut total = Removed::default();
        [objects, packs, images, layers, blobs, seals, others].iter().for_each(|part| total.merge(**part));
        total
    }

    fn of(&mut self, directory: &str) -> &mut Removed {
        match directory {
            OBJECTS => &mut self.objects,
            PACKS_PARENT => &mut self.packs,
            IMAGES => &mut self.images,
            LAYERS => &mut self.layers,
            BLOBS => &mut self.blobs,
            SEALS => &mut self.seals,
            _ => &mut self.others,
        }
    }
}

impl Store {
    /// Looks at every file of the store. What comes or goes meanwhile is counted or not.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn holdings(&self) -> Result<Holdings> {
        let mut holdings = Holdings::default();
        for entry in self.root.entries()? {
            let name = entry.name.to_string_lossy().into_owned();
            if !entry.kind.is_dir() {
                add_file(&self.root, Path::new(&entry.name), &mut holdings.others)?;
            } else if let Some(directory) = self.root.try_sub(&entry.name)? {
                let kind = holdings.of(&name);
                match name == OBJECTS {
                    true => kind.merge(of_objects(&directory)?),
                    false => add_all(&directory, kind)?,
                }
            }
        }
        Ok(holdings)
    }
}

/// The same as [`add_all`], by several threads: there may be hundreds of thousands.
fn of_objects(objects: &Dir) -> Result<Removed> {
    let fans: Vec<_> = objects.entries()?.into_iter().filter(|entry| entry.kind.is_dir()).collect();
    let counted = for_each(LOOKERS, &fans, Removed::default, |mine, fan| {
        objects.try_sub(&fan.name)?.map_or(Ok(()), |directory| add_all(&directory, mine))
    })?;
    let mut all = Removed::default();
    counted.into_iter().for_each(|part| all.merge(part));
    Ok(all)
}

/// Counts the files below a directory.
fn add_all(directory: &Dir, tally: &mut Removed) -> Result<()> {
    for entry in directory.entries()? {
        if !entry.kind.is_dir() {
            add_file(directory, Path::new(&entry.name), tally)?;
        } else if let Some(below) = directory.try_sub(&entry.name)? {
            add_all(&below, tally)?;
        }
    }
    Ok(())
}

fn add_file(directory: &Dir, name: &Path, tally: &mut Removed) -> Result<()> {
    // It may have gone meanwhile.
    if let Some(stat) = directory.stat(name)? {
        tally.merge(Removed { count: 1, bytes: stat.st_size.unsigned_abs() });
    }
    Ok(())
}
