//! What a store takes on the disk, by kinds of files.

use std::io;
use std::path::Path;

use rustix::fs::FileType;

use crate::deep;
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::gc::Tally;
use crate::places::{BLOBS, IMAGES, LAYERS, OBJECTS, PACKS_PARENT, SEALS};
use crate::store::Store;
use crate::threads::for_each;

/// How many threads look: it is mostly waiting for the filesystem.
const LOOKERS: usize = 8;

/// How many files of each kind a store has, and the sum of their sizes, needed or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Objects.
    pub objects: Tally,
    /// Packs.
    pub packs: Tally,
    /// Metadata images and their hash areas.
    pub images: Tally,
    /// Records of layers and of their packs.
    pub layers: Tally,
    /// Manifests, indexes and configs.
    pub blobs: Tally,
    /// Seals.
    pub seals: Tally,
    /// Everything else: names and their histories, downloads that were interrupted, what is remembered, what was
    /// quarantined.
    pub others: Tally,
}

impl Holdings {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> Tally {
        let Self { objects, packs, images, layers, blobs, seals, others } = self;
        let mut total = Tally::default();
        [objects, packs, images, layers, blobs, seals, others].iter().for_each(|part| total.merge(**part));
        total
    }

    fn of(&mut self, directory: &str) -> &mut Tally {
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
fn of_objects(objects: &Dir) -> Result<Tally> {
    let fans: Vec<_> = objects.entries()?.into_iter().filter(|entry| entry.kind.is_dir()).collect();
    let counted = for_each(LOOKERS, &fans, Tally::default, |mine, fan| {
        objects.try_sub(&fan.name)?.map_or(Ok(()), |directory| add_all(&directory, mine))
    })?;
    let mut all = Tally::default();
    counted.into_iter().for_each(|part| all.merge(part));
    Ok(all)
}

/// Counts the files below a directory, which a container may have made as deep as it liked.
fn add_all(directory: &Dir, tally: &mut Tally) -> Result<()> {
    let counted = deep::look(directory.path(), |stat| {
        if !FileType::from_raw_mode(stat.st_mode).is_dir() {
            tally.merge(Tally { count: 1, bytes: stat.st_size.unsigned_abs() });
        }
    });
    match counted {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("look at", directory.path(), error))
        }
        _ => Ok(()),
    }
}

fn add_file(directory: &Dir, name: &Path, tally: &mut Tally) -> Result<()> {
    // It may have gone meanwhile.
    if let Some(stat) = directory.stat(name)? {
        tally.merge(Tally { count: 1, bytes: stat.st_size.unsigned_abs() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A container could keep `df`, and what watches the machine, from telling anything: each directory that it made below
    /// another one was a call, and open meanwhile.
    #[test]
    fn directories_without_end_are_counted_like_others() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(place.path().join("store"), None).unwrap();
        let before = store.holdings().unwrap();
        let top = store.containers_path().join("x");
        fs::create_dir_all(&top).unwrap();
        deep::tests::deep(&top, 3000);
        let holdings = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(512 * 1024);
            builder.spawn_scoped(scope, || store.holdings()).unwrap().join().unwrap().unwrap()
        });
        assert_eq!(holdings.others.count, before.others.count + 1, "the link at its end");
        deep::remove(&top).unwrap();
    }
}
