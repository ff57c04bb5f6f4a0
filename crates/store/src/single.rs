//! A store with some images of another store.

use std::io;
use std::path::Path;

use rustix::fs::{Mode, fchmod, fstat};

use crate::error::{Error, Result};
use crate::meta::{Feature, Meta};
use crate::places::{EPOCHS, OBJECTS, VERIFIED};
use crate::refs::{ImageRecord, file_name};
use crate::store::Store;

impl Store {
    /// Makes a store at `path`, where nothing may be but an empty directory, with the images in `records` under their names
    /// and nothing else: what they need, their seals, and the highest epochs that are remembered for these names. The images
    /// that had the names before are left behind.
    ///
    /// Nothing is verified, and what is missing here is missing there: [`fsck`](Self::fsck) tells. Nothing is flushed
    /// either. The names come last.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`Error::NoSpace`]; [`Error::Locked`]; failures of the system.
    pub fn copy_images_to(&self, records: &[ImageRecord], path: &Path) -> Result<Self> {
        let _lock = self.shared()?;
        let other = Self::create(path, self.algorithm())?;
        let meta = Meta::read(&self.root)?.map(|(meta, _)| meta);
        for feature in [Feature::Packs, Feature::History, Feature::Seals] {
            if meta.as_ref().is_some_and(|meta| meta.has(feature.name())) {
                other.enable_feature(feature)?;
            }
        }
        let nothing_else = |_: &std::fs::File| Ok(Vec::new());
        let needed = self.needed(records, &[], &nothing_else, &())?;
        needed.files.iter().try_for_each(|file| self.copy_file_to(&other, file))?;
        for id in needed.objects.as_slice() {
            let object = Path::new(OBJECTS).join(id.object_path());
            if let Some(fan) = object.parent().and_then(Path::to_str) {
                other.root.make(fan)?;
            }
            self.copy_file_to(&other, &object)?;
        }
        for record in records {
            self.copy_file_to(&other, &Path::new(EPOCHS).join(file_name(&record.name)))?;
        }
        records.iter().try_for_each(|record| other.put_record(record))?;
        Ok(other)
    }

    /// Forgets what was verified, where fs-verity does not tell: for a store that is about to be moved to another filesystem,
    /// where all of that is of other files.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn forget_verified(&self) -> Result<()> {
        self.root.unlink(VERIFIED).map(drop)
    }

    /// Copies the file at `path` in this store, if it is there, to the same place in the other one.
    fn copy_file_to(&self, other: &Self, path: &Path) -> Result<()> {
        let Some(mut from) = self.root.read(path)? else { return Ok(()) };
        let name = path.to_str().expect("places of a store are ASCII");
        let mut to = other.root.create(name, 0o600)?;
        io::copy(&mut from, &mut to).map_err(|e| Error::io("write", other.root.at(path), e))?;
        let mode = fstat(&from).map_err(|e| Error::io("look at", self.root.at(path), e))?.st_mode;
        let mode = Mode::from_raw_mode(mode & 0o777);
        fchmod(&to, mode).map_err(|e| Error::io("protect", other.root.at(path), e))
    }
}
